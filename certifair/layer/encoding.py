"""Sensitive features, conditions and labels, in whatever form they come, as small whole codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.layer.solvers import _kernels

Codes = NDArray[Any]
_BYTE = 256
_MOST_CELLS = 1 << 16


@final
@dataclass(frozen=True, eq=False)
class Column:
    """One categorical column: `codes` (n,) are indices into `values`."""

    name: str
    values: tuple[str, ...]
    codes: Codes
    counts: NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Encoded:
    """A batch's people by joint cell: `joint` (n,) into the product of `axes`, the last axis running fastest.

    `axes` are the features' columns and, if the metric has conditions, that of the condition. `members` are the joint
    cells (their codes along each axis, (axes, J)), `people` (J,) how many are in each.
    """

    axes: tuple[Column, ...]
    joint: Codes
    members: NDArray[np.int64]
    people: NDArray[np.int64]


def encode_column(values: Any, name: str, declared: Sequence[str] | None) -> Column:
    """A column of codes, texts, booleans or numbers. Raises InputError for what is missing or not declared."""
    array = _array(values, name)
    if array.dtype.kind == "f":
        whole = array.astype(np.int64) if np.isfinite(array).all() else None
        if whole is None or (whole != array).any():
            raise InputError(f"{name!r} holds fractions or missing values, not groups", advice="give codes or texts")
        array = whole
    if array.dtype.kind in "iu" and len(array):
        return _encode_numbers(array, name, declared)
    return _encode_texts(array, name, declared)


def _array(values: Any, name: str) -> NDArray[Any]:
    """The values as an array (n,), without a copy where that can be; booleans and lists of numbers as numbers."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    elif hasattr(values, "to_numpy"):
        values = values.to_numpy()
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    if array.ndim != 1:
        raise InputError(f"{name!r} has the shape {array.shape}, not (n,)")
    if array.dtype.kind == "O" and all(isinstance(value, (bool, int, float, np.number)) for value in array.tolist()):
        array = np.array(array.tolist())
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _is_missing(value: Any) -> bool:
    """None, NaN, and what pandas and numpy have for them."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def _encode_numbers(array: NDArray[Any], name: str, declared: Sequence[str] | None) -> Column:
    small = np.empty(len(array), dtype=np.uint8)
    low, high, total = _kernels.code_range(array, small)
    if low < 0 or high >= _BYTE:
        return _encode_texts(array, name, declared)
    n = len(array)
    counts = np.array([n - total, total], dtype=np.int64) if high == 1 else np.bincount(small)
    if declared is not None:
        return _declared(tuple(str(code) for code in range(len(counts))), small, counts, name, declared)
    if counts.all():
        return Column(name, tuple(map(str, range(len(counts)))), small, counts)
    found = np.flatnonzero(counts)
    table = np.zeros(_BYTE, dtype=np.uint8)
    table[found] = np.arange(len(found))
    return Column(name, tuple(map(str, found.tolist())), table[small], counts[found])


def _encode_texts(array: NDArray[Any], name: str, declared: Sequence[str] | None) -> Column:
    if array.dtype.kind in "OMm":
        missing = np.isnat(array) if array.dtype.kind in "Mm" else [_is_missing(value) for value in array.tolist()]
        if np.any(missing):
            row = int(np.argmax(missing)) + 1
            raise InputError(f"{name!r} is missing in row {row}", advice="make missing values a group of their own")
        array = np.array([str(value) for value in array.tolist()])
    found, codes, counts = np.unique(array, return_inverse=True, return_counts=True)
    names = tuple(str(value) for value in found.tolist())
    if declared is not None:
        return _declared(names, codes, counts, name, declared)
    kind = np.uint8 if len(names) <= _BYTE else np.int32
    return Column(name, names, codes.astype(kind), counts)


def _declared(
    names: tuple[str, ...], codes: Codes, counts: NDArray[np.int64], name: str, declared: Sequence[str]
) -> Column:
    """Codes of the values found become codes of the values declared."""
    index = {value: code for code, value in enumerate(declared)}
    for value, count in zip(names, counts.tolist(), strict=True):
        if count and value not in index:
            raise InputError(f"{name!r} has the undeclared value {value!r}", advice=f"declared: {', '.join(declared)}")
    kind = np.uint8 if len(declared) <= _BYTE else np.int32
    table = np.array([index.get(value, 0) for value in names], dtype=kind)
    found = np.zeros(len(declared), dtype=np.int64)
    for value, count in zip(names, counts.tolist(), strict=True):
        if count:
            found[index[value]] = count
    same = names == tuple(declared)[: len(names)]
    return Column(name, tuple(declared), codes.astype(kind, copy=False) if same else table[codes], found)


def feature_columns(
    features: Any, names: Sequence[str] | None, declared: Mapping[str, Sequence[str]] | None
) -> tuple[Column, ...]:
    """The sensitive features: (n,) or (n, k) codes, a Series, a DataFrame, a mapping from name to column."""
    columns = _named(features, names)
    found = [name for name, _ in columns]
    if not found or len(set(found)) < len(found):
        raise InputError("sensitive_features has no column, or two of one name", advice="give each feature once")
    if names is not None and found != list(names):
        raise InputError(f"sensitive features are {found}, not {list(names)}")
    declared = declared or {}
    return tuple(encode_column(values, name, declared.get(name)) for name, values in columns)


def _named(features: Any, names: Sequence[str] | None) -> list[tuple[str, Any]]:
    if isinstance(features, Mapping) or hasattr(features, "columns"):
        known = list(features if isinstance(features, Mapping) else features.columns)
        wanted = known if names is None else list(names)
        if missing := [name for name in wanted if name not in known]:
            raise InputError(f"sensitive_features has no column {missing[0]!r}", advice=f"given: {known}")
        if len(set(known)) < len(known):
            raise InputError("sensitive_features has two columns of one name", advice="rename one")
        return [(str(name), features[name]) for name in wanted]
    if getattr(features, "ndim", 1) == 2:
        width = features.shape[1]
        found = list(names) if names is not None else [f"feature {k}" for k in range(width)]
        if len(found) != width:
            raise InputError(f"sensitive_features has {width} columns, not those named {found}")
        return [(name, features[:, k]) for k, name in enumerate(found)]
    own = getattr(features, "name", None)
    name = names[0] if names else own if isinstance(own, str) else "group"
    return [(name, features)]


def join(columns: Sequence[Column], n: int) -> Encoded:
    """Everybody's joint cell. Raises InputError for columns of another length, or for far too many cells."""
    for column in columns:
        if len(column.codes) != n:
            raise InputError(f"{column.name!r} has {len(column.codes)} values for {n} scores")
    size = math.prod(len(column.values) for column in columns)
    if len(columns) == 1:
        column = columns[0]
        return Encoded((column,), column.codes, np.arange(len(column.values))[None, :], column.counts)
    if size > _MOST_CELLS:
        return _sparse(columns)
    joint = np.zeros(n, dtype=np.int64)
    for column in columns:
        joint *= len(column.values)
        joint += column.codes
    people = np.bincount(joint, minlength=size)
    members = np.indices([len(column.values) for column in columns]).reshape(len(columns), -1)
    return Encoded(tuple(columns), joint.astype(np.uint8 if size <= _BYTE else np.int32), members, people)


def _sparse(columns: Sequence[Column]) -> Encoded:
    """Only the joint cells that somebody is in."""
    codes = np.stack([column.codes.astype(np.int64) for column in columns], axis=1)
    members, joint, people = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return Encoded(tuple(columns), joint.reshape(-1).astype(np.int32), members.T.copy(), people)
