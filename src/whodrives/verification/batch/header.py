"""``batch.json``: how an output folder was begun, so that nothing else is ever mixed into it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from whodrives.data.listing import some
from whodrives.errors import WhodrivesError
from whodrives.verification.batch.parts import WORK
from whodrives.verification.embedding import require_same_weights
from whodrives.verification.errors import BatchError
from whodrives.video.contract import PreprocessingContract

NAME = "batch.json"
FORMAT, VERSION = "whodrives-embeddings", 1


@dataclass(frozen=True)
class BatchHeader:
    """What every row of an output folder has in common.

    Parameters
    ----------
    model : name, version and digest of the weights. clip_length : T. hop : frames between windows. crop : rule, None:
        that of the contract. labels : column of the manifest -> Arrow type.
    """

    model: Mapping[str, Any]
    contract: PreprocessingContract
    clip_length: int
    hop: int
    crop: str | None
    labels: Mapping[str, str]

    @property
    def metadata(self) -> dict[str, str]:
        """Of the Parquet files."""
        facts = {"weights": str(self.model["digest"]), "contract": self.contract.digest(), "hop": str(self.hop)}
        return facts | ({"crop": self.crop} if self.crop else {})

    def to_json(self) -> str:
        """The text of the file."""
        values = {**asdict(self), "contract": self.contract.to_dict()}
        return json.dumps({"format": FORMAT, "version": VERSION, **values}, indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> BatchHeader:
        """Inverse of `to_json`. Raises BatchError."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("format") != FORMAT or values.pop("version") != VERSION:
                raise KeyError("format")
            return cls(**{**values, "contract": PreprocessingContract.from_dict(values["contract"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, WhodrivesError) as error:
            raise BatchError(
                f"{path}: is no header that this whodrives can read ({error!r}); give a new or an empty folder"
            ) from None

    def require_same(self, other: BatchHeader, path: Path) -> None:
        """Raise WeightsMismatchError, ContractMismatchError or BatchError unless the folder was begun like this."""
        where = f"{path.parent}, which was begun before"
        require_same_weights(str(self.model["digest"]), str(other.model["digest"]), where)
        self.contract.require_same(other.contract, where)
        for name in ("clip_length", "hop", "crop", "labels"):
            if getattr(self, name) != getattr(other, name):
                raise BatchError(
                    f"{path}: was begun with {name} {getattr(other, name)}, not {getattr(self, name)}; go on with the "
                    "same, or give a new folder"
                )


def labels_of(table: pa.Table) -> dict[str, str]:
    """Label columns and their types, as the header states them."""
    return {field.name: str(field.type) for field in table.schema}


def agree(out: Path, header: BatchHeader) -> None:
    """Write the header into a new folder; an existing one must say the same. Several processes may begin at once.

    Raises
    ------
    BatchError, WeightsMismatchError, ContractMismatchError
        The folder holds something else, or was begun in another way.
    """
    path = out / NAME
    if not path.exists():
        foreign = {entry.name for entry in os.scandir(out) if not entry.name.startswith(f".{NAME}.")} - {WORK, NAME}
        if foreign and not path.exists():
            raise BatchError(
                f"{out}: is no folder of embeddings and not empty (it holds {some(foreign, 3)}); give a new or an "
                "empty folder"
            )
        handle, aside = tempfile.mkstemp(dir=out, prefix=f".{NAME}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(header.to_json())
            os.chmod(aside, 0o644)
            _place(aside, path)
        finally:
            Path(aside).unlink(missing_ok=True)
    header.require_same(BatchHeader.read(path), path)


def _place(aside: str, path: Path) -> None:
    """The first to come names the file; whoever comes later compares."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        os.replace(aside, path)
