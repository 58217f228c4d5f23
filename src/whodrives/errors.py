"""Errors that every room shares. Each message names the input, says what is wrong and what to do about it."""


class WhodrivesError(Exception):
    """Base class of every error that whodrives raises on purpose."""


class InputError(WhodrivesError):
    """An argument, option or input value is wrong (command-line exit status 2)."""
