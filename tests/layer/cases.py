"""Batches that are hard on a projection: what the layer's tests draw from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from certifair.layer import FairnessLayer, Projection
from tests.oracles import layer_oracle as oracle

Floats = NDArray[np.float64]
BITS = {torch.float64: 40, torch.float32: 24}
BOXES = ("0 1", "-3.5 3.5", "0 3.5", "-5 -2", "-1 0", "1e-6 3e-6", "-1e6 3e6", "0.1 0.9", "-0.3 0.7", "0 1e15")
MODERATE = ("uniform", "ties", "equal", "bound", "clipped", "opposite", "near ties", "by group")
FAR = ("1e6", "1e18", "1e300", "denormal", "mixture")


@dataclass(frozen=True, eq=False)
class Case:
    """One problem, and the oracle's view of it."""

    metric: str
    batch: oracle.Batch
    z: torch.Tensor
    epsilon: Fraction
    box: tuple[Fraction, Fraction]
    intersectional: bool = False
    tolerances: Mapping[str, Fraction] | None = None

    @property
    def rows(self) -> list[oracle.Row]:
        return oracle.rows_of(self.metric, self.batch, intersectional=self.intersectional)

    @property
    def limits(self) -> list[Fraction]:
        return [(self.tolerances or {}).get(row.name, self.epsilon) for row in self.rows]

    @property
    def step(self) -> Fraction:
        return step_of(self.box, self.z.dtype)

    @property
    def floats(self) -> tuple[float, float]:
        return float(self.box[0]), float(self.box[1])

    @property
    def scores(self) -> Floats:
        return self.z.double().numpy().copy()

    def layer(self) -> FairnessLayer:
        return FairnessLayer(
            self.metric,
            self.epsilon,
            *self.box,
            intersectional=self.intersectional,
            tolerances=self.tolerances,
        )

    def given(self) -> dict[str, Any]:
        """The layer's arguments beside the scores."""
        features = {name: np.array(texts) for name, texts in self.batch.features.items()}
        conditions = None if self.batch.conditions is None else np.array(self.batch.conditions)
        return {"sensitive_features": features, "labels": self.batch.labels, "conditions": conditions}

    def project(self, z: torch.Tensor | None = None, **more: Any) -> Projection:
        return self.layer().project(self.z if z is None else z, **self.given(), **more)

    def multipliers(self, answer: Projection) -> Floats:
        """In the order of the oracle's rows."""
        found = answer.problems[0].multipliers
        return np.array([found[row.name] for row in self.rows], dtype=np.float64)

    def permuted(self, order: NDArray[np.intp]) -> Case:
        pick = order.tolist()
        batch = oracle.Batch(
            {name: [texts[i] for i in pick] for name, texts in self.batch.features.items()},
            None if self.batch.labels is None else [self.batch.labels[i] for i in pick],
            None if self.batch.conditions is None else [self.batch.conditions[i] for i in pick],
        )
        z = self.z[torch.from_numpy(order)]
        return Case(self.metric, batch, z, self.epsilon, self.box, self.intersectional, self.tolerances)


def step_of(box: tuple[Fraction, Fraction], dtype: torch.dtype) -> Fraction:
    """The grid's step: 2⁻⁴⁰ or 2⁻²⁴ of the power of two that the box's larger end does not exceed."""
    largest = max(abs(box[0]), abs(box[1]))
    exponent = math.frexp(float(largest))[1]
    if Fraction(2) ** (exponent - 1) >= largest:
        exponent -= 1
    return Fraction(2) ** (exponent - BITS[dtype])


def draw_scores(rng: np.random.Generator, kind: str, joint: NDArray[np.int64], low: float, high: float) -> Floats:
    n, width = len(joint), high - low
    if kind == "mixture":
        kinds = ("uniform", "ties", "bound", "1e6", "1e18", "denormal", "near ties", "clipped")
        table = np.stack([draw_scores(rng, name, joint, low, high) for name in kinds])
        return table[rng.integers(0, len(kinds), n), np.arange(n)]
    found = {
        "uniform": low + width * (1.6 * rng.random(n) - 0.3),
        "ties": low + width * rng.integers(-1, 6, n) / 4,
        "equal": np.full(n, low + width * rng.choice([-0.5, 0, 0.25, 1 / 3, 1, 2])),
        "bound": rng.choice([low, high], n),
        "clipped": np.where(joint % 2, high + 3 * width * rng.random(n), low - 3 * width * rng.random(n)),
        "opposite": np.where(joint % 2, high, low),
        "near ties": low + width / 2 + width * rng.integers(-3, 4, n) * 2.0 ** -int(rng.choice([30, 40, 41, 50])),
        "by group": low + width * (0.5 + 0.1 * (joint % 5 - 2) + 0.05 * rng.standard_normal(n)),
        "1e6": low + width * 1e6 * (rng.random(n) - 0.5),
        "1e18": low + width * 1e18 * (rng.random(n) - 0.5),
        "1e300": rng.choice([1.0, 1e-5], n) * 1e300 * (rng.random(n) - 0.5),
        "denormal": rng.choice([5e-324, -5e-324, 1e-310, 0.0, -0.0], n),
    }
    return found[kind].astype(np.float64)


def draw_features(rng: np.random.Generator, n: int, sizes: list[int]) -> list[NDArray[np.int64]]:
    """Even, skewed, mostly one value, or nearly a copy of the feature before."""
    columns: list[NDArray[np.int64]] = []
    for size in sizes:
        column = [
            np.arange(n) % size,
            np.minimum(rng.geometric(0.5, n) - 1, size - 1),
            np.where(rng.random(n) < 0.9, 0, rng.integers(0, size, n)),
            columns[-1].copy() if columns else rng.integers(0, size, n),
        ][rng.integers(0, 4)]
        if rng.random() < 0.3:
            column[rng.integers(0, n)] = 0
        columns.append(column)
    return columns


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    metrics: tuple[str, ...] = oracle.METRICS,
    kinds: tuple[str, ...] = (*MODERATE, *FAR),
    most: int = 120,
    dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32),
    least_epsilon: int = 0,
    boxes: tuple[str, ...] = BOXES,
    groups: int = 12,
) -> Case:
    """`least_epsilon`: 0 from no tolerance at all, 1 from one grid step, 2 from a millionth of the box."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    metric = draw(st.sampled_from(metrics))
    n = draw(st.integers(1, most))
    sizes = draw(st.lists(st.integers(2, groups), min_size=1, max_size=3))
    columns = draw_features(rng, n, sizes)
    joint = sum(((k + 1) * column for k, column in enumerate(columns)), np.zeros(n, dtype=np.int64))
    low, high = (Fraction(text) for text in draw(st.sampled_from(boxes)).split())
    width, dtype = high - low, draw(st.sampled_from(dtypes))
    scores = draw_scores(rng, draw(st.sampled_from(kinds)), joint, float(low), float(high))
    if dtype is torch.float32:
        scores = np.clip(scores, -3e38, 3e38)
    step = step_of((low, high), dtype)
    choices = [Fraction(0), step, 2 * step, width / 10**6, width / 100, width / 20, width / 4, width]
    floors = {0: choices, 1: choices[1:], 2: choices[3:]}[least_epsilon]
    batch = oracle.Batch(
        {f"f{k}": [f"v{value:02d}" for value in column] for k, column in enumerate(columns)},
        _labels(rng, metric, n, (float(low), float(high))),
        [f"c{value}" for value in rng.integers(0, 3, n)] if metric == "conditional_parity" else None,
    )
    case = Case(
        metric,
        batch,
        torch.from_numpy(scores).to(dtype),
        draw(st.sampled_from(floors)),
        (low, high),
        len(sizes) == 2 and max(sizes) <= 4 and draw(st.booleans()),
    )
    names = [row.name for row in case.rows if rng.random() < 0.3] if draw(st.booleans()) else []
    given = {name: floors[rng.integers(0, len(floors))] for name in names}
    return Case(case.metric, case.batch, case.z, case.epsilon, case.box, case.intersectional, given)


def _labels(rng: np.random.Generator, metric: str, n: int, box: tuple[float, float]) -> list[float] | None:
    if metric in oracle.ON_LABEL:
        return [float(value) for value in rng.integers(0, 2, n)]
    if metric != "equalized_residuals":
        return None
    spread = (1.0, 1.3)[rng.integers(0, 2)]
    middle = (box[0] + box[1]) / 2
    return (middle + spread * (box[1] - box[0]) * (rng.random(n) - 0.5)).tolist()  # type: ignore[no-any-return]
