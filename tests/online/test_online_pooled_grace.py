"""The pooled algorithm's grace: wider limits for the first people, which end, and what they save."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from certifair.layer import FairnessLayer
from certifair.online._pooled_cells import limits_of, width_of
from tests.online.pooled_cases import counted, online, run, simulated


@pytest.mark.parametrize("function", [limits_of, limits_of.py_func])
def test_limits(function: Any) -> None:
    """E · grace / n, rounded down, never less than E or what there is, of each block by itself; nothing overflows."""
    layout = online("two features")._settings.layout
    sums = counted([(2, 2), (0, 0), (0, 0), (2, 70), (0, 0), (2, 50)])
    assert [width_of(b, layout, sums) for b in (0, 1)] == [29, 7]  # means of the sexes: 1 and 30; of the ages: 18, 25
    for people, tolerance, wanted in (
        (7, (10, 0), (29, 10)),
        (7, (10, 30), (42, 42)),
        (29, (10, 30), (29, 10)),
        (25, (10, 30), (29, 12)),
        (30, (10, 30), (29, 10)),
        (40, (10, 30), (29, 10)),
        (1, (1 << 42, 10**6), (10**6 << 42, 10**6 << 42)),
        (1 << 40, (1 << 42, 10**6), (1 << 42, 1 << 42)),
    ):
        assert function(0, layout, sums, people, tolerance).tolist() == [*wanted]


@pytest.mark.parametrize("seed", [0, 4])
def test_a_grace_spares_the_first_people(seed: int) -> None:
    """One in twenty, scores that spread by 12 ε, one by one: the README's target of 5% and 1e-4, for 6 000 people."""
    scores, groups = simulated(6000, 0.05, (0.5, 0.48), 0.25, seed)
    hindsight = FairnessLayer("demographic_parity", "0.02")(torch.from_numpy(scores), groups).numpy()
    costs = [float(np.mean((hindsight - scores) ** 2))]
    for grace in (1900, 0):
        algorithm = online("two groups", grace=grace)
        predictions, state = run(algorithm, algorithm.init(), scores, groups, 1)
        costs.append(float(np.mean((predictions - scores) ** 2)))
        assert max(algorithm.gaps(state).values()) <= Fraction("0.02")
    least, spared, held = costs
    assert spared <= 1.05 * least + 3e-4
    assert spared - least < (held - least) * 2 / 3


def test_a_grace_ends() -> None:
    """Two far groups: far apart at first, never farther once 400 are served, and soon within ε for good."""
    scores, groups = simulated(900, 0.3, (0.9, 0.1), 0.1, seed=8)
    algorithm = online("two groups", grace=400)
    state, gaps = algorithm.init(), list[Fraction]()
    for i, group in enumerate(groups.tolist()):
        state, _, _ = algorithm.step(state, scores[i : i + 1], ["fm"[group]])
        gaps += algorithm.gaps(state).values() or [Fraction(0)]
    epsilon, rounding = Fraction("0.02"), 2 * algorithm.demand.grid.step
    assert max(gaps) > Fraction("0.05")
    assert all(gap <= epsilon * 400 / (i + 1) for i, gap in enumerate(gaps[:200]))
    assert all(after <= max(epsilon, before + rounding) for before, after in itertools.pairwise(gaps[398:]))
    assert max(gaps[500:]) <= epsilon


def test_a_large_batch_ends_a_grace() -> None:
    scores, groups = simulated(300, 0.3, (0.9, 0.1), 0.1, seed=9)
    for grace in (0, 300):
        algorithm = online("two groups", grace=grace)
        _, state = run(algorithm, algorithm.init(), scores, groups, 300)
        assert max(algorithm.gaps(state).values()) <= Fraction("0.02")
