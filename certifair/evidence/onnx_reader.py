"""A network from the bytes of an ONNX file, with the meaning of its operators over the real numbers.

An ONNX file says what to compute in float32 or float64. Read here is what it says about real numbers: the same
formulas, with the stored numbers exactly. Everything that has no such meaning for each person alone is refused, and so
is every operator that is not in `certifair.evidence._onnx_operators`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from certifair.errors import InputError
from certifair.evidence._onnx_operators import OPERATORS
from certifair.evidence._onnx_values import Builder, Constant, Flow, Node, Value, constant_of, float_type
from certifair.spec.network import Network
from certifair.spec.printable import printable

__all__ = ["Network", "read_network"]

OPSETS: Final = range(9, 28)
"""Those whose operators were compared with what is read here; ONNX's checker lets any number pass."""
DOMAINS: Final = ("", "ai.onnx")
MOST_NODES: Final = 20_000
EXPORT: Final = "correct the network and export it with torch.onnx.export(model.eval(), …, external_data=False)"


def read_network(content: bytes, where: str) -> Network:
    """The network in an ONNX file's bytes. `where` names the file in errors.

    Raises InputError for what is no ONNX file, is broken, or has an operator, type or shape that cannot be read: one
    line that names the node and says what to do.
    """
    try:
        return _read(content)
    except ValueError as error:
        what, _, advice = str(error).partition("; ")
        raise InputError(printable(what), where=where, advice=printable(advice or EXPORT)) from None


def _read(content: bytes) -> Network:
    """Numbered steps; each raises ValueError("what; advice")."""
    # 1. The protocol buffer, and nothing outside it.
    model = _parsed(content)
    # 2. No more than nodes of the standard operators, in one graph.
    _check_features(model)
    # 3. ONNX's own checker: attributes, arities, names, the order of nodes.
    _check_by_onnx(model)
    # 4. One input (n, d).
    graph = model.graph
    values: dict[str, Value] = {}
    for tensor in graph.initializer:
        _define(values, tensor.name, _initialiser(tensor))
    name, flow, batch, width = _input(graph, values)
    _define(values, name, flow)
    # 5. The nodes, one by one.
    builder = Builder(width, batch)
    for position, proto in enumerate(graph.node):
        _read_node(builder, values, proto, position)
    # 6. One output (n, m), or (n,), which is read as (n, 1).
    output = _output(graph, values, builder)
    return Network(width, tuple(builder.steps), output).without_unused()


def _parsed(content: bytes) -> Any:
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(content)
    except Exception:  # the DecodeError of whichever implementation of protocol buffers is there
        model = None
    if model is None or not model.HasField("graph") or not model.graph.node:
        raise ValueError(f"is no ONNX file with a network in it; {EXPORT}")
    return model


def _check_features(model: Any) -> None:
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ValueError(f"has functions, training information or sparse weights, which are not read; {EXPORT}")
    if len(graph.node) > MOST_NODES:
        raise ValueError(f"has {len(graph.node)} nodes; at most {MOST_NODES} are read")
    versions = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise ValueError(f"declares the ONNX opsets {versions}, not one of {OPSETS[0]} to {OPSETS[-1]}; {EXPORT}")
    for position, node in enumerate(graph.node):
        label = _label(node, position)
        if node.domain not in DOMAINS or node.op_type not in OPERATORS:
            domain = f" of domain {_short(node.domain)}" if node.domain else ""
            raise ValueError(f"{label}{domain} is not an operator that is read; use only {', '.join(OPERATORS)}")
        for attribute in node.attribute:
            if attribute.ref_attr_name or attribute.type not in _ATTRIBUTES:
                raise ValueError(
                    f"{label} has the attribute {_short(attribute.name)} of a kind that is not read; {EXPORT}"
                )
    for tensor in _tensors(graph):
        if tensor.data_location or tensor.external_data:
            raise ValueError(f"the weights {_short(tensor.name)} are in another file; {EXPORT}")


# FLOAT, INT, STRING, TENSOR, FLOATS, INTS: no graphs, types or sparse tensors.
_ATTRIBUTES: Final = frozenset({1, 2, 3, 4, 6, 7})


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _check_by_onnx(model: Any) -> None:
    from onnx import checker

    try:
        checker.check_model(model)
    except Exception as error:  # its own ValidationError, and what pybind makes of C++ exceptions
        text = " ".join(str(error).split()).removesuffix(".").replace(";", ",") or type(error).__name__
        raise ValueError(f"the checker of ONNX says: {text[:200]}; {EXPORT}") from None


def _define(values: dict[str, Value], name: str, value: Value) -> None:
    if name in values:
        raise ValueError(f"the name {_short(name)} is given twice; {EXPORT}")
    values[name] = value


def _initialiser(tensor: Any) -> Constant:
    try:
        return constant_of(tensor)
    except ValueError as error:
        raise ValueError(f"the weights {_short(tensor.name)}: {error}; {EXPORT}") from None


def _input(graph: Any, values: dict[str, Value]) -> tuple[str, Flow, int | None, int]:
    """Its name, where it flows from, the number of people if that is declared, and its width."""
    inputs = [item for item in graph.input if item.name not in values]
    if len(inputs) != 1:
        raise ValueError(f"has {len(inputs)} inputs, {[_short(item.name) for item in inputs[:3]]}; give it one, (n, d)")
    (item,) = inputs
    shape = _shape(item)
    if shape is None or len(shape) != 2 or not isinstance(shape[1], int) or shape[1] < 1:
        raise ValueError(f"the input {_short(item.name)} has the shape {shape}; declare it as (n, d) with a number d")
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
    dtype = float_type(item.type.tensor_type.elem_type)
    if dtype is None:
        raise ValueError(f"the input {_short(item.name)} is not of type float or double; {EXPORT}")
    return item.name, Flow(0, dtype), batch, shape[1]


def _output(graph: Any, values: dict[str, Value], builder: Builder) -> int:
    if len(graph.output) != 1:
        raise ValueError(f"has {len(graph.output)} outputs; give it one, (n, m)")
    item = graph.output[0]
    flow = values.get(item.name)
    if not isinstance(flow, Flow):
        raise ValueError(f"the output {_short(item.name)} does not depend on the input; {EXPORT}")
    width = builder.widths[flow.slot]
    actual = "(n,)" if flow.flat else f"(n, {width})"
    shape = _shape(item)
    fits = shape is None or (len(shape) == 1 if flow.flat else len(shape) == 2 and shape[1] in (width, "?"))
    if not fits or float_type(item.type.tensor_type.elem_type) != flow.dtype:
        raise ValueError(f"the output {_short(item.name)} is declared as {shape}, but is {actual}; {EXPORT}")
    return flow.slot


def _shape(item: Any) -> tuple[int | str, ...] | None:
    """Numbers, and "?" for what is not one; None if there is no shape."""
    if not item.type.HasField("tensor_type") or not item.type.tensor_type.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else "?" for d in item.type.tensor_type.shape.dim)


def _read_node(builder: Builder, values: dict[str, Value], proto: Any, position: int) -> None:
    from onnx.helper import get_attribute_value

    label = _label(proto, position)
    for name in filter(None, proto.input):
        if name not in values:
            raise ValueError(f"{label} reads {_short(name)}, which nothing before it writes; {EXPORT}")
    attributes = {item.name: get_attribute_value(item) for item in proto.attribute}
    for name, number in attributes.items():
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"{label} has the attribute {_short(name)} = {number}; {EXPORT}")
    inputs = tuple(values[name] if name else None for name in proto.input)
    try:
        value = OPERATORS[proto.op_type](builder, Node(inputs, attributes, len(proto.output)))
    except ValueError as error:
        raise ValueError(f"{label} {error}") from None
    _define(values, proto.output[0], value)


def _label(node: Any, position: int) -> str:
    """As "node 'fc1' (Gemm)"; nodes without a name are counted from 1."""
    name = _short(node.name) if node.name else str(position + 1)
    return f"node {name} ({_short(node.op_type)[1:-1]})"


def _short(name: str) -> str:
    """Quoted, without control characters."""
    return repr(name if len(name) <= 60 else name[:57] + "…").replace(";", ",")
