"""What each ONNX operator means for rows of real numbers: one function an operator, found in `OPERATORS`.

Each raises ValueError("says what is wrong; advice") for what it does not read. ONNX's own checker has been run before,
so attributes have their types and those that are required are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from certifair.evidence import _onnx_shapes
from certifair.evidence._onnx_values import Above, Array, Builder, Flow, Node, Value, broadcast
from certifair.spec.network import Activation, Affine, BatchNorm, Concat, Kind, LayerNorm, Scale, Sum


def _gemm(builder: Builder, node: Node) -> Value:
    """Alpha stays a step of its own: folded into float32 weights it would hide a rounding, or numbers out of range."""
    flow = node.flow(0)
    weight = _matrix(node, flow)
    if node.attributes.get("transA", 0):
        raise ValueError("transposes rows; leave transA at 0")
    weight = weight if node.attributes.get("transB", 0) else weight.T
    alpha, beta = (node.attributes.get(name, 1.0) for name in ("alpha", "beta"))
    bias = np.zeros(len(weight))
    if node.input(2) is not None:
        bias = broadcast(node.constant(2, flow.dtype), len(weight))
    shifts = _product(bias, beta)
    if alpha == 1 and shifts is not None:
        return flow.at(builder.emit(Affine(flow.slot, weight, shifts)))
    product = flow.at(builder.emit(Affine(flow.slot, weight, np.zeros_like(bias))))
    scaled = builder.scale(product, np.full(len(bias), alpha))
    if shifts is not None:
        return builder.shift(scaled, shifts)
    # alpha·(weight @ x) + beta·(0 @ x + bias): the same without a product that rounds.
    constant = flow.at(builder.emit(Affine(flow.slot, np.zeros_like(weight), bias)))
    added = builder.scale(constant, np.full(len(bias), beta))
    return flow.at(builder.emit(Sum((scaled.slot, added.slot))))


def _matrix(node: Node, flow: Flow) -> Array:
    """Input 1, as float64; shapes such as (0, 2^40) take no memory in a file, but what is made from them would."""
    weight = node.constant(1, flow.dtype).astype(np.float64)
    if weight.ndim != 2 or not weight.size:
        raise ValueError(f"multiplies by a constant of shape {weight.shape}, which is no matrix")
    return weight


def _product(numbers: Array, factor: float) -> Array | None:
    """numbers·factor if that does not round, as for float32 numbers: 24 + 24 bits and exponents above −300 fit."""
    if factor == 1:
        return numbers
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32) == numbers
    return numbers * factor if single.all() and float(np.float32(factor)) == factor else None


def _matmul(builder: Builder, node: Node) -> Value:
    flow = node.flow(0)
    weight = _matrix(node, flow)
    return flow.at(builder.emit(Affine(flow.slot, weight.T, np.zeros(weight.shape[1]))))


def _pair(builder: Builder, node: Node) -> tuple[Flow, Flow]:
    a, b = node.flow(0, flat=True), node.flow(1, flat=True)
    if a.flat != b.flat or a.dtype != b.dtype:
        raise ValueError("combines rows of different shapes or types")
    return a, b


def _add(builder: Builder, node: Node) -> Value:
    for flow, constant in (node.inputs, node.inputs[::-1]):
        if isinstance(flow, Flow) and isinstance(constant, np.ndarray):
            return builder.shift(flow, builder.row(constant, flow))
    a, b = _pair(builder, node)
    return a.at(builder.emit(Sum((a.slot, b.slot))))


def _sub(builder: Builder, node: Node) -> Value:
    a, b = node.inputs
    if isinstance(a, Flow) and isinstance(b, np.ndarray):
        return builder.shift(a, -builder.row(b, a))
    minus = builder.scale(node.flow(1, flat=True), -np.ones(builder.widths[node.flow(1, flat=True).slot]))
    if isinstance(a, np.ndarray):
        return builder.shift(minus, builder.row(a, minus))
    first, _ = _pair(builder, node)
    return first.at(builder.emit(Sum((first.slot, minus.slot))))


def _mul(builder: Builder, node: Node) -> Value:
    for flow, constant in (node.inputs, node.inputs[::-1]):
        if isinstance(flow, Flow) and isinstance(constant, np.ndarray):
            return builder.scale(flow, factor=builder.row(constant, flow))
    raise ValueError("multiplies two things of which not exactly one is a constant")


def _div(builder: Builder, node: Node) -> Value:
    flow = node.flow(0, flat=True)
    return builder.scale(flow, divisor=builder.row(node.constant(1), flow))


def _activation(builder: Builder, node: Node, kind: Kind) -> Value:
    flow = node.flow(0, flat=True)
    slope = 0.0
    if kind == "leaky_relu":
        slope = float(node.attributes.get("alpha", np.float32(0.01)))  # the default of ONNX is a float32, too
    return flow.at(builder.emit(Activation(flow.slot, kind, slope)))


def _softmax(builder: Builder, node: Node) -> Value:
    """Of two numbers a and b: 1/(1 + e^(b − a)) and 1/(1 + e^(a − b)), the sigmoids of a − b and of b − a."""
    flow = node.flow(0)
    width = builder.widths[flow.slot]
    if node.attributes.get("axis", -1) not in (1, -1):
        raise ValueError("is over people; use the last axis")
    if width != 2:
        raise ValueError(
            f"is of {width} numbers, and read only of 2; leave it out, and decide by the numbers before it"
        )
    differences = builder.emit(Affine(flow.slot, np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2)))
    return flow.at(builder.emit(Activation(differences, "sigmoid")))


def _greater(builder: Builder, node: Node) -> Value:
    flow = node.flow(0, flat=True)
    threshold = builder.row(node.constant(1), flow)
    if (threshold != threshold[0]).any():
        raise ValueError("compares with more than one number")
    return Above(flow, float(threshold[0]))


def _where(builder: Builder, node: Node) -> Value:
    """PyTorch's Softplus: Where(z > c, x, Softplus(z)/β) with z = β·x, in the steps Softplus(z) up to c, and 1/β.

    Steps are compared, not names: a slot says what was computed. Softplus itself has no threshold yet; with one, it is
    another Where, and this one would choose among three.
    """
    above, linear, soft = node.input(0), node.flow(1, flat=True), node.flow(2, flat=True)
    if isinstance(above, Above) and above.flow.flat == linear.flat == soft.flat:
        z = above.flow
        capped = Activation(z.slot, "softplus", threshold=above.threshold)
        match builder.step(soft.slot), builder.step(z.slot):
            case Activation(source=source, kind="softplus", threshold=math.inf), _ if source == z.slot == linear.slot:
                return z.at(builder.emit(capped))
            case Scale(divisor=beta) as divided, Scale(source=x, factor=factor) as multiplied if (
                x == linear.slot
                and _plain(divided.factor, divided.shift)
                and _plain(multiplied.divisor, multiplied.shift)
                and (beta == factor).all()
            ):
                match builder.step(divided.source):
                    case Activation(source=source, kind="softplus", threshold=math.inf) if source == z.slot:
                        return builder.scale(z.at(builder.emit(capped)), divisor=beta)
    raise ValueError("is read only as PyTorch exports its Softplus")


def _plain(ones: Array, zeros: Array) -> bool:
    return bool((ones == 1).all() and not zeros.any())


def _concat(builder: Builder, node: Node) -> Value:
    flows = [node.flow(index) for index in range(len(node.inputs))]
    if node.attributes["axis"] not in (1, -1) or len({flow.dtype for flow in flows}) != 1:
        raise ValueError("joins people, or rows of different types; use axis 1")
    return flows[0].at(builder.emit(Concat(tuple(flow.slot for flow in flows))))


def _batch_norm(builder: Builder, node: Node) -> Value:
    flow = node.flow(0)
    if node.attributes.get("training_mode", 0) or node.outputs != 1:
        raise ValueError("is in training mode; call model.eval() before the export")
    scale, shift, mean, variance = (_full(builder, node, index, flow) for index in range(1, 5))
    epsilon = float(node.attributes.get("epsilon", np.float32(1e-5)))
    return flow.at(builder.emit(BatchNorm(flow.slot, mean, variance, epsilon, scale, shift)))


def _full(builder: Builder, node: Node, index: int, flow: Flow) -> Array:
    """A constant of shape (width,)."""
    constant = node.constant(index, flow.dtype)
    if constant.shape != (builder.widths[flow.slot],):
        raise ValueError(f"has a constant of shape {constant.shape} for rows of {builder.widths[flow.slot]} numbers")
    return constant.astype(np.float64)


def _layer_norm(builder: Builder, node: Node) -> Value:
    flow = node.flow(0)
    if node.attributes.get("axis", -1) not in (1, -1):
        raise ValueError("normalises over people; use the last axis")
    scale = builder.row(node.constant(1), flow)
    shift = np.zeros_like(scale) if node.input(2) is None else builder.row(node.constant(2), flow)
    epsilon = float(node.attributes.get("epsilon", np.float32(1e-5)))
    return flow.at(builder.emit(LayerNorm(flow.slot, epsilon, scale, shift)))


OPERATORS: Final[dict[str, Callable[[Builder, Node], Value]]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Sub": _sub,
    "Mul": _mul,
    "Div": _div,
    "Relu": partial(_activation, kind="relu"),
    "LeakyRelu": partial(_activation, kind="leaky_relu"),
    "Sigmoid": partial(_activation, kind="sigmoid"),
    "Tanh": partial(_activation, kind="tanh"),
    "Softplus": partial(_activation, kind="softplus"),
    "Softmax": _softmax,
    "Greater": _greater,
    "Where": _where,
    "Flatten": _onnx_shapes.flatten,
    "Reshape": _onnx_shapes.reshape,
    "Squeeze": _onnx_shapes.squeeze,
    "Unsqueeze": _onnx_shapes.unsqueeze,
    "Identity": _onnx_shapes.identity,
    "Dropout": _onnx_shapes.dropout,
    "Cast": _onnx_shapes.cast,
    "Constant": _onnx_shapes.constant,
    "Concat": _concat,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Transpose": _onnx_shapes.transpose,
}
