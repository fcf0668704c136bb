"""Engines that read tables of any size, one file each, found by this folder. All give the same integers."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.errors import InputError
from certifair.evidence.audit.engines.base import Engine
from certifair.spec.toml_reader import nearest


@functools.cache
def _found() -> dict[str, type[Engine]]:
    """Every final subclass of `Engine` in a module of this folder, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {cls.name: cls for cls in sorted(Engine.__subclasses__(), key=lambda cls: cls.name)}


def names() -> tuple[str, ...]:
    """The engines that `--engine` takes."""
    return tuple(_found())


def start(name: str) -> Engine:
    """The engine of that name, started. Raises InputError where it is not known or not installed."""
    if name not in names():
        raise InputError(f"unknown engine {name!r}", where="--engine", advice=nearest(name, names()))
    return _found()[name]()
