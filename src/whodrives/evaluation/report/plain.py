"""Text that every format can hold."""

from __future__ import annotations

import re

# Control characters and unpaired surrogates (file names that are no UTF-8): neither XML nor UTF-8 can hold them. Marks
# that turn the direction of writing could make one name look like another.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """The text with every character that a page cannot hold shown as U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", text)
