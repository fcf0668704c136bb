"""What a network might be shown in place of the sensitive inputs, and which of these values are the best."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from certifair.individual import decision_of
from certifair.repair._flips import free_features, logits
from certifair.repair._tuning import Examples
from certifair.repair.base import Array, Task
from certifair.spec.domain import Feature
from certifair.spec.network import Affine, Network, reads

MOST: Final = 4096
"""Combinations of values that are tried; of more a seeded sample."""
GLANCES: Final = ((1000, 100), (5000, 20))
"""On so many rows, how many of the best go on."""


def ignores(network: Network, columns: list[int]) -> bool:
    """Whether the output cannot depend on these inputs: only affine steps read the inputs, with weights 0 there."""
    first = [step for step in network.steps if 0 in reads(step)]
    return network.output > 0 and all(isinstance(x, Affine) and not x.weight[:, columns].any() for x in first)


def best_values(task: Task, columns: list[int], examples: Examples, until: float) -> list[Array]:
    """What these inputs might be shown: the values (k,) with which most rows, of a sample, are decided as they should.

    until: of time.monotonic; after it no more values are tried, and those that were not are left out.
    """
    layers, found = decision_of(task.network), list(_values(task))
    order = np.random.default_rng(task.seed).permutation(len(task.rows))
    for rows, most in GLANCES:
        if len(found) <= most:
            continue
        some = examples.part(order[:rows])
        scores = []
        for value in found:
            if time.monotonic() > until:
                break
            points = some.rows.copy()
            points[:, columns] = value
            scores.append(int(((logits(layers, points) > 0) == (some.targets > 0)).sum()))
        found = [found[k] for k in np.argsort(-np.array(scores), kind="stable")[:most]]
    return found


def _values(task: Task) -> Iterator[Array]:
    """Combinations of sensitive values; relaxed inputs at the rows' median."""
    choices = [_choices(feature, task.rows[:, columns]) for feature, columns in free_features(task.domain)]
    if math.prod(len(choice) for choice in choices) <= MOST:
        yield from (np.concatenate(parts) for parts in itertools.product(*choices))
        return
    random = np.random.default_rng(task.seed)
    yield np.concatenate([choice[len(choice) // 2] for choice in choices])
    for _ in range(MOST - 1):
        yield np.concatenate([choice[random.integers(len(choice))] for choice in choices])


def _choices(feature: Feature, values: Array) -> Array:
    """(k, width)."""
    if feature.eps:
        return np.median(values, axis=0, keepdims=True)
    if feature.levels is None:
        return np.unique(
            [[feature.low], np.median(values, axis=0).clip(feature.low, feature.high), [feature.high]], axis=0
        )
    if feature.kind == "integer":
        return np.arange(feature.low, feature.high + 1)[:, None]
    return np.array(list(feature.points()), dtype=np.float64)
