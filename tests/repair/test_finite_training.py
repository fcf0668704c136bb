"""Training with the columns of some inputs at 0, and whether it wins beyond chance."""

from __future__ import annotations

import time

import numpy as np

from certifair.repair import _flips, _tuning
from certifair.repair._first_layer import ignores
from certifair.repair._tuning import Examples, surpasses, tuned, wins
from certifair.repair.zeroing import pinned
from certifair.spec.layers import layers_of
from certifair.spec.network import Affine, Network
from tests.repair.finite_cases import COLUMNS, labels, network, people, right, soon


def test_training_keeps_the_columns_at_0_and_lowers_the_loss():
    rows = people(600)
    examples = Examples(rows, labels(rows))
    start = pinned(network(), COLUMNS, np.ones(4))
    found = tuned(start, COLUMNS, examples, examples, 0, soon())
    assert ignores(found, COLUMNS)
    assert right(found, rows, examples.targets) > right(start, rows, examples.targets) + 0.02


def test_training_takes_the_columns_away_from_a_network_that_reads_them():
    rows = people(600)
    examples, start = Examples(rows, labels(rows)), network()
    found = tuned(start, COLUMNS, examples, examples, 0, soon())
    assert not ignores(start, COLUMNS)
    assert ignores(found, COLUMNS)
    assert right(found, rows, examples.targets) > 0.8


def test_training_depends_on_the_seed_alone():
    rows = people(100)
    examples, start = Examples(rows, labels(rows)), pinned(network(), COLUMNS, np.ones(4))
    first, again, other = (
        _flips.logits(layers_of(tuned(start, COLUMNS, *[examples] * 2, k, soon())), rows) for k in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_taking_back_undoes_standardising():
    net, rows = pinned(network(), COLUMNS, np.ones(4)), people(100)
    scales = _tuning._scales(rows)
    back = _tuning._taken_back(net, _tuning._weights(net, COLUMNS, scales), scales)
    assert back is not None
    np.testing.assert_allclose(_flips.logits(layers_of(back), rows), _flips.logits(layers_of(net), rows), rtol=1e-4)


def test_wins_only_where_there_is_something_to_learn():
    rows = people(600)
    start = pinned(network(), COLUMNS, np.ones(4))
    coins = np.random.default_rng(3).integers(0, 2, 600) * 1.0
    assert wins(start, COLUMNS, Examples(rows, labels(rows)), 0, soon(20))
    assert not wins(start, COLUMNS, Examples(rows, coins), 0, soon(20))


def test_chance_is_not_enough():
    """Right on 4 more of 100 rows and wrong on 1 that was right: 3 < 2·√5; on 9 more: 8 > 2·√10."""
    one = Network(1, (Affine(0, np.ones((1, 1)), np.zeros(1)),), 1)
    never = Network(1, (Affine(0, np.zeros((1, 1)), np.zeros(1)),), 1)
    for gained, convinced in ((4, False), (9, True)):
        rows = np.where(np.arange(100) <= gained, 1.0, -1.0)[:, None]
        targets = ((np.arange(100) <= gained) & (np.arange(100) > 0)) * 1.0
        examples = Examples(rows, targets)
        assert surpasses(examples.right(one), examples.right(never)) == convinced


def test_training_ends_at_the_deadline_with_the_best_until_then(monkeypatch):
    monkeypatch.setattr(_tuning, "EPOCHS", 100_000)
    rows = people(600)
    examples, start = Examples(rows, labels(rows)), pinned(network(), COLUMNS, np.ones(4))
    began = time.monotonic()
    found = tuned(start, COLUMNS, examples, examples, 0, began + 0.5)
    assert 0.4 < time.monotonic() - began < 1
    assert right(found, rows, examples.targets) > right(start, rows, examples.targets)
    assert tuned(start, COLUMNS, examples, examples, 0, time.monotonic()) is start


def test_to_win_takes_as_many_rounds_as_there_is_time_for(monkeypatch):
    """Every round takes a tenth of a second, and one is kept for tuning once more."""
    rows = people(600)
    examples, start = Examples(rows, labels(rows)), pinned(network(), COLUMNS, np.ones(4))
    found, rounds = tuned(start, COLUMNS, examples, examples, 0, soon(20)), []

    def slow(*_):
        rounds.append(time.sleep(0.1))
        return found

    monkeypatch.setattr(_tuning, "tuned", slow)
    assert wins(start, COLUMNS, examples, 0, soon(20))
    assert len(rounds) == 5
    rounds.clear()
    assert wins(start, COLUMNS, examples, 0, soon(0.35))
    assert 1 <= len(rounds) <= 2
    rounds.clear()
    monkeypatch.setattr(_tuning, "tuned", lambda *_: rounds.append(0) or start)
    assert not wins(start, COLUMNS, examples, 0, soon(20))
    assert len(rounds) == 1
