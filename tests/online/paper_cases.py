"""Settings of the paper's algorithm and streams of people: what its tests draw from."""

from __future__ import annotations

from typing import Any

import numpy as np

from certifair.online import PrimalDual, PrimalDualState

SEX: dict[str, Any] = {"features": ["sex"], "values": {"sex": ["f", "m"]}}
BOTH: dict[str, Any] = {"features": ["sex", "age"], "values": {"sex": ["f", "m"], "age": ["young", "old", "older"]}}
TOWN: dict[str, Any] = {"features": ["sex"], "values": {"sex": ["f", "m"], "town": ["yes", "no"]}, "condition": "town"}
SETTINGS: list[dict[str, Any]] = [
    {"metric": "demographic_parity", "epsilon": "0.02", **SEX},
    {"metric": "demographic_parity", "epsilon": 0.1, "absent": "zero", "eta0": "0.3", **SEX},
    {"metric": "demographic_parity", "epsilon": "0.05", "lower": "-3.5", "upper": "3.5", **BOTH},
    {"metric": "demographic_parity", "epsilon": "0", "intersectional": True, "eta0": 2, "absent": "zero", **BOTH},
    {"metric": "conditional_parity", "epsilon": "0.003", "lower": "0.1", "upper": "0.9", **TOWN},
]
Batch = tuple[list[float], list[dict[str, str]]]


def stream(algorithm: Any, sizes: list[int], seed: int) -> list[Batch]:
    """Batches in which the first value of each column scores lower."""
    rng = np.random.default_rng(seed)
    lower, upper = float(algorithm["lower"]), float(algorithm["upper"])
    found = []
    for n in sizes:
        people = [{c: v[int(len(v) * rng.random() ** 1.5)] for c, v in algorithm["values"].items()} for _ in range(n)]
        raised = [0.2 * sum(p[c] != v[0] for c, v in algorithm["values"].items()) for p in people]
        scores = lower + (upper - lower) * (rng.normal(0.35, 0.25, n) + raised)
        found.append((np.round(scores, int(rng.integers(1, 17))).tolist(), people))
    return found


def serve(online: PrimalDual, state: PrimalDualState, batch: Batch) -> tuple[PrimalDualState, list[float], Any]:
    scores, people = batch
    columns = {name: [person[name] for person in people] for name in online.demand.people.values}
    condition = online.demand.people.condition
    following, y, record = online.step(state, scores, columns, None if condition is None else columns[condition])
    return following, y.tolist(), record


def run(online: PrimalDual, batches: list[Batch], start: PrimalDualState) -> tuple[list[Any], PrimalDualState]:
    found, state = [], start
    for batch in batches:
        state, y, record = serve(online, state, batch)
        found.append((y, record))
    return found, state


SIZES = [16, 4, 1, 3, 64, 2, 1, 7, 16, 16] * 3
