"""Trees of frozen dataclasses to plain JSON values and back, checked field by field."""

from __future__ import annotations

import math
import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from whodrives.errors import InputError


def encode(value: Any, where: str = "result") -> Any:
    """A dataclass tree as dicts, lists, strings, numbers and None. Raises InputError for NaN, infinity and other types.

    where : the place in the tree, for the message.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: encode(getattr(value, one.name), f"{where}.{one.name}") for one in fields(value)}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{where}: the name {key!r} is no text; use str()")
        return {key: encode(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item, f"{where}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where} is {value}; use null for what could not be measured")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InputError(f"{where} is a {type(value).__name__}; a report holds text, numbers, lists and names only")


def decode(kind: Any, value: Any, where: str = "result") -> Any:
    """A plain JSON value as the type `kind`: a dataclass, tuple[...], dict[str, X], a union or a plain type.

    Raises InputError that names the place: a missing or unknown field, a wrong type, a number that is not finite.
    """
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union(inside, value, where)
    if origin is dict:
        _need(isinstance(value, dict), value, "an object", where)
        return {key: decode(inside[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is tuple:
        _need(isinstance(value, tuple | list), value, "a list", where)
        wanted = [inside[0]] * len(value) if inside[-1] is Ellipsis else list(inside)
        _need(len(wanted) == len(value), value, f"a list of {len(wanted)}", where)
        return tuple(decode(one, item, f"{where}[{number}]") for number, (one, item) in enumerate(zip(wanted, value)))
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _need(number and math.isfinite(value), value, "a finite number", where)
        return float(value)
    if kind is int:
        _need(isinstance(value, int) and not isinstance(value, bool), value, "a whole number", where)
    elif kind is type(None):
        _need(value is None, value, "null", where)
    else:
        _need(isinstance(value, kind), value, "true or false" if kind is bool else "text", where)
    return value


def _need(holds: bool, value: Any, wanted: str, where: str) -> None:
    if not holds:
        raise InputError(f"{where} must be {wanted}, not {str(value)[:60]!r}")


def _union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    wanted = [kind for kind in kinds if kind is not type(None)]
    if isinstance(value, dict):
        # Of several dataclasses the one whose fields fit best is meant, so that its message is the one given.
        wanted.sort(key=lambda kind: -len({one.name for one in fields(kind)} & set(value)) if is_dataclass(kind) else 1)
        return decode(wanted[0], value, where)
    for kind in wanted[:-1]:
        try:
            return decode(kind, value, where)
        except InputError:
            continue
    return decode(wanted[-1], value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    _need(isinstance(value, dict), value, "an object", where)
    known = {one.name: one for one in fields(kind)}
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise InputError(f"{where} has the unknown field {unknown[0]!r}; known are {', '.join(known)}")
    missing = [
        name
        for name, one in known.items()
        if name not in value and one.default is MISSING and one.default_factory is MISSING
    ]
    if missing:
        raise InputError(f"{where} lacks the field {missing[0]!r}")
    hints = get_type_hints(kind)
    return kind(**{name: decode(hints[name], item, f"{where}.{name}") for name, item in value.items()})
