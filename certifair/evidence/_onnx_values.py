"""The values that an ONNX graph computes with, as they are read: constants of the file, and rows that flow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.spec.network import MAX_WIDTH, Affine, Scale, Step, width_of

Constant = NDArray[Any]
Array = NDArray[np.float64]
# The codes of TensorProto: FLOAT, INT64, BOOL, FLOAT16, DOUBLE.
TYPES: Final = {1: "<f4", 7: "<i8", 9: "|b1", 10: "<f2", 11: "<f8"}
FLOATS: Final = (1, 11)
_MOST_NUMBERS: Final = 1 << 27


@final
@dataclass(frozen=True)
class Flow:
    """A slot of the network, computed as `dtype` in the file; flat: with shape (n,) there, width 1 here."""

    slot: int
    dtype: np.dtype[Any]
    flat: bool = False

    def at(self, slot: int) -> Flow:
        return Flow(slot, self.dtype, self.flat)


@final
@dataclass(frozen=True)
class Above:
    """Where the numbers of a slot exceed a threshold."""

    flow: Flow
    threshold: float


Value = Flow | Above | Constant


@final
@dataclass(frozen=True, eq=False)
class Node:
    """What an operator is given; an input that is left out is None."""

    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]
    outputs: int

    def input(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def flow(self, index: int, *, flat: bool = False) -> Flow:
        """Rows; `flat` if they may have the shape (n,)."""
        value = self.input(index)
        if not isinstance(value, Flow):
            raise ValueError(f"needs rows that depend on the network's input as its input {index}")
        if value.flat and not flat:
            raise ValueError("reads rows without their second axis; squeeze at the very end")
        return value

    def constant(self, index: int, dtype: Any = None) -> Constant:
        value = self.input(index)
        if not isinstance(value, np.ndarray):
            raise ValueError(f"needs a constant of the file as its input {index}; weights must not be computed")
        if dtype is not None and value.dtype != dtype:
            raise ValueError(f"has a constant of {value.dtype} where {dtype} belongs")
        return value


@final
@dataclass
class Builder:
    """The steps so far."""

    inputs: int
    batch: int | None
    steps: list[Step] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    total: int = 0
    copied: int = 0

    def __post_init__(self) -> None:
        self._widen(self.inputs)

    def emit(self, step: Step) -> int:
        """The slot that the step writes. Errors: ValueError if it does not fit."""
        if isinstance(step, Affine):
            self.spend(step.weight.size)
        self._widen(width_of(step, self.widths))
        self.steps.append(step)
        return len(self.steps)

    def spend(self, numbers: int) -> None:
        """Count what is copied: a small file could name one large constant many times."""
        self.copied += numbers
        if self.copied > _MOST_NUMBERS:
            raise ValueError(f"uses more than {_MOST_NUMBERS} weights, counted as often as they are used")

    def step(self, slot: int) -> Step | None:
        """What wrote a slot; None for the input."""
        return self.steps[slot - 1] if slot else None

    def row(self, constant: Constant, flow: Flow) -> Array:
        """A constant as ONNX broadcasts it to the rows (n, width), without making them more or wider."""
        if constant.dtype != flow.dtype:
            raise ValueError(f"has a constant of {constant.dtype} for rows of {flow.dtype}")
        if flow.flat and constant.ndim > 1:
            raise ValueError(f"has a constant of shape {constant.shape} for rows without their second axis")
        return broadcast(constant, self.widths[flow.slot])

    def scale(self, flow: Flow, factor: Array | None = None, divisor: Array | None = None) -> Flow:
        ones = np.ones(self.widths[flow.slot])
        factor, divisor = ones if factor is None else factor, ones if divisor is None else divisor
        return flow.at(self.emit(Scale(flow.slot, factor, divisor, np.zeros_like(ones))))

    def shift(self, flow: Flow, shift: Array) -> Flow:
        """Added to the last step where that does not round; what is not used any more is left out in the end."""
        last = self.step(flow.slot)
        if isinstance(last, Affine) and not last.bias.any():
            return flow.at(self.emit(Affine(last.source, last.weight, shift)))
        if isinstance(last, Scale) and not last.shift.any():
            return flow.at(self.emit(Scale(last.source, last.factor, last.divisor, shift)))
        ones = np.ones_like(shift)
        return flow.at(self.emit(Scale(flow.slot, ones, ones, shift)))

    def _widen(self, width: int) -> None:
        self.widths.append(width)
        self.total += width
        if self.total > MAX_WIDTH:
            raise ValueError(f"makes all steps together {self.total} wide; at most {MAX_WIDTH} is read")


def broadcast(constant: Constant, width: int) -> Array:
    """A constant (), (1,), (width,), (1, 1) or (1, width) as float64 (width,)."""
    shape = (1,) * (2 - constant.ndim) + constant.shape
    if len(shape) != 2 or shape[0] != 1 or shape[1] not in (1, width):
        raise ValueError(f"has a constant of shape {constant.shape} for rows of {width} numbers")
    return np.broadcast_to(constant.astype(np.float64).reshape(-1), (width,)).copy()


def float_type(code: int) -> np.dtype[Any] | None:
    """The type of rows; None if it is neither float nor double."""
    return np.dtype(TYPES[code]) if code in FLOATS else None


def constant_of(tensor: Any) -> Constant:
    """The numbers of a TensorProto. Its declared size is compared with what is there before memory is taken."""
    from onnx import numpy_helper

    if tensor.data_type not in TYPES:
        raise ValueError(f"has the type number {tensor.data_type}, not float, double, float16, int64 or bool")
    dtype = np.dtype(TYPES[tensor.data_type])
    size = math.prod(tensor.dims)
    if len(tensor.dims) > 8 or min(tensor.dims, default=0) < 0 or size > _MOST_NUMBERS:
        raise ValueError(f"has the shape {tuple(tensor.dims)[:9]}")
    if tensor.HasField("segment") or tensor.external_data or tensor.data_location:
        raise ValueError("is not in the file as a whole")
    stored = {1: tensor.float_data, 7: tensor.int64_data, 11: tensor.double_data}.get(
        tensor.data_type, tensor.int32_data
    )
    found = len(tensor.raw_data) / dtype.itemsize if tensor.HasField("raw_data") else len(stored)
    if found != size:
        raise ValueError(f"has {found:g} numbers for the shape {tuple(tensor.dims)}")
    _check_stored(tensor, stored)
    array = numpy_helper.to_array(tensor)
    if not np.isfinite(array).all():
        raise ValueError("has a number that is not finite")
    return array


def _check_stored(tensor: Any, stored: Any) -> None:
    """Refuse what readers of ONNX wrap or cut differently: a bool of 256, a float16 of more than 16 bits."""
    numbers = np.frombuffer(tensor.raw_data, np.uint8) if tensor.HasField("raw_data") else stored
    if tensor.data_type == 9 and not np.isin(numbers, (0, 1)).all():
        raise ValueError("has a bool that is neither 0 nor 1")
    if tensor.data_type == 10 and not tensor.HasField("raw_data") and not all(0 <= bits < 1 << 16 for bits in stored):
        raise ValueError("has a float16 of more than 16 bits")
