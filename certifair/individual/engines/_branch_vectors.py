"""Compiled: short loops over vectors, which are flat arrays with an offset.

Slices would be counted references, which cost more than such a loop does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
ZERO, ONE = np.float32(0), np.float32(1)
_njit: Any = numba.njit
_OPTIONS: Final = {"cache": True, "nogil": True, "_nrt": False, "error_model": "numpy"}


def compiled(function: Function) -> Function:
    """Compiled without counted references: nothing may be allocated inside."""
    found: Function = _njit(**_OPTIONS)(function)
    return found


def compiled_loosely(function: Function) -> Function:
    """As `compiled`, and sums may be reordered; all numbers are finite. It only proposes: a checker decides."""
    fast = {"reassoc", "nsz", "contract", "nnan", "ninf", "arcp"}
    found: Function = _njit(**_OPTIONS, fastmath=fast)(function)
    return found


@compiled_loosely
def add_four(y: Any, at: int, n: int, factor: Any, used: Any, t: int, weight: Any, start: int) -> None:
    """y[at:at + n] += Σ factor[i]·(row used[i] of weight), i = t … t + 3."""
    a, b, c, d = factor[t], factor[t + 1], factor[t + 2], factor[t + 3]
    p, q = start + used[t] * n, start + used[t + 1] * n
    r, s = start + used[t + 2] * n, start + used[t + 3] * n
    for j in range(n):
        y[at + j] += a * weight[p + j] + b * weight[q + j] + c * weight[r + j] + d * weight[s + j]


@compiled_loosely
def add(y: Any, at: int, n: int, factor: Any, x: Any, start: int) -> None:
    for j in range(n):
        y[at + j] += factor * x[start + j]


@compiled_loosely
def add_absolute(y: Any, at: int, n: int, factor: Any, x: Any, start: int) -> None:
    for j in range(n):
        y[at + j] += factor * abs(x[start + j])


@compiled_loosely
def scale(y: Any, at: int, n: int, factor: Any, x: Any, start: int, radius: Any, first: int) -> None:
    """y = factor·x, and radius += |y|."""
    for j in range(n):
        value = factor * x[start + j]
        y[at + j] = value
        radius[first + j] += abs(value)


@compiled_loosely
def combine(y: Any, at: int, n: int, factor: Any, used: Any, count: int, weight: Any, start: int) -> None:
    """y += Σ factor[t]·(row used[t] of weight)."""
    t = 0
    while t + 4 <= count:
        add_four(y, at, n, factor, used, t, weight, start)
        t += 4
    while t < count:
        add(y, at, n, factor[t], weight, start + used[t] * n)
        t += 1


@compiled_loosely
def dot(x: Any, start: int, y: Any, n: int) -> Any:
    total = ZERO
    for j in range(n):
        total += x[start + j] * y[j]
    return total


@compiled_loosely
def dot_two(x: Any, start: int, y: Any, z: Any, n: int) -> Any:
    """(Σ|x|y, Σ|x|z)."""
    first, second = ZERO, ZERO
    for j in range(n):
        size = abs(x[start + j])
        first += size * y[j]
        second += size * z[j]
    return first, second
