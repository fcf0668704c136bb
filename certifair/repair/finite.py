"""Repair over the finite flip sets themselves: the last layer first, earlier ones where that cannot do.

1. The last layer alone: another one by a mixed-integer program over the flip sets (`_last_layer`), which is taken only
   if f, evaluated at every point of every row's flip set, is on one side of 0 by more than its rounding. That will do
   if no fair network is right about more rows: people with one flip set get one decision.
2. The first layer: the network as if everybody had one value of the sensitive inputs (`pinned`), that is with weights 0
   there and other biases: 0, which is zeroing, and every other combination.
3. All layers: the best of 2, trained on with these weights kept at 0.

Why 2 and 3 need no flip sets, and still lose nothing: let g be fair on row x, and v what the sensitive inputs can be. x
with v is in S(x), so g decides x as it decides x with v. So whatever fair network there is, one that reads nothing
sensitive has the same decisions about the rows; and this one is fair wherever one looks, not on the rows alone.

Inputs that are relaxed are pinned as well, at which something may be lost. So zeroing itself, of the sensitive inputs
only, is a candidate too where it is fair on all rows of the domain, which bounds over the relaxed inputs tell
(`_boxes`); where they do not, it is tried with another last layer.

What counts is how many of the rows are decided as they should be. There it is never worse than zeroing, if nothing is
relaxed, or if zeroing is fair on all rows of the domain and the bounds say so in time: before anything else is tried
they have half of the time, 30 s at most, and look at 2^17 boxes beside those of the rows. They cannot tell where f
comes as near to 0 as float64 rounds; and there must be time to evaluate all rows twice. On other rows than these it
could be worse, if what is chosen fits these by chance. So 3 must win on rows that it has not seen, beyond chance; and
so must 1, but where each row's own decision is what is to be kept.

After the deadline nothing more is begun: an evaluation of all rows is begun only if one that was measured fits in, the
first one whenever there is time at all.
"""

from __future__ import annotations

import importlib
import math
import time
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from certifair.individual import decision_of
from certifair.individual.points import inside
from certifair.repair._boxes import unfair_because
from certifair.repair._first_layer import best_values, ignores
from certifair.repair._flips import Mask, alike, free_columns, logits
from certifair.repair._last_layer import with_last_layer
from certifair.repair._tuning import FOLDS, Examples, split, surpasses, tuned, wins
from certifair.repair.base import Array, Method, Repaired, Task
from certifair.repair.zeroing import pinned, sensitive_columns
from certifair.spec.network import Affine, Network

PROGRAM: Final = 30.0
"""Seconds for a program; it may take PART of the time that is left,"""
PART: Final = 0.2
BOUNDS: Final = 0.5
"""bounds for zeroing, with as many seconds at most, this part,"""
TUNING: Final = 60.0
"""and training, in so many seconds, MAIN of it."""
MAIN: Final = 0.9
TRAINED: Final = 5
"""Evaluations of all rows that training takes at least."""


@final
class Finite(Method):
    """Exact finite flip sets, no relaxation. It always proposes a network: where nothing else can be, its start."""

    name = "finite"

    def repair(self, task: Task) -> Repaired:
        decision_of(task.network)  # an error names what cannot be used
        columns = free_columns(task.domain)
        nothing = np.zeros(len(columns))
        start, how = pinned(task.network, columns, nothing), _shown(nothing)
        if task.seconds <= 0:
            return Repaired(start, f"{how}: no time was left to look at rows", _versions())
        examples = _examples(task)
        if task.seconds <= 0:
            return Repaired(start, f"{how}: no time was left after the decisions to be kept", _versions())
        return _Repair.of(task, examples, columns, start, how).run()


def _examples(task: Task) -> Examples:
    """The rows, with their labels or, to be kept, the network's own decisions."""
    if task.labels is not None and task.objective == "accuracy":
        return Examples(task.rows, (task.labels > 0).astype(np.float64))
    return Examples(task.rows, (logits(decision_of(task.network), task.rows) > 0).astype(np.float64))


@final
@dataclass(frozen=True, eq=False)
class _Candidate:
    """how: in words. hits (n,): which rows it decides as it should. change: Σ|Δ| of the weights. fitted: to those rows
    that are not `unseen`.
    """

    network: Network
    how: str
    hits: Mask
    change: float
    fitted: bool = False

    @property
    def right(self) -> int:
        return int(self.hits.sum())

    def better_than(self, other: _Candidate) -> bool:
        return (self.right, -self.change) > (other.right, -other.change)


@final
@dataclass(frozen=True, eq=False)
class _Repair:
    """columns: of what flips, sensitive or relaxed. unseen (n,): rows that no program for labels is fitted to. start:
    shown 0 in all columns. evaluation: how many seconds all rows took.
    """

    task: Task
    examples: Examples
    columns: list[int]
    unseen: Mask
    start: _Candidate
    evaluation: float

    @staticmethod
    def of(task: Task, examples: Examples, columns: list[int], start: Network, how: str) -> _Repair:
        unseen = np.zeros(len(task.rows), dtype=np.bool_)
        if task.labels is not None and task.objective == "accuracy":
            unseen[np.random.default_rng(task.seed).permutation(len(unseen))[: len(unseen) // FOLDS]] = True
        began = time.monotonic()
        hits = examples.right(start)
        took = time.monotonic() - began
        candidate = _Candidate(start, how, hits, _change(task.network, start))
        return _Repair(task, examples, columns, unseen, candidate, took)

    def run(self) -> Repaired:
        said: list[str] = []
        zeroed, unfair = self._zeroed(said)
        most = self._most()
        last = self._last_layer(self.task.network, "another last layer", "last layer", said)
        if last is not None and last.right == most and (not last.fitted or self._wins(last, self.start)):
            return self._answer(last, most, said)
        first = self._first_layer(said)
        if unfair is not None:
            zeroed = self._last_layer(unfair, "zeroing and another last layer", "sensitive inputs only", said)
        trained = self._all_layers(first, most, said)
        best = first
        for found in (last, zeroed, trained):
            best = found if found is not None and self._wins(found, best) else best
        return self._answer(best, most, said)

    def _answer(self, best: _Candidate, most: int, said: list[str]) -> Repaired:
        rows = f"{best.right} of {len(self.task.rows)} rows as they should be, where no fair network is above {most}"
        return Repaired(best.network, f"{best.how}: {rows}; tried: {'; '.join(said)}", _versions())

    def _most(self) -> int:
        """About how many rows a fair network can be right: those with one flip set get one decision."""
        known = inside(self.task.domain, self.task.rows)
        _, which = alike(self.task.domain, self.task.rows[known])
        positive, people = np.bincount(which, self.examples.targets[known]), np.bincount(which)
        return int(np.maximum(positive, people - positive).sum()) + int((~known).sum())

    def _candidate(self, network: Network, how: str, *, fitted: bool = False) -> _Candidate | None:
        """None where there is no time to evaluate it."""
        if self.task.seconds <= self.evaluation:
            return None
        return _Candidate(network, how, self.examples.right(network), _change(self.task.network, network), fitted)

    def _wins(self, found: _Candidate, best: _Candidate) -> bool:
        """Whether it is better, and if it was fitted to some rows, on the others too."""
        doubted = found.fitted and self.unseen.any()
        return found.better_than(best) and (not doubted or surpasses(found.hits[self.unseen], best.hits[self.unseen]))

    def _until(self, most: float, part: float) -> float:
        return time.monotonic() + min(most, part * self.task.seconds)

    def _zeroed(self, said: list[str]) -> tuple[_Candidate | None, Network | None]:
        """Zeroing, where there are relaxed inputs, which it leaves: a candidate if it is fair, or else what is not."""
        columns = sensitive_columns(self.task.domain)
        if columns == self.columns:
            return None, None
        network = pinned(self.task.network, columns, np.zeros(len(columns)))
        why = unfair_because(decision_of(network), self.task.domain, self.task.rows, self._until(PROGRAM, BOUNDS))
        said.append(f"zeroing: {why or 'fair'}")
        return (self._candidate(network, "zeroing"), None) if why is None else (None, network)

    def _last_layer(self, network: Network, how: str, part: str, said: list[str]) -> _Candidate | None:
        found, why = with_last_layer(self.task, network, self.examples, ~self.unseen, self._until(PROGRAM, PART))
        candidate = None if found is None else self._candidate(found, how, fitted=found is not network)
        right = "" if candidate is None else f", {candidate.right} rows as they should be"
        said.append(f"{part}: {why}{right}")
        return candidate

    def _first_layer(self, said: list[str]) -> _Candidate:
        """The best network that is shown one value of everything that flips; at least the start."""
        best = self.start
        for value in best_values(self.task, self.columns, self.examples, self._until(math.inf, PART)):
            try:
                network = pinned(self.task.network, self.columns, value)
            except OverflowError:
                continue
            if not ignores(network, self.columns):
                raise AssertionError("a pinned network still reads what it was not to")
            found = self._candidate(network, _shown(value))
            if found is None:
                break
            best = found if found.better_than(best) else best
        said.append(f"first layer: {best.how}")
        return best

    def _all_layers(self, start: _Candidate, most: int, said: list[str]) -> _Candidate | None:
        network, why = self._trained(start, most)
        said.append(f"all layers: {why}")
        return None if network is None else self._candidate(network, f"{start.how}, then trained")

    def _trained(self, start: _Candidate, most: int) -> tuple[Network | None, str]:
        until, seed = self._until(TUNING, MAIN), self.task.seed
        if start.right == most:
            return None, "nothing can be better"
        if len(self.task.rows) < 4 * FOLDS or until - time.monotonic() <= TRAINED * self.evaluation:
            return None, "too few rows for training, or no time"
        if not wins(start.network, self.columns, self.examples, seed, until):
            return None, "training did not win on rows left out"
        network = tuned(start.network, self.columns, *split(self.examples, seed), seed, until)
        if not ignores(network, self.columns):
            raise AssertionError("training gave a weight to what the network was not to read")
        return network, "trained"


def _shown(value: Array) -> str:
    return "shown (" + ", ".join(f"{number:g}" for number in value) + ")"


def _versions() -> str:
    try:
        highspy: Any = importlib.import_module("highspy")
    except ModuleNotFoundError:
        return "none"
    return f"HiGHS {highspy.Highs().version()}"


def _change(before: Network, after: Network) -> float:
    """Σ|Δ| over the weights; infinite where the steps are others."""
    pairs = list(zip(before.steps, after.steps, strict=False))
    if len(before.steps) != len(after.steps) or any(type(old) is not type(new) for old, new in pairs):
        return math.inf
    return sum(
        float(np.abs(old.weight - new.weight).sum() + np.abs(old.bias - new.bias).sum())
        for old, new in pairs
        if isinstance(old, Affine) and isinstance(new, Affine)
    )
