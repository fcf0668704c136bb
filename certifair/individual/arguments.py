"""What a caller hands in, checked before any work: whatever cannot be used is an InputError that names it."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError

MOST_SECONDS: Final = 1e9
NUMBERS: Final = "biufO"
"""Kinds of arrays that may hold real numbers; of objects each must be one."""


def number_of(value: Any, where: str) -> float:
    """A real number, also an infinite one. Errors: InputError."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or math.isnan(value):
        raise InputError(f"= {value!r} is no number", where=where)
    return float(value)


def seconds_of(value: Any, where: str, *, none: bool = False) -> float:
    """A time, none: or 0. Errors: InputError."""
    seconds = number_of(value, where)
    if not (0 < seconds < MOST_SECONDS or (none and seconds == 0)):
        least = "of at least 0" if none else "above 0"
        raise InputError(f"= {value} is no reasonable number {least}", where=where)
    return seconds


def whole_of(value: Any, where: str, *, least: int = 0, most: int = (1 << 32) - 1) -> int:
    """A whole number in this range. Errors: InputError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
        raise InputError(f"= {value!r} is no whole number from {least} to {most}", where=where)
    return int(value)


def array_of(values: Any, where: str) -> NDArray[np.float64]:
    """Real numbers as float64, the nearest ones. Texts that look like numbers are none, nor are complex ones.

    Errors: InputError.
    """
    try:
        found = np.asarray(values)
        if found.dtype.kind not in NUMBERS:
            raise TypeError(f"they are {found.dtype}")
        if any(isinstance(value, str | bytes) for value in found.flat if found.dtype.kind == "O"):
            raise TypeError("there are texts among them")
        return found.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # RuntimeError: a tensor with a gradient
        said = str(error).partition("\n")[0]
        raise InputError(f"are no numbers ({said})", where=where, advice="give an array of numbers") from None
