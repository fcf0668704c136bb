"""Repair over the finite flip sets themselves: the last layer first, earlier ones where that cannot do.

1. The last layer alone: another one by a mixed-integer program over the flip sets (`_last_layer`), which is taken only
   if f, evaluated at every point of every row's flip set, is on one side of 0 by more than its rounding. That will do
   if no fair network is right about more rows: people with one flip set get one decision.
2. The first layer: the network as if everybody had one value of the sensitive inputs (`pinned`), that is with weights 0
   there and other biases: 0, which is zeroing, and every other combination.
3. All layers: the best of 2, trained on with these weights kept at 0.

Why 2 and 3 need no flip sets, and still lose nothing: let g be fair on row x, and v what the sensitive inputs can be. x
with v is in S(x), so g decides x as it decides x with v. So whatever fair network there is, one that reads nothing
sensitive has the same decisions about the rows; and this one is fair wherever one looks, not on the rows alone. (Inputs
that are relaxed are pinned as well, at which something may be lost; so it is also tried to leave these, with another
last layer where that is not fair.)

Zeroing is the start, and what counts is how many of the rows are decided as they should be: so it is never worse than
zeroing there, if that is fair. On other rows it could be, if what is chosen fits these by chance. So 3 must win on rows
that it has not seen, beyond chance; and so must 1, but where each row's own decision is what is to be kept.
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
from certifair.repair._first_layer import best_values, ignores
from certifair.repair._flips import Mask, alike, free_columns, logits, unfair_because
from certifair.repair._last_layer import with_last_layer
from certifair.repair._tuning import FOLDS, Examples, split, surpasses, tuned, wins
from certifair.repair.base import Array, Method, Repaired, Task
from certifair.repair.zeroing import pinned, sensitive_columns
from certifair.spec.network import Affine, Network

PROGRAM: Final = 30.0
"""Seconds for a program; it may take PART of the time that is left,"""
PART: Final = 0.2
TUNING: Final = 60.0
"""and for training, which may take MAIN of it."""
MAIN: Final = 0.9
Attempt = tuple["_Candidate | None", str]


@final
class Finite(Method):
    """Exact finite flip sets, no relaxation. It always proposes a network: where nothing else can be, its start."""

    name = "finite"

    def repair(self, task: Task) -> Repaired:
        return _Repair.of(task).run()


@final
@dataclass(frozen=True, eq=False)
class _Candidate:
    """how: in words. right: how many rows it decides as it should. change: Σ|Δ| of the weights. fitted: to those rows
    that are not `unseen`.
    """

    network: Network
    how: str
    right: int
    change: float
    fitted: bool

    def better_than(self, other: _Candidate) -> bool:
        return (self.right, -self.change) > (other.right, -other.change)


@final
@dataclass(frozen=True, eq=False)
class _Repair:
    """columns: of what flips, sensitive or relaxed. unseen (n,): rows that no program for labels is fitted to."""

    task: Task
    examples: Examples
    columns: list[int]
    unseen: Mask

    @staticmethod
    def of(task: Task) -> _Repair:
        """Errors: InputError for a network without plain layers."""
        value = logits(decision_of(task.network), task.rows)
        labels = task.labels if task.objective == "accuracy" else None
        targets = value > 0 if labels is None else labels > 0
        unseen = np.zeros(len(task.rows), dtype=np.bool_)
        if labels is not None:
            unseen[np.random.default_rng(task.seed).permutation(len(unseen))[: len(unseen) // FOLDS]] = True
        return _Repair(task, Examples(task.rows, targets.astype(np.float64)), free_columns(task.domain), unseen)

    def run(self) -> Repaired:
        start, most = self._shown(np.zeros(len(self.columns))), self._most()
        last, why = self._last_layer(self.task.network, "another last layer")
        said = [f"last layer: {why}"]
        if last is not None and last.right == most and (not last.fitted or self._wins(last, start)):
            return self._answer(last, most, said)
        best = first = self._first_layer(start)
        said.append(f"first layer: {first.how}")
        relaxed, why = self._sensitive_only()
        said += [f"sensitive inputs only: {why}"] if why else []
        trained, why = self._all_layers(first, most)
        said.append(f"all layers: {why}")
        for found in (last, relaxed, trained):
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

    def _candidate(self, network: Network, how: str, *, fitted: bool = False) -> _Candidate:
        right = int(self.examples.right(network).sum())
        return _Candidate(network, how, right, _change(self.task.network, network), fitted)

    def _wins(self, found: _Candidate, best: _Candidate) -> bool:
        """Whether it is better, and if it was fitted to some rows, on the others too."""
        unseen = self.examples.part(self.unseen)
        doubted = found.fitted and len(unseen.rows)
        return found.better_than(best) and (not doubted or surpasses(found.network, best.network, unseen))

    def _until(self, most: float, part: float) -> float:
        return time.monotonic() + min(most, part * self.task.seconds)

    def _last_layer(self, network: Network, how: str) -> Attempt:
        found, why = with_last_layer(self.task, network, self.examples, ~self.unseen, self._until(PROGRAM, PART))
        if found is None:
            return None, why
        candidate = self._candidate(found, how, fitted=found is not network)
        return candidate, f"{why}, {candidate.right} rows as they should be"

    def _first_layer(self, start: _Candidate) -> _Candidate:
        """The best network that is shown one value of everything that flips; at least the start."""
        best = start
        for value in best_values(self.task, self.columns, self.examples, self._until(math.inf, PART)):
            if self.task.seconds <= 0:
                break
            found = self._shown(value)
            best = found if found.better_than(best) else best
        return best

    def _shown(self, value: Array) -> _Candidate:
        network = pinned(self.task.network, self.columns, value)
        if not ignores(network, self.columns):
            raise AssertionError("a pinned network still reads what it was not to")
        return self._candidate(network, "shown (" + ", ".join(f"{number:g}" for number in value) + ")")

    def _sensitive_only(self) -> Attempt:
        """Zeroing, where there are relaxed inputs, which it leaves; with another last layer where that is not fair."""
        columns = sensitive_columns(self.task.domain)
        if columns == self.columns:
            return None, ""
        network = pinned(self.task.network, columns, np.zeros(len(columns)))
        until = self._until(PROGRAM, PART)
        if unfair_because(decision_of(network), self.task.domain, self.task.rows, until) is None:
            return self._candidate(network, "zeroing"), "zeroing is fair"
        return self._last_layer(network, "zeroing and another last layer")

    def _all_layers(self, start: _Candidate, most: int) -> Attempt:
        until, seed = self._until(TUNING, MAIN), self.task.seed
        if start.right == most:
            return None, "nothing can be better"
        if len(self.task.rows) < 4 * FOLDS or self.task.seconds <= 0:
            return None, "too few rows for training, or no time"
        if not wins(start.network, self.columns, self.examples, seed, until):
            return None, "training did not win on rows left out"
        network = tuned(start.network, self.columns, *split(self.examples, seed), seed, until)
        if not ignores(network, self.columns):
            raise AssertionError("training gave a weight to what the network was not to read")
        return self._candidate(network, f"{start.how}, then trained"), "trained"


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
