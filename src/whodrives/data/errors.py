"""Errors of the data room, and what a reader does with a file that does not fit: refuse it, or note it and go on."""

from __future__ import annotations

from collections.abc import Callable

from whodrives.errors import InputError


class LayoutError(InputError):
    """A folder, a file name or a table does not follow the layout; the message names it and the rule."""


Complain = Callable[[LayoutError], None]


def refuse(error: LayoutError) -> None:
    """The strict answer to a file against the layout: raise `error`. ``list.append`` is the patient one."""
    raise error
