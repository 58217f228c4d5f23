"""Errors of the packed frame store: each names the file, says what is wrong and what to do about it."""

from __future__ import annotations

from whodrives.errors import WhodrivesError


class StoreError(WhodrivesError):
    """A folder is no frame store, an unfinished one, or one made under other settings."""


class StoreDamageError(StoreError):
    """Frames of one video cannot be read back: a shard is missing or cut short, or its bytes have changed.

    Attributes
    ----------
    video : int
        Its number in the store.
    shard : str
        The file that is damaged, as a path or URL.
    problem : str
        What is wrong with it.
    """

    def __init__(self, video: int, path: str, shard: str, problem: str) -> None:
        self.video, self.path, self.shard, self.problem = video, path, shard, problem
        super().__init__(
            f"{shard}: {problem}, so frames of {path} are lost. Delete this shard and its .parquet beside it and pack "
            "the videos again: only its videos are decoded"
        )

    def __reduce__(self) -> tuple[type[StoreDamageError], tuple[int, str, str, str]]:
        # Exceptions pickle by their message otherwise, which would not survive a worker process.
        return type(self), (self.video, self.path, self.shard, self.problem)
