"""A network as an ONNX file that `onnx_reader` reads back: the same steps, the same numbers.

Numbers are stored as float32 if every one of them is one, else as float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, assert_never

import numpy as np

from certifair.spec.network import Activation, Affine, BatchNorm, Concat, LayerNorm, Network, Scale, Step, Sum

OPSET: Final = 17
IR_VERSION: Final = 8
"""What runtimes of the last years read."""
_NAMES: Final = {
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
}


def write_network(network: Network) -> bytes:
    """The file.

    Errors: ValueError for what ONNX does not know: a softplus with a threshold, and a slope or an epsilon that is no
    float32 number, as attributes are; it would be another network.
    """
    from onnx import TensorProto, helper, numpy_helper

    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is not equal
        single = all(np.array_equal(array.astype(np.float32).astype(np.float64), array) for array in _arrays(network))
    dtype = np.float32 if single else np.float64
    kind = TensorProto.FLOAT if single else TensorProto.DOUBLE
    nodes, tensors = [], []

    def stored(name: str, array: Any) -> str:
        tensors.append(numpy_helper.from_array(np.asarray(array, dtype=dtype), name))
        return name

    for number, step in enumerate(network.steps):
        nodes += _nodes(helper, number + 1, step, stored)
    ends = [("s0", network.inputs), (f"s{network.output}", network.outputs)]
    described = [helper.make_tensor_value_info(name, kind, ["n", width]) for name, width in ends]
    graph = helper.make_graph(nodes, "network", described[:1], described[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _arrays(network: Network) -> Iterator[Any]:
    """Every number that is stored as an array."""
    for step in network.steps:
        for name in ("weight", "bias", "factor", "divisor", "shift", "mean", "variance", "scale"):
            if hasattr(step, name):
                yield getattr(step, name)


def _nodes(helper: Any, slot: int, step: Step, stored: Any) -> list[Any]:
    """The nodes that write a slot."""
    out = f"s{slot}"
    match step:
        case Affine(source=source, weight=weight, bias=bias):
            inputs = [f"s{source}", stored(f"w{slot}", weight), stored(f"b{slot}", bias)]
            return [helper.make_node("Gemm", inputs, [out], transB=1)]
        case Scale(source=source, factor=factor, divisor=divisor, shift=shift):
            parts = [("Mul", "f", factor), ("Div", "d", divisor), ("Add", "a", shift)]
            names = [f"s{source}", f"{out}m", f"{out}d", out]
            return [
                helper.make_node(kind, [before, stored(f"{letter}{slot}", array)], [after])
                for (kind, letter, array), before, after in zip(parts, names, names[1:], strict=False)
            ]
        case Activation(source=source, kind=kind, slope=slope, threshold=threshold):
            if kind == "softplus" and np.isfinite(threshold):
                raise ValueError("a softplus with a threshold has no ONNX operator")
            more = {"alpha": _attribute(slope)} if kind == "leaky_relu" else {}
            return [helper.make_node(_NAMES[kind], [f"s{source}"], [out], **more)]
        case Sum(sources=sources):
            return _sum(helper, [f"s{source}" for source in sources], out)
        case Concat(sources=sources):
            return [helper.make_node("Concat", [f"s{source}" for source in sources], [out], axis=1)]
        case BatchNorm(source=source, epsilon=epsilon):
            arrays = [("g", step.scale), ("h", step.shift), ("e", step.mean), ("v", step.variance)]
            inputs = [f"s{source}", *(stored(f"{letter}{slot}", array) for letter, array in arrays)]
            return [helper.make_node("BatchNormalization", inputs, [out], epsilon=_attribute(epsilon))]
        case LayerNorm(source=source, epsilon=epsilon, scale=scale, shift=shift):
            inputs = [f"s{source}", stored(f"g{slot}", scale), stored(f"h{slot}", shift)]
            return [helper.make_node("LayerNormalization", inputs, [out], axis=-1, epsilon=_attribute(epsilon))]
        case _:
            assert_never(step)


def _sum(helper: Any, sources: list[str], out: str) -> list[Any]:
    """One addition after the other, as the step is computed; of one slot, the slot itself."""
    if len(sources) == 1:
        return [helper.make_node("Identity", sources, [out])]
    partial = [f"{out}p{number}" for number in range(len(sources) - 2)]
    befores, afters = [sources[0], *partial], [*partial, out]
    return [
        helper.make_node("Add", [before, source], [after])
        for before, source, after in zip(befores, sources[1:], afters, strict=True)
    ]


def _attribute(number: float) -> float:
    if float(np.float32(number)) != number:
        raise ValueError(f"{number} is no float32 number, and ONNX has no others for slopes and epsilons")
    return number
