"""What the paper's algorithm guarantees, row by row, and what it does not."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from certifair.online import PrimalDual, PrimalDualState
from tests.online.paper_cases import SETTINGS, SEX, SIZES, run, stream
from tests.oracles import online_oracle as oracle


@pytest.mark.parametrize("options", [option for option in SETTINGS if option.get("absent") != "zero"])
def test_the_telescoped_bound(options: dict[str, Any]) -> None:
    """Per row, in rationals: Σ b (gap − ε) ≤ λ_last/η_last − λ_first/η_first + Σ |rounding of λ|/η."""
    online = PrimalDual(**options)
    rows = oracle.rows_of(online.description)
    epsilon = online.demand.epsilon
    for seed, multiplier in ((1, 0.0), (2, 0.75)):
        state = PrimalDualState(5, (multiplier,) * len(rows))
        batches = stream(online.description, SIZES, seed)
        served, last = run(online, batches, state)
        for row in rows:
            key = f"multiplier.{row.name}"
            after = [record.columns[key] for _, record in served[1:]]
            after.append(last.multipliers[rows.index(row)])
            total = rounding = first = Fraction(0)
            bound = None
            for (y, record), (_, who), following in zip(served, batches, after, strict=True):
                gap = oracle.gap_of(row, who, y)
                if gap is None:
                    continue
                eta, current = Fraction(record.columns["eta"]), Fraction(record.columns[key])
                v = len(who) * (gap - epsilon)
                total += v
                rounding += abs(Fraction(following) - max(Fraction(0), current + eta * v)) / eta
                first = first if bound is not None else current / eta
                bound = Fraction(following) / eta - first
            assert bound is not None
            assert total <= bound + rounding
            assert rounding < Fraction(1, 10**9)


def test_the_average_is_within_its_bound_and_the_pooled_gap_is_another_number() -> None:
    """One attribute, a minority of 20%, batches of 4: where shares vary, means of batches say little about people."""
    rng = np.random.default_rng(11)
    online = PrimalDual("demographic_parity", "0.02", **SEX)
    state, predictions, groups = online.init(), [], []
    for _ in range(2000):
        sex = np.where(rng.random(4) < 0.2, "f", "m")
        scores = np.clip(rng.normal(0.35 + 0.24 * (sex == "m"), 0.2), 0, 1)
        state, y, _ = online.step(state, scores, sex)
        predictions.append(y)
        groups.append(sex)
        assert state.multipliers[0] <= 0.5 * 4 * (1 - 0.02)  # point 5, with W = 1
    gaps = [
        abs(y[sex == "f"].mean() - y[sex == "m"].mean())
        for y, sex in zip(predictions, groups, strict=True)
        if 0 < (sex == "f").sum() < 4
    ]
    assert len(gaps) == state.step
    assert np.mean(gaps) <= 0.02 + state.multipliers[0] * math.sqrt(state.step) / 0.5 / (4 * len(gaps)) + 1e-12
    assert np.mean(gaps) < 0.03
    y, sex = np.concatenate(predictions), np.concatenate(groups)
    assert abs(y[sex == "f"].mean() - y[sex == "m"].mean()) > 0.06
