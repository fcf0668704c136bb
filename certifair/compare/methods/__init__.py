"""What is compared, by name. Each module of this folder lists its methods as METHODS, and is found here."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from certifair.compare.base import Method
from certifair.errors import InputError
from certifair.spec.toml_reader import nearest


@functools.cache
def methods() -> dict[str, Method]:
    """All of them by name, sorted. Errors: ValueError where two have one name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    found: list[Method] = []
    for name in names:
        found.extend(importlib.import_module(f"{__name__}.{name}").METHODS)
    by_name = {method.name: method for method in sorted(found, key=lambda method: method.name)}
    if len(by_name) < len(found):
        raise ValueError(f"two methods have one name: {sorted(method.name for method in found)}")
    return by_name


def get(name: str) -> Method:
    """The method of this name. Errors: InputError with the nearest one."""
    if name not in methods():
        raise InputError(f"{name!r} is no method", where="--methods", advice=nearest(name, list(methods())))
    return methods()[name]
