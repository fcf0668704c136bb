"""The mixed-integer program of `milp`, and its solvers: PuLP, HiGHS, CBC."""

from __future__ import annotations

import importlib
import time
import types
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from certifair.errors import InputError
from certifair.individual.bounds import Ends
from certifair.individual.query import Array, Pair, Query
from certifair.spec.layers import Layers

if TYPE_CHECKING:
    from certifair.spec._step_layers import Layer

INSTALL: Final = "pip install 'certifair[torch]'"
HIGHS_TOLERANCE: Final = 1e-9
CBC_TOLERANCE: Final = 1e-7
"""Its own: with less it has called programs infeasible that have solutions."""
CLEAR: Final = 1e-4
"""Where t ends: no solver needs to look for a pair whose signs are clearer."""
TIGHT: Final = 0.97
"""The part of the remaining time that a solver is given: it looks at the clock now and then only."""


@final
@dataclass(frozen=True, eq=False)
class Runner:
    """A solver: what to call it, and what makes one for a time limit."""

    title: str
    tolerance: float
    highs: bool
    path: str | None = None

    def make(self, *, relaxed: bool, seconds: float) -> Any:
        pulp = _pulp()
        if self.highs:
            names = ("mip_feasibility_tolerance", "primal_feasibility_tolerance")
            options = dict.fromkeys(names, self.tolerance)
            return pulp.HiGHS(mip=not relaxed, msg=False, timeLimit=seconds, **options)
        return pulp.COIN_CMD(mip=not relaxed, msg=False, timeLimit=seconds, path=self.path)


def runner(name: str) -> Runner:
    """The solver of that name. Errors: InputError if it is not installed."""
    pulp = _pulp()
    if name == "highs":
        try:
            highspy: Any = importlib.import_module("highspy")
        except ModuleNotFoundError:
            raise InputError("the engine 'milp' needs highspy for HiGHS", advice=INSTALL) from None
        return Runner(f"HiGHS {highspy.Highs().version()}", HIGHS_TOLERANCE, highs=True)
    # PuLP 3 brings its own CBC; `pulp[cbc]` is another's.
    path = getattr(getattr(pulp, "PULP_CBC_CMD", None), "pulp_cbc_path", None)
    found = Runner("CBC", CBC_TOLERANCE, highs=False, path=path)
    if not found.make(relaxed=False, seconds=1.0).available():
        raise InputError("the engine 'milp' finds no CBC for this machine", advice="pip install 'pulp[cbc]'")
    return found


def _pulp() -> types.ModuleType:
    try:
        return importlib.import_module("pulp")
    except ModuleNotFoundError:
        raise InputError("the engine 'milp' needs pulp", advice=INSTALL) from None


@final
@dataclass(frozen=True, eq=False)
class Program:
    """A PuLP problem; for each of the two points, what each input is: a variable or a number; and its least value."""

    problem: Any
    points: tuple[list[Any], list[Any]]
    low: Array


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """What a solver says, in its words, and the inputs that it found, if any."""

    status: str
    infeasible: bool
    points: Pair | None


def solve(program: Program, runner: Runner, *, relaxed: bool, end: float) -> Outcome:
    """Run a solver until `end` (of perf_counter). Its failure is a status."""
    pulp = _pulp()
    problem = program.problem
    seconds = TIGHT * (end - time.perf_counter())
    if seconds <= 0:
        return Outcome("no time was left for the solver", infeasible=False, points=None)
    try:
        with warnings.catch_warnings(record=True):
            problem.solve(runner.make(relaxed=relaxed, seconds=seconds))
    except (pulp.PulpError, IndexError, ValueError) as error:  # PuLP stumbles over solvers that have nothing to say
        return Outcome(f"{type(error).__name__}: {error}", infeasible=False, points=None)
    late = time.perf_counter() >= end - (1 - TIGHT) * seconds
    status = f"{pulp.LpStatus[problem.status]}, {pulp.LpSolution[problem.sol_status]}"
    if late:
        status += ", when the time was over"
    if problem.status == pulp.LpStatusInfeasible:
        return Outcome(status, infeasible=not late, points=None)
    if problem.status != pulp.LpStatusOptimal:
        return Outcome(status, infeasible=False, points=None)
    pair = (_values(program.points[0], program.low), _values(program.points[1], program.low))
    return Outcome(status, infeasible=False, points=pair)


def _values(point: list[Any], low: Array) -> Array:
    """What the solver found; an input that is in no constraint has no value, and may be anything."""
    values = [x if isinstance(x, float) else x.value() for x in point]
    return np.array([other if x is None else x for x, other in zip(values, low, strict=True)], dtype=np.float64)


def build(
    layers: Layers, query: Query, found: list[Ends], margin: float, tolerance: float, end: float
) -> Program | None:
    """The program; None if `end` came first. margin: of f's rounding, which every big-M gets as well."""
    pulp = _pulp()
    problem = pulp.LpProblem("pair", pulp.LpMaximize)
    writer = _Writer(problem, pulp)
    points = writer.inputs(query)
    scale = float(max(np.abs(ends).max() for ends in found))
    slack = tolerance * (1 + scale) + margin
    t = problem.add_variable("t", -slack, CLEAR + 10 * slack)
    problem += writer.expression([1.0], [t])
    for number, (point, sign) in enumerate(zip(points, (1.0, -1.0), strict=True)):
        h = point
        for depth, (layer, (low, high)) in enumerate(zip(layers.layers, found, strict=True)):
            if time.perf_counter() >= end:
                return None
            h = writer.layer(layer, h, low - slack, high + slack, f"{number}_{depth}")
        problem += writer.expression([sign, -1.0], [h[0], t]) >= 0
    return Program(problem, points, query.low)


@final
class _Writer:
    """Adds variables and constraints. An input of the network is a variable, or a number where it is fixed."""

    def __init__(self, problem: Any, pulp: types.ModuleType) -> None:
        self._problem = problem
        self._pulp = pulp

    def expression(self, weights: Any, terms: list[Any], constant: float = 0.0) -> Any:
        """Σ weight·term + constant, the numbers among the terms folded into the constant."""
        pairs = [(term, float(weight)) for weight, term in zip(weights, terms, strict=True) if weight]
        constant += sum(weight * term for term, weight in pairs if isinstance(term, float))
        variables = [(term, weight) for term, weight in pairs if not isinstance(term, float)]
        return self._pulp.LpAffineExpression(variables, constant=constant)

    def inputs(self, query: Query) -> tuple[list[Any], list[Any]]:
        """The two points: the same variable where nothing flips, two that are near where something does."""
        first = [self._input(query, i, "x") for i in range(query.inputs)]
        second = [self._input(query, i, "y") if query.flips[i] else x for i, x in enumerate(first)]
        for i, near in enumerate(query.distance):
            if query.flips[i] and near < query.high[i] - query.low[i]:
                apart = self.expression([1.0, -1.0], [first[i], second[i]])
                self._problem += apart <= near
                self._problem += apart >= -near
        for group in query.one_hot:
            for point in (first, second) if query.flips[group[0]] else (first,):
                hot = self.expression(np.ones(len(group)), [point[i] for i in group])
                if len(hot):
                    self._problem += hot == 1
        return first, second

    def _input(self, query: Query, i: int, name: str) -> Any:
        low, high = float(query.low[i]), float(query.high[i])
        if low == high:
            return low
        kind = self._pulp.LpInteger if query.integer[i] else self._pulp.LpContinuous
        return self._problem.add_variable(f"{name}{i}", low, high, cat=kind)

    def layer(self, layer: Layer, below: list[Any], low: Array, high: Array, name: str) -> list[Any]:
        """Variables for what the neurons give, with low ≤ z ≤ high before the activation."""
        return [
            self._neuron(z_of, slope, float(low[j]), float(high[j]), f"{name}_{j}")
            for j, (z_of, slope) in enumerate(
                (self.expression(layer.weight[j], below, float(layer.bias[j])), float(layer.slope[j]))
                for j in range(layer.width)
            )
        ]

    def _neuron(self, z_of: Any, slope: float, low: float, high: float, name: str) -> Any:
        """h = max(z, slope·z), slope ≤ 1; where the sign of z is open, d = 1 says z ≥ 0.

        d = 1: h ≤ z, so with h ≥ slope·z it is z ≥ 0; d = 0: h ≤ slope·z, so with h ≥ z it is z ≤ 0. The other upper
        bound then holds by low ≤ z ≤ high.
        """
        if high <= 0 and slope == 0:
            return 0.0
        z = self._problem.add_variable(f"z{name}", low, high)
        self._problem += z_of - z == 0
        if low >= 0 or slope == 1:
            return z
        ends = (slope * low, slope * high, max(high, 0.0))
        h = self._problem.add_variable(f"h{name}", min(0.0, *ends), max(0.0, *ends))
        if high <= 0:
            self._problem += h - slope * z == 0
            return h
        d = self._problem.add_variable(f"d{name}", 0, 1, cat=self._pulp.LpInteger)
        self._problem += h - z >= 0
        self._problem += h - slope * z >= 0
        self._problem += h - slope * z - (1 - slope) * high * d <= 0
        self._problem += h - z - (1 - slope) * low * d <= -(1 - slope) * low
        return h
