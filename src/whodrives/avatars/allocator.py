"""Tell the C library to keep large memory blocks, for processes that render frame after frame."""

from __future__ import annotations

import ctypes
import platform

# glibc's own numbers of the settings, and the largest block that it agrees to keep by size.
_TRIM, _MMAP, _MMAP_MAX = -1, -3, -4
LARGEST = 32 * 2**20
KEPT = 512 * 2**20
_EVERYTHING = 2**31 - 1


def keep_large_blocks(any_size: bool = False) -> bool:
    """Keep freed blocks of up to 32 MB (512 MB in all) in the process instead of handing them back to the system.

    any_size : blocks of any size, and up to 2 GB in all: for training, whose activations are larger than 32 MB and come
        back in every step.

    By default glibc maps fresh pages for large blocks again and again, and touching them for the first time costs a
    renderer a third of its time. The price: memory that was once needed stays with the process. Call it in worker
    processes, once; calling it again does no harm. Nothing but speed and memory changes.

    Returns
    -------
    False where the C library is not glibc (macOS, Windows, musl): nothing was done.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    if any_size:
        return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM, _EVERYTHING))
    return bool(mallopt(_MMAP, LARGEST)) and bool(mallopt(_TRIM, KEPT))
