"""Training methods, one file each, found by this folder."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.errors import InputError
from certifair.training.methods.base import Method


@functools.cache
def _found() -> dict[str, type[Method]]:
    """Every final subclass of `Method` in a module of this folder, by name. A user's own, from elsewhere, is none."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    ours = [cls for cls in Method.__subclasses__() if cls.__module__.startswith(f"{__name__}.")]
    return {cls.name: cls for cls in sorted(ours, key=lambda cls: cls.name)}


def names() -> tuple[str, ...]:
    """All methods, sorted."""
    return tuple(_found())


def get(name: str, weight: float | None = None) -> Method:
    """The method of that name, with a weight of its penalty if it has one (None: its own). Raises InputError."""
    if name not in names():
        raise InputError(f"there is no method {name!r}", advice=f"known: {', '.join(names())}")
    return _found()[name](weight)
