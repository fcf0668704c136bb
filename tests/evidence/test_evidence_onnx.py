from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.checks._distances import check_work
from certifair.checks._forward import evaluate
from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.exact.ball import Ball
from certifair.spec.network import Activation, Affine, Network, Scale
from tests.oracles import onnx_oracle as oracle

onnx = pytest.importorskip("onnx", reason="the ONNX package is absent: it reads the networks of these tests")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

Nodes = list[Any]
node = helper.make_node


def model(
    nodes: Nodes,
    tensors: dict[str, Any] | None = None,
    *,
    dtype: Any = np.float32,
    x: tuple[Any, ...] | None = ("n", 4),
    y: tuple[Any, ...] | None = ("n", None),
    opset: int = 17,
) -> Any:
    """Floats among the tensors become `dtype`."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    kept = {
        name: array.astype(dtype) if array.dtype == np.float64 else array
        for name, array in ((name, np.asarray(value)) for name, value in (tensors or {}).items())
    }
    initialisers = [numpy_helper.from_array(array, name) for name, array in kept.items()]
    ends = [[helper.make_tensor_value_info(name, kind, shape)] for name, shape in (("x", x), ("y", y))]
    graph = helper.make_graph(nodes, "g", *ends, initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def layers(dtype: Any = np.float32) -> Any:
    rng = np.random.default_rng(11)
    tensors = {
        "a": rng.normal(size=(4, 5)),
        "b": rng.normal(size=5),
        "c": rng.normal(size=(1, 5)),
        "d": np.array([0.1]),
    }
    nodes = [
        node("Gemm", ["x", "a", "b"], ["g"], name="first"),
        node("Relu", ["g"], ["h"]),
        node("Gemm", ["h", "c", "d"], ["z"], transB=1),
        node("Sigmoid", ["z"], ["y"]),
    ]
    return model(nodes, tensors, dtype=dtype, y=("n", 1))


def read(made: Any) -> Network:
    return read_network(made.SerializeToString(), "model.onnx")


def to_real(made: Any, x: Any) -> Any:
    found = oracle.values(made, x)
    return found.reshape(len(x), -1)


def assert_contains(found: Ball, true: Any) -> None:
    assert found.mid.shape == true.shape
    for index in np.ndindex(*true.shape):
        mid, rad = (oracle.MP.mpf(float(part[index])) for part in (found.mid, found.rad))
        assert abs(true[index] - mid) <= rad, (index, true[index], mid, rad)


def run(made: Any, x: Any) -> Any:
    """By onnxruntime, in the type of the model's input."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: nothing to compare with")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    dtype = helper.tensor_dtype_to_np_dtype(made.graph.input[0].type.tensor_type.elem_type)
    return session.run(None, {session.get_inputs()[0].name: x.astype(dtype)})[0].reshape(len(x), -1)


def check(made: Any, x: Any, tight: float = 1e-12) -> Network:
    """The ball of a model contains the true value, is small, and agrees with onnxruntime."""
    network = read(made)
    found = evaluate(network, x)
    true = to_real(made, x[:6])
    assert_contains(Ball(found.mid[:6], found.rad[:6]), true)
    scale = 1 + np.abs(found.mid)
    assert (found.rad <= tight * scale).all()
    double = made.graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE
    try:
        computed = run(made, x)
    except Exception as error:
        if not double or "NOT_IMPLEMENTED" not in str(error):
            raise
    else:
        assert (np.abs(computed - found.mid) <= (1e-10 if double else 1e-3) * scale).all()
    return network


@cache
def operators() -> dict[str, tuple[Nodes, dict[str, Any], int]]:
    """Nodes from x (n, 4) to y, constants, and opset."""
    rng = np.random.default_rng(2)
    row, square, wide = rng.normal(size=4), rng.normal(size=(4, 4)), rng.normal(size=(4, 3))
    positive = rng.uniform(0.3, 2, 4)
    ends: tuple[Any, Any] = (["x"], ["y"])
    found: dict[str, tuple[Nodes, dict[str, Any]]] = {
        "gemm": ([node("Gemm", ["x", "w"], ["y"])], {"w": wide}),
        "gemm_attributes": (
            [node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.3, beta=-1.7)],
            {"w": square, "b": row},
        ),
        "gemm_scalar": ([node("Gemm", ["x", "w", "b"], ["y"], beta=0.0)], {"w": wide, "b": np.array(0.25)}),
        "gemm_row": ([node("Gemm", ["x", "w", "b"], ["y"])], {"w": wide, "b": rng.normal(size=(1, 3))}),
        "matmul": ([node("MatMul", ["x", "w"], ["y"])], {"w": wide}),
        "matmul_add": (
            [node("MatMul", ["x", "w"], ["h"]), node("Add", ["b", "h"], ["g"]), node("Add", ["g", "b"], ["y"])],
            {"w": square, "b": row},
        ),
        "standardise": (
            [node("Sub", ["x", "m"], ["h"]), node("Div", ["h", "s"], ["y"])],
            {"m": row.reshape(1, 4), "s": positive},
        ),
        "mul_add": ([node("Mul", ["c", "x"], ["h"]), node("Add", ["h", "d"], ["y"])], {"c": np.array([0.1]), "d": row}),
        "from_constant": ([node("Sub", ["c", "x"], ["y"])], {"c": np.array(1.0)}),
        "residual": ([node("Tanh", ["x"], ["h"]), node("Add", ["x", "h"], ["y"])], {}),
        "difference": ([node("Tanh", ["x"], ["h"]), node("Sub", ["x", "h"], ["y"])], {}),
        "twice": ([node("Add", ["x", "x"], ["y"])], {}),
        **{name: ([node(name, *ends)], {}) for name in ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Softplus")},
        "identity": ([node("Identity", *ends)], {}),
        "leaky": ([node("LeakyRelu", *ends, alpha=-0.3)], {}),
        "flatten": ([node("Flatten", *ends)], {}),
        "reshape": ([node("Reshape", ["x", "s"], ["y"])], {"s": np.array([-1, 4])}),
        "reshape_zero": ([node("Reshape", ["x", "s"], ["h"]), node("Reshape", ["h", "t"], ["y"])],
                         {"s": np.array([0, -1]), "t": np.array([-1, 0])}),
        "squeeze": (
            [node("Gemm", ["x", "w"], ["h"]), node("Squeeze", ["h", "a"], ["i"]), node("Sigmoid", ["i"], ["j"]),
             node("Mul", ["j", "c"], ["k"]), node("Unsqueeze", ["k", "a"], ["l"]), node("Reshape", ["l", "f"], ["y"])],
            {"w": wide[:, :1], "a": np.array([1]), "c": np.array([3.0]), "f": np.array([-1])},
        ),
        "dropout": ([node("Dropout", ["x", "r", "t"], ["y"])], {"r": np.array(0.5), "t": np.array(False)}),
        "constants": (
            [node("Constant", [], ["c"], value_floats=[0.1, 0.2, 0.3, 0.4]), node("Unsqueeze", ["c", "a"], ["d"]),
             node("Transpose", ["d"], ["e"]), node("Cast", ["e"], ["f"], to=TensorProto.FLOAT),
             node("Identity", ["f"], ["g"]), node("MatMul", ["x", "g"], ["y"])],
            {"a": np.array([0])},
        ),
        "softmax": ([node("Gemm", ["x", "w"], ["h"]), node("Softmax", ["h"], ["y"])], {"w": wide[:, :2]}),
        "softmax_inside": (
            [node("Gemm", ["x", "w"], ["h"]), node("Softmax", ["h"], ["s"], axis=1), node("Add", ["s", "h"], ["y"])],
            {"w": wide[:, 1:]},
        ),
        "concat": ([node("Relu", ["x"], ["h"]), node("Concat", ["x", "h", "x"], ["y"], axis=-1)], {}),
        "batch_norm": (
            [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-3)],
            {"s": row, "b": positive, "m": row[::-1].copy(), "v": positive},
        ),
        "layer_norm": ([node("LayerNormalization", ["x", "s", "b"], ["y"], axis=-1)], {"s": row, "b": positive}),
        "layer_norm_plain": ([node("LayerNormalization", ["x", "s"], ["y"], axis=1, epsilon=0.1)], {"s": row}),
        "torch_softplus": (
            [node("Mul", ["x", "c"], ["z"]), node("Softplus", ["z"], ["s"]), node("Div", ["s", "c"], ["t"]),
             node("Greater", ["z", "d"], ["g"]), node("Where", ["g", "x", "t"], ["y"])],
            {"c": np.array(2.0), "d": np.array(1.0)},
        ),
    }  # fmt: skip
    cases = {name: (*case, 17) for name, case in found.items()}
    cases["squeeze_11"] = (
        [node("Gemm", ["x", "w"], ["h"]), node("Squeeze", ["h"], ["y"], axes=[-1])],
        {"w": wide[:, :1]},
        11,
    )
    cases["dropout_9"] = ([node("Dropout", *ends, ratio=0.3)], {}, 9)
    return cases


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", operators())
def test_every_operator(name: str, dtype: Any) -> None:
    nodes, tensors, opset = operators()[name]
    if dtype == np.float64:
        nodes = [n for n in nodes if n.op_type != "Cast"]
        if name == "constants":
            pytest.skip("its constants are float32")
    flat = any(n.op_type == "Squeeze" for n in nodes)
    made = model(nodes, tensors, dtype=dtype, opset=opset, y=("n",) if flat else ("n", None))
    x = np.random.default_rng(8).normal(size=(40, 4)).astype(np.float32).astype(np.float64) * 2
    check(made, x)


def test_what_is_folded_and_what_is_not() -> None:
    cases = operators()
    found = {
        name: read(model(cases[name][0], cases[name][1])).steps for name in ("matmul_add", "standardise", "mul_add")
    }
    assert [type(step) for step in found["matmul_add"]] == [Affine, Scale]
    assert [type(step) for step in found["standardise"]] == [Scale, Scale]
    assert [type(step) for step in found["mul_add"]] == [Scale]
    gemm = [node("Gemm", ["x", "w", "b"], ["y"], alpha=0.3)]
    tensors = {"w": np.full((4, 2), 0.1), "b": np.ones(2)}
    assert [type(step) for step in read(model(gemm, tensors)).steps] == [Affine, Scale]
    gemm = [node("Gemm", ["x", "w", "b"], ["y"], beta=0.3)]
    assert len(read(model(gemm, tensors)).steps) == 1
    tensors["b"] = np.full(2, 0.1)
    rounds = model(gemm, tensors, dtype=np.float64)
    assert len(read(rounds).steps) == 5
    check(rounds, np.random.default_rng(1).normal(size=(9, 4)))
    soft = read(model(*cases["torch_softplus"][:2])).steps
    assert [type(step) for step in soft] == [Scale, Activation, Scale]
    assert isinstance(soft[1], Activation)
    assert soft[1].threshold == 1


def test_blocks_and_extreme_inputs() -> None:
    network = read(layers())
    x = np.random.default_rng(0).normal(size=(20_011, 4)) * 100
    found = evaluate(network, x)
    for start in (0, 6553, 20_010):
        part = evaluate(network, x[start : start + 1])
        assert abs(part.mid[0, 0] - found.mid[start, 0]) <= part.rad[0, 0] + found.rad[start, 0]
    assert found.rad.max() < 1e-12
    assert evaluate(network, x[:0]).mid.shape == (0, 1)
    x[0], x[1, 1], x[2, 2] = 1e308, np.nan, np.inf
    found = evaluate(network, x[:4])
    assert ((found.mid >= 0) & (found.mid <= 1)).all()
    assert (found.rad[:3] == 0.5).all()  # between 0 and 1, and nothing else is known
    assert found.rad[3] < 1e-12
    for wrong in (x[:, :3], np.zeros((2, 4), np.float32), x[0]):
        with pytest.raises(ValueError, match="inputs"):
            evaluate(network, wrong)


NAMES = ["adult", "bank", "compas", "german", "prof"]


@pytest.mark.parametrize("family", NAMES)
def test_public_networks(shared: Path, family: str) -> None:
    files = sorted((shared / "models" / family).glob("*.onnx"))
    assert files
    for file in files:
        data = file.name.split("-")[0] if family == "prof" else family
        table = {"bank": "bank_additional"}.get(data, data)
        with (shared / "data" / "encoded" / f"{table}.csv").open(newline="", encoding="utf-8") as stream:
            rows = [line[:-2] for _, line in zip(range(601), csv.reader(stream), strict=False)][1:]
        x = np.array(rows, dtype=np.float64)
        content = file.read_bytes()
        found = evaluate(read_network(content, file.name), x)
        assert_contains(Ball(found.mid[:2], found.rad[:2]), to_real(onnx.load_from_string(content), x[:2]))
        assert found.rad.max() < 1e-12
        assert np.abs(run(onnx.load_from_string(content), x) - found.mid).max() < 1e-4


def exported(module: Any, rows: Any, *, fixed: bool = False) -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch is absent: it exports the networks of this test")
    shapes = None if fixed else ({0: torch.export.Dim("n")},)
    sample = (torch.tensor(rows),)
    return torch.onnx.export(module, sample, dynamo=True, dynamic_shapes=shapes, verbose=False).model_proto


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fixed", [False, True])
def test_what_torch_exports(fixed: bool, capfd: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is absent: it exports the networks of this test")
    pytest.importorskip("onnxscript", reason="onnxscript is absent: PyTorch exports with it")
    torch.manual_seed(4)
    nn = torch.nn

    class Everything(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.randn(5))
            self.register_buffer("spread", torch.rand(5) + 0.5)
            self.first, self.second, self.last = nn.Linear(5, 8), nn.Linear(8, 8, bias=False), nn.Linear(24, 1)
            self.layer, self.batch = nn.LayerNorm(8), nn.BatchNorm1d(8)
            self.batch.running_mean.normal_()
            self.batch.running_var.uniform_(0.5, 2)
            self.soft, self.steep = nn.Softplus(), nn.Softplus(2.0, 3.0)
            self.drop, self.leaky = nn.Dropout(0.5), nn.LeakyReLU(0.1)

        def forward(self, x: Any) -> Any:
            h = torch.relu(self.first((x - self.mean) / self.spread))
            h = self.drop(self.layer(h + torch.tanh(self.second(h))))
            h = torch.cat([self.soft(self.leaky(self.batch(h))), h, self.steep(h)], dim=1)
            return torch.sigmoid(self.last(h)).squeeze(-1)

    network = Everything().eval()
    x = np.random.default_rng(6).normal(size=(30, 5)).astype(np.float32)
    made = exported(network, x[:3] if not fixed else x, fixed=fixed)
    check(made, x.astype(np.float64))
    mid = evaluate(read(made), x.astype(np.float64)).mid[:, 0]
    assert np.abs(network(torch.tensor(x)).detach().numpy() - mid).max() < 1e-5
    capfd.readouterr()


def older_export(module: Any, rows: Any) -> Any:
    """By the exporter that torch had before."""
    torch = pytest.importorskip("torch", reason="PyTorch is absent: it exports the networks of this test")
    file = io.BytesIO()
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    torch.onnx.export(module, (torch.tensor(rows),), file, dynamo=False, **names)
    return onnx.load_from_string(file.getvalue())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("export", [exported, older_export])
def test_the_operators_of_decisions_as_torch_exports_them(export: Any, capfd: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is absent: it exports the networks of this test")
    pytest.importorskip("onnxscript", reason="onnxscript is absent: PyTorch exports with it")
    torch.manual_seed(6)
    nn = torch.nn

    class Decision(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Linear(5, 6), nn.Linear(6, 6, bias=False), nn.Linear(12, 2)
            self.norm, self.flat = nn.BatchNorm1d(6), nn.Flatten()
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

        def forward(self, x: Any) -> Any:
            h = self.norm(torch.tanh(self.first(self.flat(x).view(-1, 5))))
            h = torch.sigmoid(h + nn.functional.leaky_relu(self.second(torch.relu(h)), 0.1))
            h = h + torch.relu(h) @ self.second.weight
            return torch.softmax(self.last(torch.cat([h, torch.flatten(h, 1)], dim=-1)), dim=-1)

    network = Decision().eval()
    x = np.random.default_rng(7).normal(size=(30, 5)).astype(np.float32)
    made = export(network, x[:3])
    written = {node.op_type for node in made.graph.node}
    assert {"Gemm", "MatMul", "Add", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Concat", "Softmax", "Reshape"} <= written
    assert "BatchNormalization" in written
    check(made, x.astype(np.float64))
    mid = evaluate(read(made), x.astype(np.float64)).mid
    assert np.abs(network(torch.tensor(x)).detach().numpy() - mid).max() < 1e-5
    capfd.readouterr()


def edited(change: Any) -> bytes:
    made = layers()
    change(made)
    return bytes(made.SerializeToString())


def single(op: str, inputs: list[str], tensors: dict[str, Any] | None = None, **given: Any) -> bytes:
    ends = {key: given.pop(key) for key in ("x", "y", "dtype", "opset") if key in given}
    return bytes(model([node(op, inputs, ["y"], name="it", **given)], tensors, **ends).SerializeToString())


def set_dims(made: Any, *dims: int) -> None:
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend(dims)


def external(made: Any) -> None:
    tensor = made.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def with_nan(made: Any) -> None:
    made.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full(5, np.nan, np.float32), "b"))


def subgraph() -> bytes:
    inner = helper.make_graph([node("Relu", ["x"], ["i"])], "i", [], [helper.make_tensor_value_info("i", 1, None)])
    made = model([node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], {"c": np.array(True)})
    return bytes(made.SerializeToString())


def function(made: Any) -> None:
    opset = [helper.make_opsetid("", 17)]
    made.functions.append(helper.make_function("own", "Relu", ["a"], ["b"], [node("Tanh", ["a"], ["b"])], opset))


def doubled() -> bytes:
    nodes = [node("Concat", [f"x{k}" if k else "x"] * 2, [f"x{k + 1}" if k < 59 else "y"], axis=1) for k in range(60)]
    return bytes(model(nodes).SerializeToString())


SQUARE = np.eye(4)


def stored(code: int, *numbers: int, raw: bytes | None = None, shape: tuple[int, ...] = (4,)) -> bytes:
    """x·k + x, for a constant k of this type whose numbers stand in the file as given."""
    made = model([node("Cast", ["k"], ["c"], to=1), node("Mul", ["x", "c"], ["y"])])
    tensor = TensorProto(name="k", data_type=code, dims=shape, int32_data=numbers)
    if raw is not None:
        tensor.raw_data = raw
    made.graph.initializer.append(tensor)
    return bytes(made.SerializeToString())


def trained(*numbers: int, shape: tuple[int, ...] = ()) -> bytes:
    made = model([node("Dropout", ["x", "", "t"], ["y"])])
    made.graph.initializer.append(TensorProto(name="t", data_type=TensorProto.BOOL, dims=shape, int32_data=numbers))
    return bytes(made.SerializeToString())


def reshaped(op: str, constant: Any, by: Any) -> bytes:
    made = model([node(op, ["c", "s"], ["k"]), node("Add", ["x", "k"], ["y"])], {"c": constant, "s": by})
    return bytes(made.SerializeToString())


def nested_where() -> bytes:
    """A Where in the place of the Softplus of another: with z = 2x > −9 it is z, and the last Where chooses z/2."""
    nodes = [
        node("Mul", ["x", "b"], ["z"]),
        node("Softplus", ["z"], ["s"]),
        node("Greater", ["z", "low"], ["g"]),
        node("Where", ["g", "z", "s"], ["t"]),
        node("Div", ["t", "b"], ["d"]),
        node("Greater", ["z", "high"], ["i"]),
        node("Where", ["i", "x", "d"], ["y"], name="it"),
    ]
    tensors = {"b": np.array(2.0), "low": np.array(-9.0), "high": np.array(9.0)}
    return bytes(model(nodes, tensors).SerializeToString())


def broken() -> Iterator[tuple[str, bytes, str]]:
    """A name, the bytes, and what the error says."""
    whole = layers().SerializeToString()
    yield "empty", b"", "no ONNX file"
    yield "random", np.random.default_rng(3).bytes(500), "no ONNX file"
    yield "truncated", whole[: len(whole) // 2], ""
    yield "text", b"a,b\n1,2\n", "no ONNX file"
    yield "no_nodes", bytes(model([]).SerializeToString()), "no ONNX file"
    yield "cyclic", edited(lambda m: m.graph.node[0].input.__setitem__(0, "z")), ""
    yield "missing", edited(lambda m: m.graph.node[1].input.__setitem__(0, "nowhere")), ""
    yield "unsorted", edited(lambda m: m.graph.node.reverse()), ""
    yield "twice", edited(lambda m: m.graph.node[1].output.__setitem__(0, "g")), ""
    yield "same_weights", edited(lambda m: m.graph.initializer.append(m.graph.initializer[0])), "unique|twice"
    yield "external", edited(external), "another file"
    yield "nan", edited(with_nan), "not finite"
    yield "huge", edited(lambda m: set_dims(m, 1 << 40, 1 << 40)), ""
    yield "negative", edited(lambda m: set_dims(m, -4, -5)), ""
    yield "too_few", edited(lambda m: set_dims(m, 4, 6)), ""
    yield "mismatch", edited(lambda m: set_dims(m, 5, 4)), "node 'first' \\(Gemm\\)"
    yield "type", edited(lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING)), ""
    yield "functions", edited(function), "functions"
    yield "domain", edited(lambda m: setattr(m.graph.node[1], "domain", "com.own")), "domain 'com.own'"
    yield "old", edited(lambda m: setattr(m.opset_import[0], "version", 7)), "opset"
    yield "future", edited(lambda m: setattr(m.opset_import[0], "version", 28)), "opset"
    yield "no_opset", edited(lambda m: m.ClearField("opset_import")), "opset"
    yield "no_ir", edited(lambda m: m.ClearField("ir_version")), "checker"
    yield "outputs", edited(lambda m: m.graph.output.append(m.graph.output[0])), ""
    yield "no_output", edited(lambda m: m.graph.ClearField("output")), ""
    yield "no_input", edited(lambda m: m.graph.ClearField("input")), ""
    yield "constant_output", edited(lambda m: setattr(m.graph.output[0], "name", "a")), ""
    yield (
        "nan_attribute",
        edited(lambda m: m.graph.node[0].attribute.append(helper.make_attribute("alpha", np.nan))),
        "",
    )
    yield "unknown_attribute", edited(lambda m: m.graph.node[1].attribute.append(helper.make_attribute("k", 1))), ""
    yield "dynamic_weights", single("MatMul", ["x", "x"], x=(4, 4)), "weights must not be computed"
    yield "weights_first", single("MatMul", ["w", "x"], {"w": SQUARE}), "rows"
    yield "vector", single("MatMul", ["x", "w"], {"w": np.ones(4)}, y=("n",)), "no matrix"
    empty = np.zeros((0, 1 << 40), np.float32)
    yield "empty_weights", single("MatMul", ["x", "w"], {"w": empty}), "no matrix"
    yield "large_axis", single("Squeeze", ["x", "a"], {"a": np.array([1 << 40])}), "axes"
    yield "operator", single("Erf", ["x"]), "node 'it' \\(Erf\\) is not an operator"
    yield "softmax_of_four", single("Softmax", ["x"]), "node 'it' \\(Softmax\\) is of 4 numbers"
    yield "softmax_over_people", single("Softmax", ["x"], axis=0, x=("n", 2)), "over people"
    yield "subgraph", subgraph(), "\\(If\\)"
    yield "transposed", single("Gemm", ["x", "w"], {"w": SQUARE}, transA=1), "transposes"
    yield "mixed", single("MatMul", ["x", "w"], {"w": SQUARE.astype(np.float16)}), "float16"
    yield "integers", single("Add", ["x", "w"], {"w": np.arange(4)}), "int64"
    yield "widening", single("Add", ["x", "w"], {"w": np.ones(3)}, x=("n", 1)), "shape"
    yield "per_person", single("Add", ["x", "w"], {"w": np.ones((3, 4))}, x=(3, 4)), "shape"
    yield "columns", single("Add", ["x", "w"], {"w": np.ones((4, 1))}, x=(4, 4)), "shape"
    yield "three_axes", single("Add", ["x", "w"], {"w": np.ones((1, 1, 4))}, y=None), "shape"
    yield "squares", single("Mul", ["x", "x"]), "constant"
    yield "inverse", single("Div", ["w", "x"], {"w": np.ones(4)}), "rows"
    yield "by_zero", single("Div", ["x", "w"], {"w": np.zeros(4)}), "divides by 0"
    yield "reshape", single("Reshape", ["x", "s"], {"s": np.array([-1, 2])}), "shape"
    yield "reshape_people", single("Reshape", ["x", "s"], {"s": np.array([1, -1])}), "shape"
    yield "flatten", single("Flatten", ["x"], axis=0), "people"
    yield "squeeze", single("Squeeze", ["x", "a"], {"a": np.array([1])}, y=("n",)), "squeezes"
    yield "squeeze_all", single("Squeeze", ["x"], x=("n", 1), y=("n",)), "axes"
    yield "training", single("Dropout", ["x", "", "t"], {"t": np.array(True)}), "training"
    yield "joins_people", single("Concat", ["x", "x"], axis=0), "people"
    yield "over_people", single("LayerNormalization", ["x", "s"], {"s": np.ones(4)}, axis=0), "people"
    yield (
        "variance",
        single("BatchNormalization", ["x", *"smsv"], {k: np.full(4, -(k == "v") + 0.5) for k in "smv"}),
        "var",
    )
    yield "half_norm", single("BatchNormalization", ["x", *"ssss"], {"s": np.ones(3)}), "shape"
    yield "narrowing", single("Cast", ["x"], to=TensorProto.FLOAT16), "rounds"
    yield "to_integer", single("Cast", ["x"], to=TensorProto.INT32), "casts"
    yield "comparison", single("Greater", ["x", "c"], {"c": np.array(1.0)}), "does not depend"
    yield "where", single("Where", ["c", "x", "x"], {"c": np.array(True)}), "Softplus"
    yield "nested_where", nested_where(), "node 'it' \\(Where\\) is read only as PyTorch"
    yield "bool_256", stored(9, 1, 256, 0, 1), "neither 0 nor 1"
    yield "bool_negative", stored(9, 1, -1, 0, 1), "neither 0 nor 1"
    yield "bool_byte", stored(9, raw=b"\1\2\0\1"), "neither 0 nor 1"
    yield "half_wide", stored(10, 15360, 65536 + 15360, 0, 0), "16 bits"
    yield "half_negative", stored(10, 15360, -1024, 0, 0), "16 bits"
    yield "training_256", trained(256), "neither 0 nor 1"
    yield "training_nothing", trained(shape=(0,)), "training"
    yield "reshape_less", reshaped("Reshape", np.ones((4, 1)), np.array([1, -2])), "none is less"
    yield "reshape_two", single("Reshape", ["x", "s"], {"s": np.array([-1, -1])}, x=("n", 1)), "at most one"
    yield "reshape_matrix", reshaped("Reshape", np.ones((4, 1)), np.array([[1, 4]])), "one axis"
    yield "squeeze_scalar", reshaped("Squeeze", np.ones((1, 4)), np.array(0)), "one axis"
    yield "unsqueeze_matrix", reshaped("Unsqueeze", np.ones(4), np.array([[0]])), "one axis"
    yield "no_shape", single("Relu", ["x"], x=None), "checker"
    yield "one_axis", single("Relu", ["x"], x=(4,), y=(4,)), "declare"
    yield "unknown_width", single("Relu", ["x"], x=("n", "d")), "declare"
    yield "integer_input", single("Identity", ["x"], dtype=np.int64), "float or double"
    yield "declared", single("Relu", ["x"], y=("n", 3)), "declared as"
    yield "wide_input", single("Relu", ["x"], x=("n", 1 << 50)), "wide"
    yield "doubled", doubled(), "wide"


@pytest.mark.parametrize(("content", "why"), [pytest.param(*rest, id=name) for name, *rest in broken()])
def test_broken_files(content: bytes, why: str) -> None:
    with pytest.raises(InputError, match=why or "model") as caught:
        read_network(content, "model.onnx")
    text = str(caught.value)
    assert text.startswith("model.onnx: ")
    assert text.isprintable()
    assert "; " in text


def test_a_weight_in_use_many_times_takes_no_more_memory_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certifair.evidence._onnx_values._MOST_NUMBERS", 100)
    nodes = [node("Gemm", [f"x{k}" if k else "x", "w"], [f"x{k + 1}" if k < 6 else "y"]) for k in range(7)]
    with pytest.raises(InputError, match="more than 100 weights"):
        read(model(nodes, {"w": SQUARE}))
    assert len(read(model([*nodes[:5], node("Gemm", ["x5", "w"], ["y"])], {"w": SQUARE})).steps) == 6


def test_names_cannot_act() -> None:
    with pytest.raises(InputError) as caught:
        read_network(edited(lambda m: setattr(m.graph.node[1], "op_type", "\x1b[2J;\n" + "A" * 9999)), "m")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_changed_bytes_are_read_or_refused() -> None:
    rng = np.random.default_rng(9)
    contents = [layers().SerializeToString()]
    contents += [model(*operators()[name][:2]).SerializeToString() for name in ("squeeze", "constants", "batch_norm")]
    refused = 0
    for round_ in range(300):
        content = bytearray(contents[round_ % len(contents)])
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(len(content))] = rng.integers(256)
        try:
            network = read_network(bytes(content), "model.onnx")
            assert evaluate(network, np.ones((3, network.inputs))).mid.shape == (3, network.outputs)
        except InputError:
            refused += 1
    assert 50 < refused < 300


def chain(rng: np.random.Generator) -> Any:
    """Up to two Softplus as PyTorch exports them, with single inputs exchanged, among other nodes."""
    nodes: Nodes = []
    flows, flags = ["x"], list[str]()

    def add(op: str, *inputs: str, likely: float = 0.93) -> str:
        known = [name if name in "abcde" or rng.random() < likely else str(rng.choice(flows)) for name in inputs]
        if op == "Where" and rng.random() > likely:
            known[0] = str(rng.choice(flags))
        elif op == "Where":
            known[0] = inputs[0]
        name = f"t{len(nodes)}"
        (flags if op == "Greater" else flows).append(name)
        nodes.append(node(op, known, [name]))
        return name

    def constant() -> str:
        return str(rng.choice(list("abcde")))

    for _ in range(rng.integers(1, 4)):
        match rng.integers(4):
            case 0:
                add(str(rng.choice(["Add", "Sub"])), flows[-1], str(rng.choice(flows)))
            case 1:
                add(str(rng.choice(["Mul", "Div", "Add"])), flows[-1], constant())
            case _:
                x, by = str(rng.choice(flows)), constant()
                z = add("Mul", x, by) if rng.random() < 0.7 else x
                soft = add("Softplus", z)
                if rng.random() < 0.4:
                    soft = add("Where", add("Greater", z, constant()), z, soft)
                if z != x:
                    soft = add("Div", soft, by if rng.random() < 0.9 else constant())
                add("Where", add("Greater", z, constant()), x, soft)
    nodes.append(node("Identity", [flows[-1]], ["y"]))
    numbers = {"a": 2.0, "b": -1.5, "c": 0.5, "d": 1.0, "e": np.array([0.25, -3.0])}
    return model(nodes, {name: np.asarray(value) for name, value in numbers.items()}, x=("n", 2))


def test_what_is_read_of_random_chains_is_what_they_compute() -> None:
    rng = np.random.default_rng(5)
    seen = 0
    for _ in range(600):
        made = chain(rng)
        x = np.round(rng.normal(size=(3, 2)) * 3, 3)
        try:
            network = read(made)
        except InputError:
            continue
        assert_contains(evaluate(network, x), to_real(made, x))
        seen += any(n.op_type == "Where" for n in made.graph.node)
    assert seen > 100


def test_too_much_work_is_refused_before_it_is_done() -> None:
    def affine(inputs: int, outputs: int, source: int = 0) -> Affine:
        weight = np.broadcast_to(np.float64(0.5), (outputs, inputs))
        return Affine(source, weight, np.zeros(outputs))

    large = Network(100, (affine(100, 1024), affine(1024, 1024, 1), affine(1024, 512, 2), affine(512, 1, 3)), 4)
    small = Network(100, (affine(100, 64), Activation(1, "relu"), affine(64, 1, 2)), 3)
    check_work(large, 200_000)
    check_work(small, 1_000_000)
    with pytest.raises(InputError, match="products for 1000000 people"):
        check_work(large, 1_000_000)
    with pytest.raises(InputError, match="numbers for 200000 people"):
        check_work(Network(200_000, (affine(200_000, 1),), 1), 200_000)
    thin = tuple(Activation(slot, "relu") for slot in range(1, 15_000))
    with pytest.raises(InputError, match="numbers for 20000 people"):
        check_work(Network(32_768, (affine(32_768, 1), *thin), 15_000), 20_000)
