"""Forms in which a comparison is told, one file each, found by this folder."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.compare.outputs.base import Output


@functools.cache
def _found() -> dict[str, Output]:
    """Every final subclass of `Output` in a module of this folder, by name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {cls.name: cls() for cls in sorted(Output.__subclasses__(), key=lambda cls: cls.name)}


def names() -> tuple[str, ...]:
    """All forms there are."""
    return tuple(_found())


def get(name: str) -> Output:
    """The output of that name; KeyError if there is none."""
    return _found()[name]
