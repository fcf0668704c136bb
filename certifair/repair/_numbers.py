"""Numbers that a network's file can hold, and networks of these."""

from __future__ import annotations

import numpy as np

from certifair.repair.base import Array
from certifair.spec.network import Network, Step


def single(numbers: Array) -> Array:
    """The nearest float32 numbers; beyond the largest one they are infinite."""
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32).astype(np.float64)


def is_single(numbers: Array) -> bool:
    """Whether all are float32 numbers."""
    return bool(np.array_equal(single(numbers), numbers))


def all_single(network: Network) -> bool:
    """Whether all numbers of its arrays are, so that its file is one of float32."""
    return all(is_single(part) for step in network.steps for part in _arrays(step))


def changed(network: Network, steps: tuple[Step, ...], output: int | None = None) -> Network:
    """The network with other steps. Errors: OverflowError for a number that is not finite."""
    if not all(np.isfinite(part).all() for step in steps for part in _arrays(step)):
        raise OverflowError("it has a number that no network can hold")
    return Network(network.inputs, steps, network.output if output is None else output)


def _arrays(step: Step) -> list[Array]:
    return [part for part in vars(step).values() if isinstance(part, np.ndarray)]
