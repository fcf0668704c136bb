"""Zeroing: the network is shown one value of every sensitive input, whatever it is; so nothing depends on them.

With the plain method that value is 0: the columns of the sensitive inputs are gone. `pinned` shows any other values,
which are added to the biases. Where a person's decision does not depend on these inputs it stays what it was, if the
value is one that they can have: so far fewer decisions change than with 0, which may be nobody's age.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np

from certifair.repair._numbers import all_single, changed, single
from certifair.repair.base import Array, Method, Repaired, Task
from certifair.spec.domain import Domain
from certifair.spec.network import Affine, Network, reads


@final
class Zeroing(Method):
    """Drop the attribute."""

    name = "zeroing"

    def repair(self, task: Task) -> Repaired:
        values = np.zeros(len(sensitive_columns(task.domain)))
        return Repaired(pinned(task.network, sensitive_columns(task.domain), values), "", "none")


def sensitive_columns(domain: Domain) -> list[int]:
    """The inputs of a network that sensitive features take."""
    return [column for k in domain.sensitive for column in domain.columns[k]]


def pinned(network: Network, columns: list[int], values: Array) -> Network:
    """The network as if these inputs (k,) had these values (k,).

    Where all that reads the inputs is affine, its weights there become 0 and its biases are moved, rounded to float32
    if all numbers of the network are float32 numbers, as its file would become one of float64 otherwise; else an affine
    step that replaces the inputs is put before everything, with values that are rounded alike.
    Errors: OverflowError for a bias that no network can hold; 0 never is the value of one.
    """
    to_single = all_single(network)
    first = [step for step in network.steps if 0 in reads(step)]
    if first and all(isinstance(step, Affine) for step in first):
        steps = tuple(
            _folded(step, columns, values, to_single) if isinstance(step, Affine) and step.source == 0 else step
            for step in network.steps
        )
        return changed(network, steps)
    keep = np.ones(network.inputs)
    keep[columns] = 0.0
    shown = np.zeros(network.inputs)
    shown[columns] = single(values) if to_single else values
    moved = (Affine(0, np.diag(keep), shown), *(_after(step) for step in network.steps))
    return changed(network, moved, network.output + 1)


def _folded(step: Affine, columns: list[int], values: Array, to_single: bool) -> Affine:
    weight = step.weight.copy()
    weight[:, columns] = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        bias = step.bias + step.weight[:, columns] @ values
    return Affine(0, weight, single(bias) if to_single else bias)


def _after(step: Any) -> Any:
    """The step, one slot later."""
    import dataclasses

    if hasattr(step, "source"):
        return dataclasses.replace(step, source=step.source + 1)
    return dataclasses.replace(step, sources=tuple(source + 1 for source in step.sources))
