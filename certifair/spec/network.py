"""A network as plain data: steps over the real numbers, with the numbers of its file, none of them rounded.

Slot 0 holds the inputs of n people, shape (n, inputs); step k writes slot k + 1, shape (n, its width), and reads slots
before it. Rows never mix. All arrays are float64 and finite; a float32 of a file is a float64.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, assert_never, final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Kind = Literal["relu", "leaky_relu", "sigmoid", "tanh", "softplus"]
KINDS: tuple[Kind, ...] = ("relu", "leaky_relu", "sigmoid", "tanh", "softplus")
MAX_WIDTH = 1 << 22
"""Of all slots together: a file of a few bytes must not ask for the memory of a data centre."""


@final
@dataclass(frozen=True, eq=False)
class Affine:
    """weight @ x + bias, for weight (out, in) and bias (out,)."""

    source: int
    weight: Array
    bias: Array


@final
@dataclass(frozen=True, eq=False)
class Scale:
    """x·factor/divisor + shift, elementwise; all of shape (width,), no divisor 0. As a matrix it might round."""

    source: int
    factor: Array
    divisor: Array
    shift: Array


@final
@dataclass(frozen=True, eq=False)
class Activation:
    """One function, elementwise.

    leaky_relu is slope·x for x < 0. softplus is ln(1 + e^x), but x itself above the threshold: PyTorch's has a jump
    of 2·10^-9 at 20.
    """

    source: int
    kind: Kind
    slope: float = 0.0
    threshold: float = math.inf


@final
@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of slots of one width, as in a residual connection."""

    sources: tuple[int, ...]


@final
@dataclass(frozen=True, eq=False)
class Concat:
    """Slots side by side."""

    sources: tuple[int, ...]


@final
@dataclass(frozen=True, eq=False)
class BatchNorm:
    """(x − mean)/√(variance + epsilon)·scale + shift, with constants of shape (width,)."""

    source: int
    mean: Array
    variance: Array
    epsilon: float
    scale: Array
    shift: Array


@final
@dataclass(frozen=True, eq=False)
class LayerNorm:
    """(x − μ)/√(v + epsilon)·scale + shift, μ and v the mean and the variance (over n, not n − 1) of a person's row."""

    source: int
    epsilon: float
    scale: Array
    shift: Array


Step = Affine | Scale | Activation | Sum | Concat | BatchNorm | LayerNorm


@final
@dataclass(frozen=True, eq=False)
class Network:
    """What each person's outputs are. Errors: ValueError for steps that do not fit together, naming the step."""

    inputs: int
    steps: tuple[Step, ...]
    output: int

    def __post_init__(self) -> None:
        if not 0 <= self.output < len(self.widths):
            raise ValueError(f"the output is slot {self.output} of {len(self.widths)}")

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """The width of every slot."""
        if not 0 < self.inputs <= MAX_WIDTH:
            raise ValueError(f"{self.inputs} inputs; a network has 1 to {MAX_WIDTH}")
        widths = [self.inputs]
        for number, step in enumerate(self.steps):
            try:
                widths.append(width_of(step, widths))
            except ValueError as error:
                raise ValueError(f"step {number}, {type(step).__name__}: {error}") from None
        if sum(widths) > MAX_WIDTH:
            raise ValueError(f"all steps together are {sum(widths)} wide; at most {MAX_WIDTH} is read")
        return tuple(widths)

    @property
    def outputs(self) -> int:
        """The width of the output."""
        return self.widths[self.output]

    def without_unused(self) -> Network:
        """The same network, without the steps that its output does not depend on."""
        needed = {self.output}
        for slot in range(len(self.steps), 0, -1):
            if slot in needed:
                needed.update(reads(self.steps[slot - 1]))
        kept = sorted(needed | {0})
        moved = {old: new for new, old in enumerate(kept)}
        steps = tuple(_renumbered(self.steps[slot - 1], moved) for slot in kept if slot)
        return Network(self.inputs, steps, moved[self.output])


def reads(step: Step) -> tuple[int, ...]:
    """The slots that a step reads."""
    return step.sources if isinstance(step, Sum | Concat) else (step.source,)


def width_of(step: Step, widths: Sequence[int]) -> int:
    """The width of what a step writes, given those of the slots before. Errors: ValueError if it does not fit."""
    slots = reads(step)
    if not slots or not all(0 <= slot < len(widths) for slot in slots):
        raise ValueError(f"reads slots {slots}, of which not all come before it")
    width = widths[slots[0]]
    match step:
        case Affine(weight=weight, bias=bias):
            outputs = weight.shape[0] if weight.ndim == 2 else 0
            _check_numbers(weight, (outputs, width))
            _check_numbers(bias, (outputs,))
            width = outputs
        case Scale(factor=factor, divisor=divisor, shift=shift):
            _check_numbers(factor, (width,))
            _check_numbers(divisor, (width,))
            _check_numbers(shift, (width,))
            if not divisor.all():
                raise ValueError("divides by 0")
        case Activation():
            _check_activation(step)
        case Sum(sources=sources):
            if {widths[slot] for slot in sources} != {width}:
                raise ValueError(f"adds the widths {[widths[slot] for slot in sources]}")
        case Concat(sources=sources):
            width = sum(widths[slot] for slot in sources)
        case BatchNorm() | LayerNorm():
            _check_norm(step, width)
        case _:
            assert_never(step)
    return width


def _check_numbers(numbers: Any, shape: tuple[int, ...]) -> None:
    import numpy as np

    if numbers.dtype != np.float64 or numbers.shape != shape or 0 in shape:
        raise ValueError(f"has {numbers.dtype} numbers of shape {numbers.shape} where float64 of {shape} belongs")
    if not np.isfinite(numbers).all():
        raise ValueError("has a number that is not finite")


def _check_norm(step: BatchNorm | LayerNorm, width: int) -> None:
    _check_numbers(step.scale, (width,))
    _check_numbers(step.shift, (width,))
    if not 0 <= step.epsilon < math.inf:
        raise ValueError(f"has the epsilon {step.epsilon}, which is negative or not finite")
    if isinstance(step, BatchNorm):
        _check_numbers(step.mean, (width,))
        _check_numbers(step.variance, (width,))
        if not (step.variance >= 0).all() or not (step.epsilon > 0 or (step.variance > 0).all()):
            raise ValueError("has a variance that is negative, or 0 with an epsilon of 0")


def _check_activation(step: Activation) -> None:
    if step.kind not in KINDS:
        raise ValueError(f"is of the unknown kind {step.kind!r}")
    if not math.isfinite(step.slope) or (step.slope != 0 and step.kind != "leaky_relu"):
        raise ValueError(f"has the slope {step.slope}, for {step.kind}")
    if math.isnan(step.threshold) or (step.threshold != math.inf and step.kind != "softplus"):
        raise ValueError(f"has the threshold {step.threshold}, for {step.kind}")


def _renumbered(step: Step, moved: dict[int, int]) -> Step:
    if isinstance(step, Sum | Concat):
        return dataclasses.replace(step, sources=tuple(moved[slot] for slot in step.sources))
    return dataclasses.replace(step, source=moved[step.source])
