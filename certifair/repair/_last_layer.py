"""Another last layer by a mixed-integer program over finite flip sets, none of them relaxed.

Before the last affine step nothing changes, so each point x' of a flip set is a vector h(x'), and f = w·h + b is linear
in what is looked for. z says on which side of 0 a flip set S lies:

    w·h(x') + b ≥ m − M(1 − z),   −(w·h(x') + b) ≥ m − M z,   for all x' in S,   z in {0, 1}.

People with one flip set get one decision, so a set costs how many of them that is wrong about; and Σ|Δ| costs a little,
so that of equally good answers the nearest is taken. Sets enter when with the solution so far they are unfair or on
the side that costs more, points when they are the least or the largest f on a set in the program. Where no other set is
unfair or on its dearer side, the answer of the smaller program is the best of all. At first only some sets are looked
at, and more of them where these say nothing new. Every h_j is divided by s_j, its largest size on the rows, so that a
change of v_j = w_j·s_j is what it may do to f.

M is the largest |f| that the bounds on v allow, plus m. m covers rounding v_j/s_j to float32, which moves f by at most
u·Σ|v_j| (u = 2⁻²⁴, |h_j|/s_j ≤ 1) and u·|b|, and the solver's tolerance, times M for z.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.individual import decision_of
from certifair.individual.points import inside
from certifair.repair._flips import (
    MOST_STEPS,
    Mask,
    alike,
    extremes,
    finite_size,
    hidden,
    moved,
    parts,
    steps_of,
    sure,
)
from certifair.repair._numbers import changed, single
from certifair.repair._solvers import TOLERANCE, Solver, answer, solvers
from certifair.repair._tuning import Examples, logit_of
from certifair.repair.base import Array, OutOfTimeError, Task, look_at_clock
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers
from certifair.spec.network import Affine, Network

REACH: Final = 1.0
"""How far v may move, in units of the largest |v|."""
ROUNDS: Final = 60
ENTERING: Final = 40
"""Sets that enter in one round, at most,"""
MOST_SETS: Final = 400
"""and altogether."""
FIRST: Final = 512
"""Sets that are looked at first; GROWING times as many where these say nothing new."""
GROWING: Final = 4
UNIT: Final = 2.0**-24
LITTLE: Final = 0.1
"""What all moves together cost at most, in people."""
ONE: Final = 10.0
"""Seconds for one program; then its best answer so far is taken."""


def with_last_layer(
    task: Task, network: Network, examples: Examples, counted: Mask, until: float
) -> tuple[Network | None, str]:
    """The network with another last affine step, fair on all rows of the task in its domain; or None and why.

    network: the task's, or one like it. counted (n,): whose targets matter. until: of time.monotonic; then it is the
    best one until then.
    """
    number = _last_affine(network)
    size = finite_size(task.domain)
    if number is None:
        return None, "the network does not end in an affine step of one output"
    if size is None or size > MOST_STEPS:
        return None, "flip sets are not finite, or too large"
    try:
        solver = solvers("auto", "finite")[0]
    except InputError as error:
        return None, str(error)
    try:
        problem = _Problem.of(task, network, number, examples, counted, until)
    except OutOfTimeError:
        return None, f"{solver.title}: no time was left for a program"
    return _Rounds(problem, solver, until).run()


def _last_affine(network: Network) -> int | None:
    """The step that gives the logit, if nothing else reads it, and layers_of has it as its last layer."""
    cut = logit_of(network)
    last = cut.steps[cut.output - 1] if cut.output else None
    layers = decision_of(network).layers
    same = isinstance(last, Affine) and cut.outputs == 1 and np.array_equal(layers[-1].weight, last.weight)
    return cut.output - 1 if same else None


@final
@dataclass(frozen=True, eq=False)
class _Problem:
    """rows (k, inputs): one of each flip set, in no order. people (2, k): for how many of those with this set f should
    be ≤ 0 and > 0. layers: of the network as it is. steps (K, free): combinations. scale (m,): s. start (m + 1,): v, b.
    """

    domain: Domain
    network: Network
    number: int
    rows: Array
    people: NDArray[np.int64]
    layers: Layers
    steps: Array
    scale: Array
    start: Array

    @staticmethod
    def of(task: Task, network: Network, number: int, examples: Examples, counted: Mask, until: float) -> _Problem:
        """Errors: OutOfTimeError."""
        known = inside(task.domain, task.rows)
        first, which = alike(task.domain, task.rows[known])
        order = np.random.default_rng(task.seed).permutation(len(first))
        rows = task.rows[known][first][order]
        targets = examples.targets[known] > 0
        people = [np.bincount(which[counted[known] & (targets == side)], minlength=len(first)) for side in (0, 1)]
        layers = decision_of(network)
        depth, steps = len(layers.layers) - 1, steps_of(task.domain)
        few = steps[np.linspace(0, len(steps) - 1, min(len(steps), 8)).astype(int)]
        scale = np.full(layers.layers[-1].weight.shape[1], 1e-12)
        for part in parts(layers, len(rows)):
            for step in few:
                look_at_clock(until)
                h = hidden(layers, moved(task.domain, rows[part], step), depth)
                scale = np.maximum(scale, np.abs(h).max(axis=0))
        last = layers.layers[-1]
        start = np.append(last.weight[0] * scale, last.bias)
        return _Problem(task.domain, network, number, rows, np.array(people)[:, order], layers, steps, scale, start)

    @property
    def reach(self) -> Array:
        return np.full(len(self.start), REACH * float(np.abs(self.start).max()))

    def point(self, row: int, step: int) -> Array:
        """h/s of one point, and a 1 for the bias."""
        points = moved(self.domain, self.rows[row : row + 1], self.steps[step])
        return np.append(hidden(self.layers, points, len(self.layers.layers) - 1)[0] / self.scale, 1.0)

    def moves(self, network: Network) -> float:
        """Σ|Δ| of v and b."""
        last = network.steps[self.number]
        assert isinstance(last, Affine)
        return float(np.abs(np.append(last.weight[0] * self.scale, last.bias) - self.start).sum())

    def with_values(self, found: Array) -> Network:
        """Errors: OverflowError for what no network can hold."""
        steps = list(self.network.steps)
        old = steps[self.number]
        assert isinstance(old, Affine)
        weight = single(found[:-1] / self.scale)[None]
        steps[self.number] = replace(old, weight=weight, bias=single(found[-1:]))
        return changed(self.network, tuple(steps))


@final
@dataclass(eq=False)
class _Rounds:
    """points: for each flip set in the program, h/s of those of its points that are in it, by combination."""

    problem: _Problem
    solver: Solver
    until: float
    points: dict[int, dict[int, Array]] = field(default_factory=dict)

    def run(self) -> tuple[Network | None, str]:
        problem, looked, done = self.problem, FIRST, 0
        least, best = (np.inf, np.inf), None
        network = problem.network
        try:
            while True:
                ends, where = self._extremes(network, looked)
                unfair, lost = self._unfair(network, ends), self._lost(ends)
                now = (float(lost.sum()), problem.moves(network))
                if looked >= len(problem.rows) and not unfair.any() and now < least:
                    least, best = now, network
                said = f"{done} programs over {len(self.points)} flip sets, {int(unfair.sum())} of {len(lost)} unfair"
                grown = self._enter(np.flatnonzero(unfair | (lost > 0)), ends, where)
                full = len(self.points) > MOST_SETS or done == ROUNDS
                if (full or not grown) and looked >= len(problem.rows):
                    break
                if full or not grown:
                    looked = len(problem.rows) if full else looked * GROWING
                    continue
                found, said = self._solve()
                done += 1
                if found is None:
                    break
                network = problem.with_values(found)
        except OverflowError as error:
            said = f"of what was found: {error}"
        except OutOfTimeError:
            said = f"no time was left after {done} programs over {len(self.points)} flip sets"
        return best, f"{self.solver.title}: {said}"

    def _extremes(self, network: Network, looked: int) -> tuple[Array, Any]:
        problem = self.problem
        return extremes(decision_of(network), problem.domain, problem.rows[:looked], problem.steps, self.until)

    def _unfair(self, network: Network, ends: Array) -> Mask:
        return ~sure(decision_of(network), self.problem.domain, ends)

    def _lost(self, ends: Array) -> NDArray[np.int64]:
        """How many people more each flip set's side is wrong about than the other side."""
        negative, positive = self.problem.people[:, : ends.shape[1]]
        return np.asarray(np.where(ends[0] > 0, negative - positive, positive - negative).clip(0))

    def _enter(self, rows: Any, ends: Array, where: Any) -> bool:
        """The extremes of these sets, of new ones the worst ENTERING; whether the program has become larger.

        Errors: OutOfTimeError.
        """
        worst = rows[np.argsort(-np.minimum(ends[1, rows], -ends[0, rows]), kind="stable")].tolist()
        fresh = [row for row in worst if row not in self.points][:ENTERING]
        larger = bool(fresh)
        for row in [*fresh, *(row for row in worst if row in self.points)]:
            points = self.points.setdefault(row, {})
            for step in where[:, row].tolist():
                if step not in points:
                    look_at_clock(self.until)
                    points[step], larger = self.problem.point(row, step), True
        return larger

    def _solve(self) -> tuple[Array | None, str]:
        """What the solver finds, or None and what it says. It reads a program for about as long as it took to write.

        Errors: OutOfTimeError.
        """
        import pulp

        problem, began = self.problem, time.monotonic()
        program = pulp.LpProblem("last_layer", pulp.LpMinimize)
        bounds = list(zip(problem.start, problem.reach, strict=True))
        values = [program.add_variable(f"v{j}", old - far, old + far) for j, (old, far) in enumerate(bounds)]
        moves = [program.add_variable(f"d{j}", 0.0, far) for j, (_, far) in enumerate(bounds)]
        for value, move, (old, _) in zip(values, moves, bounds, strict=True):
            program += value - old <= move
            program += old - value <= move
        lost = []
        for row in sorted(self.points):
            look_at_clock(self.until)
            lost.append(self._sided(program, values, row))
        program.setObjective(pulp.lpSum(lost) + LITTLE / float(problem.reach.sum()) * pulp.lpSum(moves))
        now = time.monotonic()
        left = min(ONE, 0.95 * (self.until - now - (now - began)))
        if left <= 0:
            raise OutOfTimeError
        said = answer(program, self.solver.make, left)
        return np.array([value.value() for value in values]) if said.found else None, said.status

    def _sided(self, program: Any, values: list[Any], row: int) -> Any:
        """Constraints of one flip set; what its side costs, beyond what the cheaper one does."""
        import pulp

        problem = self.problem
        side = program.add_variable(f"z{row}", 0, 1, cat=pulp.LpBinary)
        most = np.abs(problem.start) + problem.reach
        for point in self.points[row].values():
            size = float(np.abs(point) @ most)
            margin = 2.0 * (UNIT * float(np.maximum(np.abs(point), 1.0) @ most) + 2.0 * TOLERANCE * (1.0 + size))
            value = pulp.LpAffineExpression(list(zip(values, point.tolist(), strict=True)))
            program += value >= margin - (size + margin) * (1 - side)
            program += -value >= margin - (size + margin) * side
        gain = int(problem.people[1, row] - problem.people[0, row])
        return gain * (1 - side) if gain > 0 else -gain * side
