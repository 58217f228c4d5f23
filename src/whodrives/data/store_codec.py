"""How a chunk of consecutive frames becomes bytes and back, without loss. docs/store.md has the measurements."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from whodrives.data.store_errors import StoreError

# Measured: level 6 reads some 20 % faster than 3 and is 5 % smaller; above it, little but packing time grows.
_LEVEL = 6


class ChunkCodec(Protocol):
    """Frames are uint8 (N, S, S) in C order. `plain` says that the bytes of a chunk are the frames themselves."""

    plain: bool

    def encode(self, frames: NDArray[np.uint8]) -> bytes:
        """The bytes of one chunk."""

    def decode(self, data: memoryview, count: int, first: int, out: NDArray[np.uint8]) -> None:
        """Write frames `first`, `first` + 1 ... of a chunk of `count` into `out` (K, S, S).

        Raises ValueError when the bytes are not such a chunk.
        """


class RawCodec:
    """The frames as they are: the fastest, S * S bytes a frame."""

    plain = True

    def encode(self, frames: NDArray[np.uint8]) -> bytes:
        """The bytes of the frames."""
        return frames.tobytes()

    def decode(self, data: memoryview, count: int, first: int, out: NDArray[np.uint8]) -> None:
        """Copy; ValueError when there are not `count` frames."""
        out[:] = np.frombuffer(data, np.uint8).reshape(count, *out.shape[1:])[first : first + len(out)]


class DeltaCodec:
    """The first frame and the differences of every other one to the frame before, modulo 256, through Zstandard."""

    plain = False

    def encode(self, frames: NDArray[np.uint8]) -> bytes:
        """Compressed differences."""
        change = frames.copy()
        change[1:] -= frames[:-1]
        packed: bytes = pa.Codec("zstd", compression_level=_LEVEL).compress(change.tobytes(), asbytes=True)
        return packed

    def decode(self, data: memoryview, count: int, first: int, out: NDArray[np.uint8]) -> None:
        """Sum the differences up; frames behind the last one wanted are not summed. ValueError on damaged bytes."""
        side = out.shape[1:]
        size = count * side[0] * side[1]
        try:
            # A codec of its own for each call: threads must not share one.
            plain = pa.Codec("zstd").decompress(data, decompressed_size=size)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(str(error)) from error
        change = np.frombuffer(plain, np.uint8).reshape(count, *side)
        out[0] = change[0]
        # One call a frame: np.add.accumulate over the first axis is twenty times slower, it goes pixel by pixel.
        for number in range(1, first + 1):
            np.add(out[0], change[number], out=out[0])
        for number in range(1, len(out)):
            np.add(out[number - 1], change[first + number], out=out[number])


CODECS: dict[str, ChunkCodec] = {"delta": DeltaCodec(), "raw": RawCodec()}


def load_codec(name: str) -> ChunkCodec:
    """A codec by name. Raises StoreError with the known ones."""
    if name not in CODECS:
        raise StoreError(f"frame codec {name!r} is not known; choose one of {', '.join(CODECS)}")
    return CODECS[name]
