"""ONNX's operators over the real numbers, read from the graph itself with mpmath; nothing of certifair is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

MP = mpmath.mp.clone()
MP.dps = 60

_real = np.frompyfunc(lambda v: MP.mpf(float(v)), 1, 1)
_sqrt = np.frompyfunc(MP.sqrt, 1, 1)
_elementwise: dict[str, Callable[[Any], Any]] = {
    "Relu": lambda v: max(v, MP.mpf(0)),
    "Sigmoid": lambda v: 1 / (1 + MP.exp(-v)),
    "Tanh": MP.tanh,
    "Softplus": lambda v: MP.log1p(MP.exp(v)),
}
_arithmetic: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b,
    "MatMul": lambda a, b: a @ b,
    "Greater": lambda a, b: a > b,
}


def values(model: Any, x: Any) -> Any:
    """The outputs of a model for inputs x (n, d), as an array of mpf."""
    from onnx import numpy_helper

    graph = model.graph
    known = {tensor.name: numbers(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    known[next(item.name for item in graph.input if item.name not in known)] = _real(x)
    known[""] = None
    for node in graph.node:
        known[node.output[0]] = _compute(node, [known[name] for name in node.input])
    return known[graph.output[0].name]


def numbers(array: Any) -> Any:
    return _real(array) if array.dtype.kind == "f" else array


def _compute(node: Any, inputs: list[Any]) -> Any:  # noqa: C901
    from onnx import helper, numpy_helper

    given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    first: Any = inputs[0] if inputs else None
    match node.op_type:
        case name if name in _elementwise:
            return np.frompyfunc(_elementwise[name], 1, 1)(first)
        case name if name in _arithmetic:
            return _arithmetic[name](*inputs)
        case "LeakyRelu":
            slope = MP.mpf(given.get("alpha", float(np.float32(0.01))))
            return np.frompyfunc(lambda v: v if v >= 0 else slope * v, 1, 1)(first)
        case "Gemm":
            weight = inputs[1].T if given.get("transB", 0) else inputs[1]
            total = MP.mpf(given.get("alpha", 1.0)) * (first @ weight)
            return total + MP.mpf(given.get("beta", 1.0)) * inputs[2] if len(inputs) > 2 else total
        case "Where":
            return np.where(first.astype(bool), inputs[1], inputs[2])
        case "Identity" | "Dropout" | "Cast" | "Flatten":
            return first
        case "Constant":
            value = next(iter(given.values()))
            return numbers(numpy_helper.to_array(value) if hasattr(value, "data_type") else np.array(value))
        case "Reshape":
            return first.reshape([first.shape[k] if size == 0 else int(size) for k, size in enumerate(inputs[1])])
        case "Squeeze":
            return np.squeeze(first, tuple(given.get("axes", inputs[-1])))
        case "Unsqueeze":
            return np.expand_dims(first, tuple(given.get("axes", inputs[-1])))
        case "Transpose":
            return np.transpose(first, given.get("perm", range(first.ndim)[::-1]))
        case "Softmax":
            powers = np.frompyfunc(MP.exp, 1, 1)(first)
            return powers / powers.sum(axis=1, keepdims=True)
        case "Concat":
            return np.concatenate(inputs, axis=given["axis"])
        case "BatchNormalization":
            _, scale, shift, mean, variance = inputs
            epsilon = MP.mpf(given.get("epsilon", float(np.float32(1e-5))))
            return (first - mean) / _sqrt(variance + epsilon) * scale + shift
        case "LayerNormalization":
            centred = first - first.sum(axis=1, keepdims=True) / first.shape[1]
            variance = (centred * centred).sum(axis=1, keepdims=True) / first.shape[1]
            scaled = centred / _sqrt(variance + MP.mpf(given.get("epsilon", float(np.float32(1e-5))))) * inputs[1]
            return scaled + inputs[2] if len(inputs) > 2 else scaled
    raise AssertionError(node.op_type)
