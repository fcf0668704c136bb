"""The projection by somebody else's solver (cvxpylayers): a reference, and the one for constraints of your own.

The program is built once per structure; scores, matrix, offsets and tolerances are its parameters. With c_j the sum of
joint cell j over √n_j, and every row divided by its norm (which is what lets a first-order solver reach 1e-10):

    minimise ½‖α y − α z‖²   over y in the box   subject to   c = S y,   |M c − b| ≤ ε,   constraints(y),

where α brings the objective to about 1. Rows whose ε is next to nothing become equations. The solution is clipped, made
the same for identical people, moved onto the rows by what the solver left (about 1e-10), rounded to the grid, and then
checked: the rows exactly, in integers, as the exact solver does; your constraints to `tolerance`, in floats.
"""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import cvxpy as cp
import numpy as np
import torch
from cvxpy.atoms.sum_squares import sum_squares
from cvxpylayers.torch.cvxpylayer import CvxpyLayer
from diffcp.cone_program import SolverError
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.layer.solvers import _kernels
from certifair.layer.solvers._conflict import find_conflict
from certifair.layer.solvers._search import search_grid
from certifair.layer.solvers.base import Answer, Floats, Problem, Shift, Solver, Status

Constraints = Callable[[cp.Variable], Sequence[cp.Constraint]]
_DEFAULTS = {"solve_method": "SCS", "eps": 1e-10, "max_iters": 20_000, "mode": "lsmr"}
_PINNED = 1e-7  # tolerances below this much of the box: two bounds so near each other stop a conic solver
_REACH = 4.0  # box widths: without constraints of your own, scores further away are first taken to lie there
_NEAR = 1e-9  # box widths: who is nearer to an end of the box lies on it
_OFF = 1e-6  # box widths: how far a solution may be from what its own multipliers say


@final
@dataclass(frozen=True, eq=False)
class _Program:
    """One compiled structure. `own`: the caller's constraints, `parameters` and `variables` theirs beside y."""

    layer: CvxpyLayer
    y: cp.Variable
    own: tuple[Any, ...]
    parameters: tuple[cp.Parameter, ...]
    variables: tuple[cp.Variable, ...]

    def violation(self, y: Floats) -> float:
        """By how much y breaks the worst of the caller's constraints."""
        self.y.value = y
        return max((float(np.max(item.violation())) for item in self.own), default=0.0)


@final
@dataclass(frozen=True, eq=False)
class _Found:
    """A solution over the reals: `y` (n,), `multipliers` (K,), its derivative."""

    y: Floats
    multipliers: Floats
    pull_back: Callable[[Floats], tuple[Floats, Floats, Floats]]


@final
class CvxpyLayers(Solver):
    """A conic solver through cvxpylayers, with its derivative.

    `constraints`: given y, a cvxpy variable (n,) of one column's people in their order, a list of constraints (DPP)
    beside box and rows. Called once per structure; values of cvxpy parameters in them are read at each solve.
    `tolerance`: what of them a served prediction may break. `solver_args` go to diffcp ("solve_method", "eps",
    "max_iters", "mode"); by default SCS to 1e-10. Rows hold exactly whatever the arguments.
    """

    name = "cvxpylayers"

    def __init__(
        self, constraints: Constraints | None = None, *, tolerance: float = 1e-7, **solver_args: object
    ) -> None:
        self.constraints, self.tolerance = constraints, tolerance
        method = str(solver_args.get("solve_method", "SCS")).upper()
        self.solver_args = {**(_DEFAULTS if method == "SCS" else {"mode": _DEFAULTS["mode"]}), **solver_args}
        if constraints is not None and method == "CLARABEL":
            advice = "leave it at SCS: diffcp keeps Clarabel's failures to itself, and nothing else would notice them"
            raise InputError(
                "constraints cannot be used with solve_method Clarabel", where="cvxpylayers", advice=advice
            )

    def solve(self, problem: Problem, start: Floats | None = None) -> Answer:
        """The projection, its rows exact, or why there is none. `start` is not used."""
        same = _classes(problem)
        reason, anybody_twice = "", same.max() + 1 < len(same)
        for tied in (False, True)[: 1 + anybody_twice]:  # tied: the caller's constraints would tell such people apart
            try:
                program, found = self._find(problem, same if tied else None)
            except (SolverError, RuntimeError, ValueError, ArithmeticError, UserWarning) as error:
                return self._failed(problem, f"{self.solver_args['solve_method']}: {error}")
            answer = _served(problem, found, same)
            if not answer.status:
                return self._failed(problem, "")
            broken = program.violation(answer.predictions.astype(np.float64))
            if broken <= self.tolerance:
                return answer
            reason = f"the constraints given are broken by {broken:.3g}, more than {self.tolerance:.3g}"
        return Answer.none(problem, Status.FAILED, reason)

    def _find(self, problem: Problem, tied: NDArray[np.intp] | None) -> tuple[_Program, _Found]:
        """The real projection. Raises what the solver raises, RuntimeError if it is not optimal."""
        rows, (lower, upper) = problem.rows, problem.box
        width = upper - lower
        pinned = rows.limits <= _PINNED * width
        key = (len(problem.scores), rows.matrix.shape, pinned.tobytes(), problem.box)
        program = _program(self.constraints, *key, b"" if tied is None else tied.tobytes())
        if self.constraints is not None:
            try:
                return program, _run(program, problem, problem.scores.astype(np.float64), pinned, self.solver_args)
            except UserWarning:  # not to 1e-10; what the constraints allow is enough, unless somebody wanted more
                if self.solver_args.get("eps") != _DEFAULTS["eps"]:
                    raise
                less = {**self.solver_args, "eps": min(1e-8, self.tolerance / 10)}
                return program, _run(program, problem, problem.scores.astype(np.float64), pinned, less)
        near = np.clip(problem.scores.astype(np.float64), lower - _REACH * width, upper + _REACH * width)
        found = _run(program, problem, near, pinned, self.solver_args)
        shift = found.multipliers @ rows.matrix
        if np.abs(shift).max(initial=0.0) > _REACH * width - _NEAR:
            found = _run(program, problem, problem.scores.astype(np.float64), pinned, self.solver_args)
            shift = found.multipliers @ rows.matrix
        off = float(np.abs(found.y - np.clip(problem.scores - shift[problem.joint], lower, upper)).max())
        if not off <= _OFF * width:
            raise RuntimeError(f"the solution is off by {off:.3g}")
        return program, found

    def _failed(self, problem: Problem, reason: str) -> Answer:
        """Infeasible if that can be proved of box and rows, else failed."""
        witness = find_conflict(problem.rows, (problem.grid.lower, problem.grid.upper))
        if witness is not None:
            reason = f"no prediction in the box satisfies these rows together: {', '.join(witness)}"
            return Answer.none(problem, Status.INFEASIBLE, reason, witness)
        if reason:
            return Answer.none(problem, Status.FAILED, reason)
        return Answer.none(problem, Status.NO_GRID_POINT, "the tolerance is too small for the grid")


@functools.lru_cache(maxsize=32)
def _program(
    constraints: Constraints | None, n: int, shape: tuple[int, int], pins: bytes, box: tuple[float, float], tied: bytes
) -> _Program:
    """Compile. Raises InputError where the caller's constraints are not what cvxpylayers takes."""
    count, width = shape
    pinned = np.frombuffer(pins, dtype=bool)
    y, cells = cp.Variable(n), cp.Variable(width)
    goal, alpha = cp.Parameter(n), cp.Parameter(nonneg=True)
    sums, matrix, offsets = cp.Parameter((width, n)), cp.Parameter((count, width)), cp.Parameter(count)
    limits = cp.Parameter(count, nonneg=True)
    given, inside = [goal, alpha], [y >= box[0], y <= box[1]]
    wanted = [y]
    if count:
        residual = matrix @ cells - offsets
        ends = [residual[~pinned] <= limits[~pinned], -residual[~pinned] <= limits[~pinned]] if not pinned.all() else []
        ends += [residual[pinned] == 0] if pinned.any() else []
        given += [sums, matrix, offsets] + ([] if pinned.all() else [limits])
        inside += [cells == sums @ y, *ends]
        wanted += [item.dual_variables[0] for item in ends]
    if tied:
        same = np.frombuffer(tied, dtype=np.intp)
        _, firsts = np.unique(same, return_index=True)
        others = np.setdiff1d(np.arange(n), firsts)
        inside.append(y[others] == y[firsts[same[others]]])
    try:
        own = () if constraints is None else tuple(constraints(y))
        problem = cp.Problem(cp.Minimize(0.5 * sum_squares(alpha * y - goal)), [*inside, *own])
        parameters = tuple(p for p in problem.parameters() if all(p is not q for q in given))
        variables = tuple(v for v in problem.variables() if v is not y and v is not cells)
        layer = CvxpyLayer(problem, parameters=[*given, *parameters], variables=[*wanted, *variables])
    except (ValueError, TypeError, cp.error.DCPError) as error:
        advice = "constraints(y) must return a list of convex cvxpy constraints (DPP)"
        raise InputError(f"the convex program cannot be built: {error}", where="cvxpylayers", advice=advice) from None
    return _Program(layer, y, own, parameters, variables)


def _run(
    program: _Program, problem: Problem, goal: Floats, pinned: NDArray[np.bool_], solver_args: dict[str, Any]
) -> _Found:
    """Solve once, with tolerances tightened by what rounding can come to."""
    rows, step, (lower, upper) = problem.rows, float(problem.grid.step), problem.box
    tight = np.maximum(rows.limits - rows.pattern.norms * (step / 2) - step / 64, 0.0)
    root = np.sqrt(np.maximum(rows.people, 1))
    norm = np.sqrt(np.square(rows.matrix) @ rows.people)
    alpha = 1.0 / max(_distance(problem, goal, norm), upper - lower)
    sums = np.zeros((rows.matrix.shape[1], len(goal)))
    sums[problem.joint, np.arange(len(goal))] = 1.0 / root[problem.joint]
    with torch.inference_mode(mode=False), torch.enable_grad(), _quiet(strict=bool(program.own)):
        z, b, e = (torch.from_numpy(v.copy()).requires_grad_() for v in (goal, rows.offset_floats, tight))
        scale = torch.from_numpy(1.0 / norm)
        given = [z * alpha, torch.tensor(alpha, dtype=torch.float64)]
        if len(rows):
            given += [torch.from_numpy(sums), torch.from_numpy(rows.matrix * root / norm[:, None]), b * scale]
            given += [] if pinned.all() else [e * scale]
        given += [torch.as_tensor(p.value, dtype=torch.float64) for p in program.parameters]
        y, *duals = program.layer(*given, solver_args=dict(solver_args))
    if not torch.isfinite(y).all():
        raise RuntimeError("no finite solution")
    for variable, value in zip(reversed(program.variables), reversed(duals), strict=False):
        variable.value = value.detach().numpy()
    multipliers = _signed(duals, pinned) / norm / alpha**2
    sign = np.sign(multipliers)

    def pull_back(g: Floats) -> tuple[Floats, Floats, Floats]:
        """cvxpylayers' backward pass; an equation's ε is at the end that its multiplier points to."""
        with _quiet(strict=False):
            wrt = torch.autograd.grad(y, (z, e, b), torch.from_numpy(g), retain_graph=True, materialize_grads=True)
        by_scores, by_epsilon, by_offsets = (item.numpy() for item in wrt)
        return by_scores, np.where(pinned, sign * by_offsets, by_epsilon), by_offsets

    return _Found(y.detach().numpy(), multipliers, pull_back)


@contextlib.contextmanager
def _quiet(*, strict: bool) -> Iterator[None]:
    """cvxpylayers 1.2 calls numpy 2 in an old way. Inaccurate solutions, only warned of, are errors or looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("error" if strict else "ignore", message="Solved/Inaccurate", category=UserWarning)
        yield


def _distance(problem: Problem, goal: Floats, norm: Floats) -> float:
    """About how far the scores have to move: to the box, then to the worst row."""
    rows, clipped = problem.rows, np.clip(goal, *problem.box)
    sums = np.bincount(problem.joint, clipped, minlength=rows.matrix.shape[1])
    beyond = np.abs(rows.matrix @ sums - rows.offset_floats) - rows.limits
    return math.hypot(float(np.linalg.norm(goal - clipped)), float((beyond / norm).max(initial=0.0)))


def _signed(duals: Sequence[torch.Tensor], pinned: NDArray[np.bool_]) -> Floats:
    """The rows' multipliers: upper minus lower bound's, or the equation's."""
    found, rest = np.zeros(len(pinned)), [item.detach().numpy() for item in duals]
    if not pinned.all():
        found[~pinned] = rest[0] - rest[1]
        rest = rest[2:]
    if pinned.any():
        found[pinned] = rest[0]
    return found


def _classes(problem: Problem) -> NDArray[np.intp]:
    """Who is whose like: everybody's class of equal score and joint cell."""
    _, member = np.unique(problem.scores, return_inverse=True)
    _, found = np.unique(member * problem.rows.matrix.shape[1] + problem.joint, return_inverse=True)
    return found.reshape(-1)


def _served(problem: Problem, found: _Found, same: NDArray[np.intp]) -> Answer:
    """The real solution made the same for identical people, put onto rows and grid; without a reason if that fails."""
    rows, grid = problem.rows, problem.grid
    mean = np.bincount(same, found.y) / np.bincount(same)
    y = np.ascontiguousarray(_onto_rows(problem, np.clip(mean[same], *grid.box)))
    served, nobody = np.empty(len(y)), Shift.zero(rows.matrix.shape[1])
    sums = _kernels.round_all(y, problem.joint, nobody.value, nobody.rest, grid.box, grid.scale, served)
    status = Status.SOLVED if rows.holds(sums, grid.step) else Status.NO_GRID_POINT
    if not status:
        again = search_grid(problem, served, sums)
        if again is None or not rows.holds(again[1], grid.step):
            return Answer.none(problem, status, "")
        served = again[0]
    slack = rows.limits - np.abs(rows.matrix @ np.bincount(problem.joint, y, minlength=rows.matrix.shape[1])
                                 - rows.offset_floats)  # fmt: skip
    felt = np.abs(found.multipliers) * np.abs(rows.matrix).max(axis=1, initial=0.0) > slack
    multipliers = np.where(felt, found.multipliers, 0.0)
    shift = Shift(multipliers @ rows.matrix, np.zeros(rows.matrix.shape[1]))
    return Answer(Status.SOLVED, served, multipliers, shift, pull_back=found.pull_back)


def _onto_rows(problem: Problem, y: Floats) -> Floats:
    """y with what the solver left of the rows taken off, by the shortest move of those strictly inside the box."""
    rows, (lower, upper) = problem.rows, problem.box
    step, near = float(problem.grid.step), _NEAR * (upper - lower)
    tight = np.maximum(rows.limits - rows.pattern.norms * (step / 2) - step / 64, 0.0)
    for _ in range(8):
        r = rows.matrix @ np.bincount(problem.joint, y, minlength=rows.matrix.shape[1]) - rows.offset_floats
        excess = r - np.clip(r, -tight, tight)
        if np.abs(excess).max(initial=0.0) <= step / 256:
            break
        active = np.abs(r) > tight - near
        free = (lower + near < y) & (y < upper - near)
        inside = np.bincount(problem.joint[free], minlength=rows.matrix.shape[1])
        matrix = rows.matrix[active]
        force = np.linalg.pinv((matrix * inside) @ matrix.T, rcond=1e-11, hermitian=True) @ excess[active]
        y = np.clip(np.where(free, y - (force @ matrix)[problem.joint], y), lower, upper)
    return y
