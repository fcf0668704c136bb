"""Solvers, one file each, found by this folder."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.errors import InputError
from certifair.layer.solvers.base import Solver


def names() -> tuple[str, ...]:
    """All solvers, sorted."""
    return tuple(sorted(item.name for item in pkgutil.iter_modules(__path__) if _is_solver(item.name)))


def _is_solver(module: str) -> bool:
    return not module.startswith("_") and module != "base"


@functools.cache
def get(name: str) -> Solver:
    """The solver of that name, imported now. Raises InputError if there is none or its packages are missing."""
    if name not in names():
        raise InputError(f"there is no solver {name!r}", advice=f"known: {', '.join(names())}")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise InputError(f"solver {name!r} needs {error.name}", advice=f"pip install {error.name}") from None
    found = next(cls for cls in vars(module).values() if isinstance(cls, type) and getattr(cls, "name", "") == name)
    solver = found()
    assert isinstance(solver, Solver)
    return solver
