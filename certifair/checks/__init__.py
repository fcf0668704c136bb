"""Checks, one file each, found by this folder."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.checks.base import Check


@functools.cache
def _found() -> tuple[Check, ...]:
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return tuple(cls() for cls in Check.__subclasses__())


def get(kind: str, form: str) -> Check | None:
    """The check for claims of this kind and form; None where this version has none."""
    return next((check for check in _found() if check.kind == kind and form in check.forms), None)
