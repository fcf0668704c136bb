"""What the tests of the pooled algorithm draw from and share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certifair.online.pooled import PooledPrimalDual, PooledState

SEX = {"sex": ["f", "m"]}
SIX = {"group": list("abcdef")}
BOTH = {"sex": ["f", "m"], "age": ["young", "old", "older"]}
SHAPES: dict[str, dict[str, Any]] = {
    "two groups": {"features": ["sex"], "values": SEX},
    "six groups": {"features": ["group"], "values": SIX},
    "two features": {"features": ["sex", "age"], "values": BOTH},
    "intersections": {"features": ["sex", "age"], "values": BOTH, "intersectional": True},
    "conditions": {"features": ["group"], "values": {**SIX, "town": ["yes", "no"]}, "condition": "town"},
    "two features, conditions": {
        "features": ["sex", "age"],
        "values": {**BOTH, "town": ["yes", "no", "?"]},
        "condition": "town",
    },
    "one value": {"features": ["sex", "only"], "values": {**SEX, "only": ["one"]}},
}
People = list[dict[str, str]]


def online(shape: str, epsilon: Any = "0.02", lower: Any = 0, upper: Any = 1, **more: Any) -> PooledPrimalDual:
    chosen = SHAPES[shape]
    metric = "conditional_parity" if "condition" in chosen else "demographic_parity"
    return PooledPrimalDual(metric, epsilon, lower, upper, **chosen, **more)


def columns_of(algorithm: PooledPrimalDual, people: People) -> tuple[Mapping[str, list[str]], list[str] | None]:
    """(sensitive_features, conditions) as `step` takes them."""
    columns = {name: [person[name] for person in people] for name in algorithm.demand.people.values}
    condition = algorithm.demand.people.condition
    return columns, None if condition is None else columns[condition]


def serve(
    algorithm: PooledPrimalDual, state: PooledState, scores: Sequence[float], people: People
) -> tuple[PooledState, list[float], Any]:
    columns, conditions = columns_of(algorithm, people)
    state, predictions, record = algorithm.step(state, np.array(scores), columns, conditions)
    return state, predictions.tolist(), record


def everybody(algorithm: PooledPrimalDual, codes: NDArray[np.int64]) -> People:
    """The people of these joint cells."""
    values = algorithm.demand.people.values
    indices = np.unravel_index(codes, [len(declared) for declared in values.values()])
    return [
        {name: declared[index[i]] for (name, declared), index in zip(values.items(), indices, strict=True)}
        for i in range(len(codes))
    ]


def counted(values: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Sums as a state has them: of each joint cell its people, and what they add up to."""
    return np.array([[n, total >> 20, total & 0xFFFFF] for n, total in values])


def simulated(n: int, share: float, means: tuple[float, float], spread: float, seed: int) -> tuple[Any, Any]:
    """(scores, groups): scores of two groups, of which the second has this share."""
    rng = np.random.default_rng(seed)
    groups = (rng.random(n) < share).astype(int)
    return rng.normal(np.array(means)[groups], spread), groups


def run(algorithm: PooledPrimalDual, state: PooledState, scores: Any, groups: Any, batch: int) -> tuple[Any, Any]:
    """(predictions, last state) with two groups, so many people at a time."""
    values = np.array(algorithm.demand.people.values["sex"])[groups]
    found = []
    for begin in range(0, len(scores), batch):
        part = slice(begin, begin + batch)
        state, predictions, _ = algorithm.step(state, scores[part], values[part])
        found.append(predictions)
    return np.concatenate(found), state
