"""Repairs: methods that change a network until its individual fairness can be proved. One file each, found here."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.errors import InputError
from certifair.repair.base import Method
from certifair.spec.toml_reader import nearest


@functools.cache
def methods() -> dict[str, Method]:
    """All of them by name."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    found = [cls() for cls in Method.__subclasses__()]
    return {method.name: method for method in sorted(found, key=lambda method: method.name)}


def get(name: str) -> Method:
    """The method of this name. Errors: InputError with the nearest one."""
    if name not in methods():
        raise InputError(f"{name!r} is no method", where="--method", advice=nearest(name, list(methods())))
    return methods()[name]
