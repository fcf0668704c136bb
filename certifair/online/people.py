"""Who is in a batch, by cells that are declared in advance: nobody knows the groups of the people to come."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import add
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.canonical import is_unicode
from certifair.layer.encoding import encode_column, feature_columns, join
from certifair.spec import Json, metrics
from certifair.spec.groups import Cell, Partition, cells_of, partitions_of
from certifair.spec.metrics.base import Metric, Row
from certifair.spec.toml_reader import nearest

Indices = NDArray[np.int64]
_WHERE = "online"
_MOST_ROWS, _MOST_CELLS = 1024, 4096
"""Every row has a multiplier, which is a column of its own in the log; 45 groups have 990."""
_LARGE = 4096
"""From so many people on, a compiled pass over an array of codes is faster than looking each up."""
_NUMBERS = frozenset({int, bool, float})


@final
@dataclass(frozen=True, eq=False)
class People:
    """A metric's rows over declared values, and the code of every person.

    `values` are the declared values of each feature, in order, and of the condition, if the metric has one. `rows` (K)
    are those of certificates/README.md 9.2, in its order, all pairs; `pairs` (K, 2) are each row's two cells, indices
    into `cells` (C). People whom no row can tell apart share a **joint cell**, 0 to `joint_cells` − 1: the codes of all
    columns of `values`, the last running fastest. `cell_of` (partitions, joint cells) is the cell in each partition.
    """

    metric: Metric
    features: tuple[str, ...]
    condition: str | None
    intersectional: bool
    values: Mapping[str, tuple[str, ...]]
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    pairs: Indices
    cell_of: Indices
    _tables: tuple[tuple[dict[Any, int], dict[Any, int]], ...]

    @staticmethod
    def of(
        metric: str,
        *,
        features: Sequence[str],
        values: Mapping[str, Sequence[Any]],
        intersectional: bool = False,
        condition: str | None = None,
    ) -> People:
        """Raises InputError for a metric that needs labels, for columns or values that do not fit together."""
        found = _metric(metric, condition)
        declared = _declared(features, values, condition)
        names = tuple(features)
        partitions = partitions_of(names, declared, intersectional=intersectional)
        conditions = declared[condition] if condition is not None else ()
        _check_size(partitions, declared, len(conditions) or 1)
        cells = cells_of(partitions, conditions)
        rows = found.rows(partitions, conditions, condition)
        if not rows:
            raise InputError("no feature has two values: there is nobody to compare", where=_WHERE)
        if len({row.name for row in rows}) < len(rows):
            raise InputError(
                "two rows have the same name", where=_WHERE, advice="rename values that hold ' - ' or ', '"
            )
        index = {cell: c for c, cell in enumerate(cells)}
        pairs = np.array([[index[cell] for cell in row.cells] for row in rows], dtype=np.int64)
        pairs.flags.writeable = False
        cell_of = _cell_of(partitions, declared, index, conditioned=condition is not None)
        return People(
            found, names, condition, intersectional, declared, cells, rows, pairs, cell_of, _tables_of(declared)
        )

    @functools.cached_property
    def row_names(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.rows)

    @property
    def joint_cells(self) -> int:
        """How many joint cells there are."""
        return len(self.cell_of[0])

    @property
    def description(self) -> Json:
        """These members of `algorithm` in certificates/README.md 12.4."""
        return {
            "metric": self.metric.name,
            "sensitiveFeatures": list(self.features),
            "intersectional": self.intersectional,
            "condition": self.condition,
            "values": {name: list(values) for name, values in self.values.items()},
        }

    def encode(self, sensitive_features: Any, conditions: Any, n: int) -> Indices:
        """The joint cell of each of n people, (n,).

        `sensitive_features`: codes or texts (n,) or (n, k), a Series, DataFrame, mapping from name to column;
        `conditions` (n,), None exactly if the metric has none. Raises InputError for what is missing, not declared, or
        not of length n. Plain columns are looked up, which is fastest for few people; all others go through the
        layer's encoding, which also words what is wrong.
        """
        if (conditions is None) != (self.condition is None):
            what = "has no conditions" if self.condition is None else "needs conditions"
            advice = "leave conditions= out" if self.condition is None else "pass conditions="
            raise InputError(f"{self.metric.name} {what}", where=_WHERE, advice=advice)
        columns = self._plain_columns(sensitive_features)
        if columns is not None and conditions is not None:
            columns.append(conditions)
        found = None if columns is None else self._looked_up(columns, n)
        return self._encoded(sensitive_features, conditions, n) if found is None else found

    def _plain_columns(self, features: Any) -> list[Any] | None:
        """The features' columns, in order; None where that is not obvious."""
        names = self.features
        if isinstance(features, dict) or hasattr(features, "columns"):
            try:
                return [features[name] for name in names]
            except Exception:  # whatever the table raises: the layer's encoding words it
                return None
        if getattr(features, "ndim", 1) == 2:
            return [features[:, k] for k in range(len(names))] if features.shape[1] == len(names) else None
        return [features] if len(names) == 1 else None

    def _looked_up(self, columns: Sequence[Any], n: int) -> Indices | None:
        """Sums of the columns' codes times their strides; None if some column is not plain or a value not known."""
        total: Iterable[int] = repeat(0)
        for column, (texts, numbers) in zip(columns, self._tables, strict=True):
            found = _plain(column)
            if found is None or len(found) != n:
                return None
            kinds = set(map(type, found))
            table = texts if kinds == {str} else numbers if kinds <= _NUMBERS else None
            if table is None:
                return None
            codes = map(table.__getitem__, found)
            total = codes if len(columns) == 1 else map(add, total, codes)
        try:
            return np.fromiter(total, dtype=np.int64, count=n)
        except KeyError:
            return None

    def _encoded(self, features: Any, conditions: Any, n: int) -> Indices:
        columns = list(feature_columns(features, self.features, self.values))
        if self.condition is not None:
            columns.append(encode_column(conditions, self.condition, self.values[self.condition]))
        return join(columns, n).joint.astype(np.int64)


def _metric(name: str, condition: str | None) -> Metric:
    if name not in metrics.names():
        raise InputError(f"there is no metric {name!r}", where=_WHERE, advice=nearest(str(name), metrics.names()))
    metric = metrics.get(name)
    if metric.needs_label:
        advice = "enforce it in training, and measure it where labels are known"
        raise InputError(f"{name} needs labels, which are not known while serving", where=_WHERE, advice=advice)
    if metric.needs_condition != (condition is not None):
        what = f"{name} needs the name of a condition" if condition is None else f"{name} has no condition"
        raise InputError(what, where=_WHERE, advice="see condition=")
    return metric


def _declared(
    features: Sequence[str], values: Mapping[str, Sequence[Any]], condition: str | None
) -> dict[str, tuple[str, ...]]:
    """The declared values of the features, in order, and of the condition."""
    if any(isinstance(item, str) for item in (features, *values.values())):
        raise InputError("features and values are lists of texts", where=_WHERE, advice='write ["sex"] for one')
    names = [*features, *([] if condition is None else [condition])]
    if not features or len(set(names)) < len(names):
        what = f"the columns {names} are none, or one stands twice"
        raise InputError(what, where=_WHERE, advice="list each feature once, and another column as condition")
    if set(names) != set(values):
        what = f"values are declared of {sorted(map(str, values))}, not of {sorted(names)}"
        raise InputError(what, where=_WHERE, advice="declare the values of every column: who will come is not known")
    found = {name: tuple(str(value) for value in values[name]) for name in names}
    for name, declared in found.items():
        if not declared or len(set(declared)) < len(declared):
            raise InputError(f"the values of {name!r} are none, or one stands twice", where=_WHERE)
        if not all(map(is_unicode, (name, *declared))):
            raise InputError(f"{name!r} or a value of it is no Unicode text", where=_WHERE)
    return found


def _check_size(partitions: Sequence[Partition], values: Mapping[str, Sequence[str]], conditions: int) -> None:
    joint = math.prod(len(declared) for declared in values.values())
    rows = conditions * sum(math.comb(len(partition.groups), 2) for partition in partitions)
    if joint > _MOST_CELLS or rows > _MOST_ROWS:
        what = f"the declared values make {joint} combinations and {rows} rows"
        raise InputError(what, where=_WHERE, advice=f"at most {_MOST_CELLS} and {_MOST_ROWS}: join rare values")


def _cell_of(
    partitions: Sequence[Partition],
    values: Mapping[str, Sequence[str]],
    index: Mapping[Cell, int],
    *,
    conditioned: bool,
) -> Indices:
    sizes = [len(declared) for declared in values.values()]
    axes = dict(zip(values, np.indices(sizes).reshape(len(sizes), -1), strict=True))
    conditions = list(axes.values())[-1] if conditioned else np.zeros(math.prod(sizes), dtype=np.int64)
    found = np.empty((len(partitions), math.prod(sizes)), dtype=np.int64)
    for p, partition in enumerate(partitions):
        group = np.zeros(math.prod(sizes), dtype=np.int64)
        for feature in partition.features:
            group = group * len(values[feature]) + axes[feature]
        start = index[Cell(p, 0, 0 if conditioned else None)]  # cells stand in the order condition, group
        found[p] = start + conditions * len(partition.groups) + group
    found.flags.writeable = False
    return found


def _tables_of(values: Mapping[str, tuple[str, ...]]) -> tuple[tuple[dict[Any, int], dict[Any, int]], ...]:
    """For each column what a value adds to the joint cell: by text, and by the number that the text writes."""
    found = []
    stride = 1
    for declared in reversed(tuple(values.values())):
        texts = {value: code * stride for code, value in enumerate(declared)}
        numbers = {int(text): code for text, code in texts.items() if _is_integer(text)}
        found.append((texts, numbers))
        stride *= len(declared)
    return tuple(reversed(found))


def _is_integer(text: str) -> bool:
    """Whether it is an integer as str() writes it, of a size that an array may hold."""
    return len(text) < 20 and text.removeprefix("-").isdecimal() and text.isascii() and str(int(text)) == text


def _plain(column: Any) -> Sequence[Any] | None:
    """A column of plain Python texts or numbers; None for anything less obvious."""
    if isinstance(column, (list, tuple)):
        return column
    if not isinstance(column, np.ndarray):
        if hasattr(column, "detach"):
            return column.tolist() if column.ndim == 1 and len(column) < _LARGE else None
        if not hasattr(column, "to_numpy"):
            return None
        column = column.to_numpy()
    if not isinstance(column, np.ndarray) or column.ndim != 1:
        return None
    kind = column.dtype.kind
    if kind in "UO" or (kind in "iufb" and len(column) < _LARGE):
        found: list[Any] = column.tolist()
        return found
    return None
