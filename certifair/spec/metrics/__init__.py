"""Metrics, one file each, found by this folder."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.spec.metrics.base import Metric


@functools.cache
def _found() -> dict[str, Metric]:
    """Every final subclass of `Metric` in a module of this folder, by name; a user's own, defined elsewhere, is not."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    ours = [cls for cls in Metric.__subclasses__() if cls.__module__.startswith(f"{__name__}.")]
    return {cls.name: cls() for cls in sorted(ours, key=lambda cls: cls.name)}


def names() -> tuple[str, ...]:
    """All metrics, sorted."""
    return tuple(_found())


def get(name: str) -> Metric:
    """The metric of that name; KeyError if there is none (the policy names the nearest)."""
    return _found()[name]
