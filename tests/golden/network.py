"""Tiny networks: that of the replay cases, of a number and a category, and that of the individual ones.

Their bytes are stored: another version of the ONNX package may write others than `made` did.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

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


@final
@dataclass(frozen=True)
class Small:
    """A network of a few weights, with ReLU between its layers; `value` is its value over the rationals."""

    model: bytes
    inputs: Inputs
    weights: list[list[list[float]]]
    biases: list[list[float]]

    @property
    def files(self) -> dict[str, bytes]:
        return {"model.onnx": self.model, "preprocessing.json": self.inputs.to_bytes()}

    def encoded(self, row: Mapping[str, Any]) -> list[Fraction]:
        """The inputs of one person."""
        found: list[Fraction] = []
        for item in self.inputs.items:
            value = row[item.column]
            found += [Fraction(int(value == one)) for one in item.values] if item.values else [Fraction(value)]
        return found

    def value(self, row: Mapping[str, Any]) -> Fraction:
        return network_value(self.encoded(row), self.weights, self.biases)


SMALL = Small(NETWORK, INPUTS, WEIGHTS, BIASES)
CREDIT = Small(
    base64.b64decode(
        "CAg68wEKJAoBeAoCdzAKAmIwEgJnMCIER2VtbSoNCgZ0cmFuc0IYAaABAgoOCgJnMBICaDAiBFJlbHUKJAoCaDAKAncxCgJiMRIBeSIER2Vt"
        "bSoNCgZ0cmFuc0IYAaABAhIBZyosCAIIBBABQgJ3MEogSOE6P+F6FL9cj0K/zcxMP1yPAr/2KBy/j8J1PgAAgL4qEggCEAFCAmIwSgikcD0/"
        "4XqUvioUCAEIAhABQgJ3MUoIFK5HP3E9Cr8qDggBEAFCAmIxSgTsUbg+WhQKAXgSDwoNCAESCQoDEgFuCgIIBGIUCgF5Eg8KDQgBEgkKAxIB"
        "bgoCCAFCBAoAEBE="
    ),
    Inputs((Input("sex", "category", ("f", "m")), Input("hours", "number"), Input("income", "number"))),
    weights=[[[0.73, -0.58, -0.76, 0.8], [-0.51, -0.61, 0.24, -0.25]], [[0.78, -0.54]]],
    biases=[[0.74, -0.29], [0.36]],
)


def encoded(row: dict[str, Any]) -> list[Fraction]:
    """The inputs of one person, of the network of the replay cases."""
    return SMALL.encoded(row)
