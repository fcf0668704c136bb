"""Everybody, tallied once: exact counts and sums of every joint cell (batch × each declared column × label).

Whatever a claim asks of its groups is added up from these few cells, as integers, instead of from all rows again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from certifair.exact.decimals import largest_float_at_most
from certifair.exact.sums import ExactSums, exact_sums
from certifair.spec.policy import Values

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Axis = tuple[Codes, int]
DENSE = 1 << 16
"""Up to so many joint cells all are kept; of more only those that somebody is in."""


class Coded(Protocol):
    """What has group codes: rows of a bundle, or joint cells of a cube. All arrays have one length."""

    @property
    def values(self) -> Values: ...
    @property
    def codes(self) -> Mapping[str, Codes]: ...
    @property
    def batch(self) -> Codes: ...
    @property
    def labels(self) -> Array | None: ...


@final
class Cube:
    """Joint cells. `codes`, `batch` and `labels` are those of each cell, shape (cells,).

    `labels` are None unless the rows' labels are binary: other labels are no condition.
    """

    def __init__(self, rows: Coded, sources: Mapping[str, Array]) -> None:
        self.values = rows.values
        self._sources = sources
        same = "scores" in sources and np.array_equal(sources["scores"], sources["served"])
        self._alias = {"scores": "served"} if same else {}  # scores that were served as they are, tallied once
        axes = [(codes, len(rows.values[name])) for name, codes in rows.codes.items()]
        binary = rows.labels is not None and bool(((rows.labels == 0) | (rows.labels == 1)).all())
        if binary and rows.labels is not None:
            axes.append((rows.labels.astype(np.int64), 2))
        batches = int(rows.batch.max()) + 1
        if batches > 1:
            axes.append((rows.batch, batches))
        self._joint, decoded = _joint(axes, len(rows.batch))
        self.size = len(decoded[0])
        self.codes: dict[str, Codes] = dict(zip(rows.codes, decoded, strict=False))
        self.labels = decoded[len(self.codes)].astype(np.float64) if binary else None
        self.batch = decoded[-1] if batches > 1 else np.zeros(self.size, dtype=np.int64)
        self.counts = np.bincount(self._joint, minlength=self.size)
        self._positives: dict[tuple[str, Fraction], NDArray[np.int64]] = {}
        self._sums: dict[str, ExactSums] = {}

    def positives(self, source: str, threshold: Fraction) -> NDArray[np.int64]:
        """How many of each cell lie above the threshold as it was written, shape (cells,)."""
        key = (self._alias.get(source, source), threshold)
        if key not in self._positives:
            above = self._sources[source] > largest_float_at_most(threshold)
            self._positives[key] = np.bincount(self._joint + self.size * above, minlength=2 * self.size)[self.size :]
        return self._positives[key]

    def sums(self, source: str) -> ExactSums:
        """The exact sum of a source over each cell."""
        source = self._alias.get(source, source)
        if source not in self._sums:
            self._sums[source] = exact_sums(self._sources[source], self._joint, self.size)
        return self._sums[source]


def _joint(axes: list[Axis], n: int) -> tuple[Codes, list[Codes]]:
    """(each row's joint cell, the code of each cell along every axis). Small products are kept whole."""
    size = math.prod(width for _, width in axes)
    joint = np.zeros(n, dtype=np.int64)
    if size <= DENSE:
        for codes, width in axes:
            joint = joint * width + codes if joint.any() else codes
        return joint, [part.ravel() for part in np.indices([width for _, width in axes])]
    first = np.arange(0)
    for codes, width in axes:
        # numbered anew after each axis, so that no product of widths outgrows an integer
        _, first, joint = np.unique(joint * width + codes, return_index=True, return_inverse=True)
    return joint, [codes[first] for codes, _ in axes]
