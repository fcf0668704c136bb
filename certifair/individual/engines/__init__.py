"""Engines, one file each, found by this folder."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.errors import InputError
from certifair.individual.engines.base import Engine
from certifair.spec.toml_reader import nearest


@functools.cache
def engines() -> dict[str, Engine]:
    """All of them by name."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    found = [cls() for cls in Engine.__subclasses__()]
    return {engine.name: engine for engine in sorted(found, key=lambda engine: engine.name)}


def get(name: str) -> Engine:
    """The engine of this name. Errors: InputError with the nearest one."""
    if name not in engines():
        raise InputError(f"{name!r} is no method", where="--method", advice=nearest(name, ["auto", *engines()]))
    return engines()[name]
