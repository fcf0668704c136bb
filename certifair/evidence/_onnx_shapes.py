"""ONNX's operators that compute nothing: constants, casts, and new shapes for the same numbers."""

from __future__ import annotations

import numpy as np

from certifair.evidence._onnx_values import FLOATS, TYPES, Above, Builder, Flow, Node, Value, constant_of


def identity(builder: Builder, node: Node) -> Value:
    value = node.input(0)
    if value is None or isinstance(value, Above):
        raise ValueError("has no input of numbers")
    return value


def dropout(builder: Builder, node: Node) -> Value:
    if node.input(2) is not None and node.constant(2, np.bool_).tolist() is not False:
        raise ValueError("is in training mode; call model.eval() before the export")
    return node.flow(0, flat=True)


def cast(builder: Builder, node: Node) -> Value:
    """Rows may become wider floats; constants anything that holds them exactly."""
    value, code = identity(builder, node), node.attributes["to"]
    if code not in TYPES:
        raise ValueError(f"casts to the type number {code}; use float or double throughout")
    dtype = np.dtype(TYPES[code])
    if isinstance(value, np.ndarray):
        builder.spend(value.size)
        with np.errstate(all="ignore"):
            cast = value.astype(dtype)
            if not (np.isfinite(cast).all() and (cast.astype(value.dtype) == value).all()):
                raise ValueError(f"rounds a constant to {dtype}; store it as {dtype}")
        return cast
    flow = node.flow(0, flat=True)
    if code not in FLOATS or dtype.itemsize < flow.dtype.itemsize:
        raise ValueError(f"rounds {flow.dtype} to {dtype}; use one float type throughout")
    return Flow(flow.slot, dtype, flow.flat)


def constant(builder: Builder, node: Node) -> Value:
    (name, value), *others = node.attributes.items()
    if not others and name == "value":
        return constant_of(value)
    types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if others or name not in types:
        raise ValueError(f"has the attribute {name!r}, which is not read")
    found = np.array(value, dtype=types[name])
    if not np.isfinite(found).all():
        raise ValueError("has a number that is not finite")
    return found


def flatten(builder: Builder, node: Node) -> Value:
    if node.attributes.get("axis", 1) not in (1, -1):
        raise ValueError("flattens the people, too; use axis 1")
    return node.flow(0)


def _list(node: Node, index: int) -> list[int]:
    """A constant with one axis, as ONNX demands of shapes and axes."""
    constant = node.constant(index, np.int64)
    if constant.ndim != 1:
        raise ValueError(f"has a list of the shape {constant.shape} as its input {index}; it has one axis")
    return [int(number) for number in constant]


def _axes(node: Node) -> list[int]:
    """From the attribute (up to opset 12) or the second input."""
    if "axes" not in node.attributes and node.input(1) is None:
        raise ValueError("names no axes; give them, or it depends on the number of people")
    axes = node.attributes["axes"] if "axes" in node.attributes else _list(node, 1)
    if len(axes) > 8 or any(abs(axis) > 8 for axis in axes):
        raise ValueError(f"has the axes {axes[:9]}")
    return list(axes)


def squeeze(builder: Builder, node: Node) -> Value:
    value = identity(builder, node)
    axes = _axes(node)
    if isinstance(value, np.ndarray):
        return np.squeeze(value, tuple(axes))
    flow = node.flow(0)
    if axes not in ([1], [-1]) or builder.widths[flow.slot] != 1:
        raise ValueError(f"squeezes the axes {axes} of rows of {builder.widths[flow.slot]} numbers")
    return Flow(flow.slot, flow.dtype, flat=True)


def unsqueeze(builder: Builder, node: Node) -> Value:
    value = identity(builder, node)
    axes = _axes(node)
    if isinstance(value, np.ndarray):
        return np.expand_dims(value, tuple(axes))
    flow = node.flow(0, flat=True)
    if axes not in ([1], [-1]) or not flow.flat:
        raise ValueError(f"makes more than two axes, or the axes {axes}")
    return Flow(flow.slot, flow.dtype)


def reshape(builder: Builder, node: Node) -> Value:
    """Only to (n, width) or, for one number a row, (n,); n may be written as −1, 0 (as it is) or as declared."""
    value, shape = identity(builder, node), _list(node, 1)
    if min(shape, default=0) < -1 or shape.count(-1) > 1 or len(shape) > 8:
        raise ValueError(f"makes the shape {shape[:9]}: at most one size is -1, and none is less")
    keep = not node.attributes.get("allowzero", 0)
    if isinstance(value, np.ndarray):
        kept = [value.shape[k] if size == 0 and keep and k < value.ndim else size for k, size in enumerate(shape)]
        return value.reshape(kept)
    flow = node.flow(0, flat=True)
    width = builder.widths[flow.slot]
    people = {builder.batch, 0} if keep else {builder.batch}
    match shape:
        case [n] if width == 1 and n in people | {-1}:
            return Flow(flow.slot, flow.dtype, flat=True)
        case [n, m] if (n in people and m in (width, -1)) or (n == -1 and m == width):
            return Flow(flow.slot, flow.dtype)
        case [n, 0] if keep and not flow.flat and n in people | {-1}:
            return flow
    raise ValueError(f"makes rows of {width} numbers into the shape {shape}, which is not (n, {width})")


def transpose(builder: Builder, node: Node) -> Value:
    constant = node.constant(0)
    axes = node.attributes.get("perm", range(constant.ndim)[::-1])
    if sorted(axes) != list(range(constant.ndim)):
        raise ValueError(f"has the axes {list(axes)}")
    return np.transpose(constant, tuple(axes))
