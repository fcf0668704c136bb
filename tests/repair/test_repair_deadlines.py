"""The deadline is kept, within what cannot be interrupted, by networks and tables far too large for it."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is absent: it tunes")
pytest.importorskip("pulp", reason="PuLP is absent: it writes the program")
pytest.importorskip("highspy", reason="HiGHS is absent: it solves the program")

from certifair.repair import _fine_tuning
from certifair.repair._bands import FlipSets, bands_of
from certifair.repair._fine_tuning import Tuning, fine_tuned
from certifair.repair._flips import logits
from certifair.repair.base import OutOfTimeError, Task
from certifair.repair.finite import Finite
from certifair.repair.prof import Prof, head_of
from certifair.spec.domain import Domain, Feature
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Network
from tests.repair.finite_cases import single

DOMAIN = Domain(
    "wide",
    (
        *(Feature(f"x{k}", "integer", 0, 20) for k in range(10)),
        Feature("sex", "integer", 0, 1, sensitive=True),
        Feature("age", "integer", 0, 90, sensitive=True),
    ),
)
GRACE = 10.0
"""A busy machine's; what never looks at the clock takes several times as long."""


def network(*widths):
    steps, inputs = [], 12
    for number, width in enumerate(widths):
        steps.append(Affine(len(steps), single((width, inputs), number, inputs**-0.5), np.zeros(width)))
        steps.append(Activation(len(steps), "relu"))
        inputs = width
    return Network(12, (*steps, Affine(len(steps), single((1, inputs), 99), np.zeros(1))), len(steps) + 1)


def people(n):
    random = np.random.default_rng(0)
    parts = random.integers(0, 21, (n, 10)), random.integers(0, 2, n), random.integers(0, 91, n)
    return np.column_stack(parts).astype(np.float64), random.integers(0, 2, n).astype(np.float64)


def seconds(does):
    began = time.monotonic()
    found = does()
    return time.monotonic() - began, found


@pytest.mark.parametrize(("widths", "rows"), [((400,) * 4, 2000), ((64,) * 5, 20_000)])
def test_finite_takes_no_longer_than_its_time_and_one_evaluation(widths, rows):
    net, (points, wanted) = network(*widths), people(rows)
    evaluation, _ = seconds(lambda: logits(layers_of(net), points))
    for time_for_it in (0.0, 0.01, 0.5):
        task = Task(net, DOMAIN, points, wanted, deadline=time.monotonic() + time_for_it)
        took, found = seconds(lambda task=task: Finite().repair(task))
        assert found.network is not None
        assert took < time_for_it + evaluation + GRACE


def test_finite_gives_its_start_at_once_where_the_time_is_over():
    net, (points, wanted) = network(1000, 1000), people(20_000)
    for objective in ("accuracy", "change"):
        task = Task(net, DOMAIN, points, wanted, objective, deadline=time.monotonic())
        took, found = seconds(lambda task=task: Finite().repair(task))
        assert "no time was left to look at rows" in found.reason
        assert not found.network.steps[0].weight[:, 10:].any()
        assert took < GRACE


def test_prof_ends_in_time_where_one_epoch_takes_many_times_as_long():
    net, (points, wanted) = network(400, 400, 400, 400), people(500)
    Prof(epochs=0, rows=1).repair(Task(network(3), DOMAIN, points, wanted))  # imports
    task = Task(net, DOMAIN, points, wanted, deadline=time.monotonic() + 1)
    took, found = seconds(lambda: Prof().repair(task))
    assert (found.network, found.status) == (None, "time limit")
    assert "no time was left for the bounds" in found.reason
    assert took < 1 + GRACE


def test_bounds_of_rows_end_in_time():
    net, (points, _) = network(200, 200), people(200)
    began = time.monotonic()
    with pytest.raises(OutOfTimeError):
        bands_of(layers_of(net), FlipSets.of(DOMAIN, points), began + 0.2)
    assert time.monotonic() - began < 0.2 + GRACE


def test_an_epoch_that_is_not_done_in_time_changes_nothing():
    net, (points, wanted) = network(300, 300, 300), people(200)
    ends = FlipSets.of(DOMAIN, points).ends()
    took, tuned = seconds(
        lambda: fine_tuned(net, head_of(net), Tuning(points, wanted, ends, 50, time.monotonic() + 0.5))
    )
    assert took < 0.5 + GRACE
    for old, new in zip(net.steps, tuned.steps, strict=True):
        if isinstance(old, Affine) and isinstance(new, Affine):
            np.testing.assert_array_equal(old.weight, new.weight)


def test_derivatives_are_not_begun_that_would_end_too_late(monkeypatch):
    """A first half of 0.2 s is taken for a third of the whole."""
    net, (points, wanted) = network(5), people(20)
    forward = _fine_tuning.values
    monkeypatch.setattr(_fine_tuning, "values", lambda *given: time.sleep(0.2) or forward(*given))
    tuning = Tuning(points, wanted, FlipSets.of(DOMAIN, points).ends(), 50, time.monotonic() + 0.5)
    assert fine_tuned(net, head_of(net), tuning).steps[0].weight.tolist() == net.steps[0].weight.tolist()


def test_an_epoch_in_parts_is_an_epoch(monkeypatch):
    net, (points, wanted) = network(8, 5), people(37)
    tuning = Tuning(points, wanted, FlipSets.of(DOMAIN, points[:11]).ends(), 5, np.inf)
    whole = fine_tuned(net, head_of(net), tuning)
    monkeypatch.setattr(_fine_tuning, "WORK", 4000)
    assert _fine_tuning._boxes_at_once(net, 4) < 6
    assert _fine_tuning._rows_at_once(net) < 20
    parts = fine_tuned(net, head_of(net), tuning)
    for one, other in zip(whole.steps, parts.steps, strict=True):
        if isinstance(one, Affine) and isinstance(other, Affine):
            np.testing.assert_allclose(one.weight, other.weight, rtol=1e-4, atol=1e-6)
