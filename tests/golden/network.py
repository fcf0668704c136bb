"""The tiny network of the replay cases: a number and a category of two values, two hidden units, one output.

Its bytes are stored: another version of the ONNX package may write others than `made` did.
"""

from __future__ import annotations

import base64
import struct
from fractions import Fraction
from typing import Any

from certifair.evidence.inputs import Input, Inputs

INPUTS = Inputs((Input("income", "number"), Input("region", "category", ("north", "south"))))
WEIGHTS = [[[0.7, -0.2, 0.1], [4.0, 0.4, 0.05]], [[0.25, 0.125]]]
BIASES = [[0.1, 0.2], [0.15]]
NETWORK = base64.b64decode(
    "CAg66wEKJAoBeAoCdzAKAmIwEgJnMCIER2VtbSoNCgZ0cmFuc0IYAaABAgoOCgJnMBICaDAiBFJlbHUKJAoCaDAKAncxCgJiMRIB"
    "eSIER2VtbSoNCgZ0cmFuc0IYAaABAhIBZyokCAIIAxABQgJ3MEoYMzMzP83MTL7NzMw9AACAQM3MzD7NzEw9KhIIAhABQgJiMEoI"
    "zczMPc3MTD4qFAgBCAIQAUICdzFKCAAAgD4AAAA+Kg4IARABQgJiMUoEmpkZPloUCgF4Eg8KDQgBEgkKAxIBbgoCCANiFAoBeRIP"
    "Cg0IARIJCgMSAW4KAggBQgQKABAR"
)


def single(value: float) -> float:
    """The nearest float32, as it is stored."""
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found


def made(weights: Any = WEIGHTS, biases: Any = BIASES) -> bytes:
    """Layers of weights and biases, with ReLU between them, by the ONNX package itself."""
    from onnx import TensorProto, helper

    nodes, tensors, name = [], [], "x"
    for k, (rows, bias) in enumerate(zip(weights, biases, strict=True)):
        raw = [struct.pack(f"<{len(flat)}f", *flat) for flat in ([w for row in rows for w in row], bias)]
        shape = [len(rows), len(rows[0])]
        tensors.append(helper.make_tensor(f"w{k}", TensorProto.FLOAT, shape, raw[0], raw=True))
        tensors.append(helper.make_tensor(f"b{k}", TensorProto.FLOAT, [len(bias)], raw[1], raw=True))
        last = k == len(weights) - 1
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], ["y" if last else f"g{k}"], transB=1))
        name = f"h{k}"
        if not last:
            nodes.append(helper.make_node("Relu", [f"g{k}"], [name]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("x", len(weights[0][0])), ("y", len(biases[-1])))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found: bytes = model.SerializeToString(deterministic=True)
    return found


def encoded(row: dict[str, Any]) -> list[Fraction]:
    """The inputs of one person."""
    return [Fraction(row["income"]), *(Fraction(int(row["region"] == value)) for value in ("north", "south"))]


def network_value(inputs: list[Fraction], weights: Any = WEIGHTS, biases: Any = BIASES) -> Fraction:
    """The network's value over the rationals."""
    for k, (rows, bias) in enumerate(zip(weights, biases, strict=True)):
        inputs = [
            sum((Fraction(single(w)) * x for w, x in zip(row, inputs, strict=True)), Fraction(single(b)))
            for row, b in zip(rows, bias, strict=True)
        ]
        if k < len(weights) - 1:
            inputs = [max(x, Fraction(0)) for x in inputs]
    (found,) = inputs
    return found
