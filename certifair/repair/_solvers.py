"""Solvers of mixed-integer programs, by PuLP: HiGHS, CBC, and Gurobi for those who have it and name it."""

from __future__ import annotations

import importlib
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from certifair.errors import InputError
from certifair.repair.base import Failure

Name = Literal["auto", "highs", "cbc", "gurobi"]
TOLERANCE: Final = 1e-9
"""HiGHS' and Gurobi's. CBC keeps its own: with less it has called programs infeasible that have solutions."""
INSTALL: Final = "pip install 'certifair[torch]'"
Make = Callable[[bool, float], Any]
"""(relaxed, seconds) → a solver of PuLP."""


@final
@dataclass(frozen=True, eq=False)
class Solver:
    """title: with versions."""

    title: str
    make: Make


@final
@dataclass(frozen=True, eq=False)
class Answer:
    """What a solver says, in its words. found: the variables of the program have values; failure: why not, if not.

    A solver whose time is over has proved nothing, whatever it says then: CBC has called such programs infeasible. With
    PuLP "infeasible" may be "infeasible or unbounded": so no objective here may be unbounded.
    """

    status: str
    found: bool = False
    failure: Failure = "failed"


def answer(program: Any, make: Make, seconds: float, *, relaxed: bool = False) -> Answer:
    """What a solver makes of one of PuLP's programs in so many seconds.

    Any exception is a failure of the solver, and so is a value that is no finite number: PuLP stumbles over solvers
    with nothing to say, each in its own way, and what else a repair has found is worth more than a trace. Whether the
    time was over is seen by the clock: solvers tell it each in its own way, and PuLP does not.
    """
    import pulp

    started = time.monotonic()
    found = infeasible = False
    try:
        with warnings.catch_warnings(record=True):
            program.solve(make(relaxed, seconds))
    except Exception as error:
        status = f"the solver failed ({type(error).__name__}: {error})"
    else:
        status = f"{pulp.LpStatus[program.status]}, {pulp.LpSolution[program.sol_status]}"
        values = [variable.value() for variable in program.variables()]
        found = program.status == pulp.LpStatusOptimal and None not in values
        if found and not all(map(math.isfinite, values)):
            found, status = False, f"the solver failed ({status}, with values that are not finite)"
        infeasible = program.status == pulp.LpStatusInfeasible
    if time.monotonic() - started >= seconds:
        return Answer(f"{status}, when the time was over", found, "time limit")
    return Answer(status, found, "infeasible" if infeasible else "failed")


def solvers(name: Name, method: str = "prof") -> list[Solver]:
    """Those to try, in order. Errors: InputError if there is none, or not the one that is named.

    method: which needs them, for whoever reads the error.
    """
    try:
        pulp: Any = importlib.import_module("pulp")
    except ModuleNotFoundError:
        raise InputError(f"the method {method!r} needs pulp", advice=INSTALL) from None
    makers = {"highs": _highs, "cbc": _cbc, "gurobi": _gurobi}
    wanted = ["highs", "cbc"] if name == "auto" else [name]
    found = [solver for solver in (makers[each](pulp) for each in wanted) if solver is not None]
    if not found:
        raise InputError(f"PuLP finds no solver {' or '.join(wanted)} here", advice=INSTALL)
    return found


def _highs(pulp: Any) -> Solver | None:
    try:
        highspy: Any = importlib.import_module("highspy")
    except ModuleNotFoundError:
        return None
    options = dict.fromkeys(("mip_feasibility_tolerance", "primal_feasibility_tolerance"), TOLERANCE)

    def make(relaxed: bool, seconds: float) -> Any:
        return pulp.HiGHS(mip=not relaxed, msg=False, timeLimit=seconds, **options)

    return Solver(f"HiGHS {highspy.Highs().version()} by PuLP {pulp.__version__}", make)


def _cbc(pulp: Any) -> Solver | None:
    """PuLP 3 brings its own CBC; `pulp[cbc]` is another's."""
    path = getattr(getattr(pulp, "PULP_CBC_CMD", None), "pulp_cbc_path", None)

    def make(relaxed: bool, seconds: float) -> Any:
        return pulp.COIN_CMD(mip=not relaxed, msg=False, timeLimit=seconds, path=path)

    return Solver(f"CBC by PuLP {pulp.__version__}", make) if make(False, 1.0).available() else None


def _gurobi(pulp: Any) -> Solver | None:
    def make(relaxed: bool, seconds: float) -> Any:
        return pulp.GUROBI(
            mip=not relaxed, msg=False, timeLimit=seconds, FeasibilityTol=TOLERANCE, IntFeasTol=TOLERANCE
        )

    return Solver(f"Gurobi by PuLP {pulp.__version__}", make) if pulp.GUROBI(msg=False).available() else None
