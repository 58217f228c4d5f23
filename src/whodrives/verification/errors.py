"""Errors of fingerprints and galleries. Each message says what is wrong and what to do."""

from __future__ import annotations

from whodrives.errors import InputError, WhodrivesError


class WeightsMismatchError(WhodrivesError):
    """Fingerprints of different weights, which live in different spaces and must not be compared."""


class EnrolmentError(WhodrivesError):
    """The videos hold nothing that a driver can be enrolled from."""


class GalleryError(WhodrivesError):
    """A gallery file is missing, is no gallery, is damaged, or cannot be read or written."""


class GalleryBusyError(GalleryError):
    """Another process holds the gallery for longer than the waiting time."""


class PurgeError(GalleryError):
    """The driver is gone from the gallery, but old bytes could not be overwritten yet."""


class ArchiveError(GalleryError):
    """An exported gallery cannot be imported: damaged, or of another format."""


class TemplateIndexError(WhodrivesError):
    """A template index is missing, is none, cannot be read or written, or is held by another process."""


class IndexDamageError(TemplateIndexError):
    """Bytes of a template index are missing or changed."""


class StaleIndexError(TemplateIndexError):
    """A template index no longer holds what its gallery holds, or was replaced while it was open."""


class UnknownDriverError(InputError):
    """Nobody of this name is enrolled."""


class AlreadyEnrolledError(InputError):
    """Somebody of this name is enrolled already, and the call neither adds nor replaces."""


class DuplicateSampleError(InputError):
    """The same video content is enrolled already, or is given twice."""


class BatchError(WhodrivesError):
    """An output folder of many embedded files cannot be used: it is something else, or was begun in another way."""
