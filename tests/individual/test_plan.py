"""How long to search, on a clock that only the fake search and the fake check move."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import pytest

from certifair.evidence.witness import COUNTED, OPEN, SPLIT, Tree
from certifair.individual import plan
from certifair.individual.engines.base import Proposal, Task
from certifair.spec.domain import Domain, Feature
from tests.oracles.individual_brute import layer, net

TASK = Task(net(layer([[1.0]], [0.0], 1.0)), Domain("d", (Feature("a", "integer", 0, 1, sensitive=True),)))


def tree(leaves: int) -> Tree:
    """A tree of so many counted leaves, all on one side."""
    kind = bytes([SPLIT, COUNTED] * (leaves - 1) + [COUNTED])
    return Tree(kind, array("H", [0] * len(kind)), array("d", [0.0] * len(kind)))


class World:
    """now, in seconds; the search finds `pace` leaves a second, the check does `rate`, after a start of `loading`."""

    def __init__(self, pace: float, rate: float, *, loading: float = 0.0, goes_on: bool = True) -> None:
        self.now, self.found = 100.0, 0.0
        self.pace, self.rate, self.loading, self.goes_on = pace, rate, loading, goes_on
        self.searched: list[float] = []
        self.patient = True

    def until(self, moment: float) -> Proposal[Tree]:
        spent = moment - self.now
        self.searched.append(spent)
        useful = max(0.0, spent - self.loading)
        self.loading = max(0.0, self.loading - spent)
        self.now, self.found = moment, self.found + useful * self.pace
        if self.found < 1:
            return Proposal(Tree(bytes([OPEN]), array("H", [0]), array("d", [0.0])))
        return Proposal(tree(int(self.found)), (), self.until if self.goes_on else None)

    def check(self, proposed: Tree, deadline: float) -> Any:
        leaves = min(proposed.kind.count(COUNTED), int((deadline - self.now) * self.rate))
        self.now += leaves / self.rate
        return SimpleNamespace(nodes={COUNTED: leaves}, seconds=leaves / self.rate, complete=self.patient)


def planned(world: World, seconds: float, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float]:
    """Leaves of the tree, and the part of the time that is used when they are checked."""
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: world.now))
    engine: Any = SimpleNamespace(domain=lambda task: world.until(task.deadline))
    proposal = plan.within(engine, TASK, 100.0 + seconds, world.check)
    leaves = proposal.about.kind.count(COUNTED)
    return leaves, (world.now - 100.0 + leaves / world.rate) / seconds


@pytest.mark.parametrize("seconds", [4.0, 60.0, 600.0])
@pytest.mark.parametrize(("pace", "rate"), [(9000, 9000), (30000, 5000), (2000, 20000)])
def test_the_time_is_used_and_not_more(seconds, pace, rate, monkeypatch):
    leaves, used = planned(World(pace, rate), seconds, monkeypatch)
    assert leaves > 0
    assert 0.8 <= used <= 1.0


def test_a_search_that_is_over_is_not_gone_on_with(monkeypatch):
    world = World(1000, 1000, goes_on=False)
    planned(world, 60.0, monkeypatch)
    assert len(world.searched) == 1


def test_whoever_interrupts_a_glance_has_had_enough(monkeypatch):
    world = World(1000, 1000)
    world.patient = False
    leaves, _ = planned(world, 60.0, monkeypatch)
    assert leaves > 0
    assert len(world.searched) == 1


@pytest.mark.parametrize("loading", [0.5, 3.0, 20.0])
def test_a_search_that_is_still_being_loaded_is_waited_for(loading, monkeypatch):
    world = World(1000, 10000, loading=loading)
    leaves, used = planned(world, 60.0, monkeypatch)
    assert leaves > 0
    assert used <= 1.0


def test_a_search_that_ends_with_nothing_is_not_repeated(monkeypatch):
    world = World(0, 1000)
    engine: Any = SimpleNamespace(domain=lambda task: Proposal(world.until(world.now + 0.01).about))
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: world.now))
    plan.within(engine, TASK, 160.0, world.check)
    assert len(world.searched) == 1


def test_nothing_is_claimed_where_loading_takes_all_of_the_time(monkeypatch):
    world = World(1000, 10000, loading=100.0)
    leaves, used = planned(world, 60.0, monkeypatch)
    assert leaves == 0
    assert used <= 1.0


@pytest.mark.parametrize("wanted", [1, 5000, 20_000, 10**9])
def test_a_sample_is_a_tree_with_some_of_the_leaves(wanted):
    whole = tree(30_000)
    some = plan._sampled(whole, wanted)
    assert len(some.kind) == len(whole.kind)
    left = some.kind.count(COUNTED)
    assert min(wanted, 30_000) - plan.RUN <= left <= min(wanted + plan.RUN, 30_000)
    assert left > 0
    assert some.kind.count(SPLIT) == whole.kind.count(SPLIT)
    assert some.kind.count(OPEN) + left == 30_000
