from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.evidence.onnx_reader import read_network
from certifair.spec.domain_file import load_domain
from certifair.spec.layers import Layers, layers_of
from certifair.spec.network import (
    Activation,
    Affine,
    BatchNorm,
    Concat,
    Network,
    Scale,
    Step,
    Sum,
    reads,
)
from tests.oracles import layers_oracle as oracle
from tests.spec.layer_cases import (
    NONE,
    one,
    points,
    random_network,
    scaled,
)


def assert_bounded(network: Network, layers: Layers, x: Any, computed: Any) -> Fraction | None:
    """How much of the bound was used; None where there is none."""
    rows = oracle.fractions(x)
    bound = oracle.float32_error(layers, rows)
    if bound is None:
        return None
    assert np.isfinite(computed).all(), (network, x)
    *first, last = oracle.fractions(computed)
    difference = abs(last - sum(first) - oracle.decision(layers, rows))
    if first:  # of two outputs the difference is exact here, and bounded with its own rounding
        bound += Fraction(1, 2**23) * (abs(first[0]) + abs(last))
    assert difference <= bound, (network, x, float(difference), float(bound))
    return difference / bound if bound else Fraction(0)


@pytest.mark.parametrize(("norms", "spread"), [(False, 1.0), (True, 1.0), (False, 1e3), (False, 1e20)])
def test_float32_in_any_order_stays_within_the_bound(norms: bool, spread: float) -> None:
    rng = np.random.default_rng(8)
    used = []
    for _ in range(120):
        network = random_network(rng, norms=norms, spread=spread, ends=1)
        layers = layers_of(network)
        assert layers.float32
        for x in points(rng, network, 3, spread):
            for _ in range(2):
                used.append(assert_bounded(network, layers, x, oracle.run_float32(network, x, rng)))
    bounded = [part for part in used if part is not None]
    assert len(bounded) > 300
    assert max(bounded) > 0.05


@pytest.mark.parametrize("kind", ["factor", "divisor", "norm", "affine"])
def test_the_bound_of_one_step_is_nearly_attained(kind: str) -> None:
    """With half as many roundings (of BatchNorm a quarter) it would not be one."""
    rng = np.random.default_rng(11)
    used = []
    for _ in range(400):
        x, a, b = (np.float32(v) for v in rng.uniform(1, 2, 3))
        factor, divisor = (a, 1.0) if kind == "factor" else (1.0, a)
        shift = float(np.float32(rng.choice([2.0**-12, 1, 2**12]) * b))
        match kind:
            case "norm":
                mean, spread, by = (rng.choice([2.0**-12, 1], 3) * [a, b, 1.7]).astype(np.float32).astype(np.float64)
                step: Step = BatchNorm(0, -np.array([mean]), np.array([spread]), 0.0, np.array([by]), np.array([shift]))
            case "affine":
                step = Affine(0, np.array([[float(a)]]), np.array([shift]))
            case _:
                step = scaled(factor, divisor, shift)
        network = one(step)
        computed = oracle.run_float32(network, np.array([x]), rng)
        used.append(assert_bounded(network, layers_of(network), np.array([float(x)]), computed) or Fraction(0))
    assert max(used) > (0.25 if kind == "norm" else 0.51)


def to_onnx(network: Network) -> bytes:
    """The same steps as an ONNX file in float32."""
    onnx = pytest.importorskip("onnx", reason="the ONNX package is absent: nothing can be written for onnxruntime")
    helper, nodes, tensors = onnx.helper, [], []

    def constant(values: Any) -> str:
        name = f"c{len(tensors)}"
        tensors.append(onnx.numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    for slot, step in enumerate(network.steps, 1):
        given, out = [f"s{source}" for source in reads(step)], [f"s{slot}"]
        match step:
            case Affine():
                names = [constant(step.weight), constant(step.bias)]
                nodes.append(helper.make_node("Gemm", given + names, out, transB=1))
            case Scale():
                nodes.append(helper.make_node("Mul", [*given, constant(step.factor)], [f"a{slot}"]))
                nodes.append(helper.make_node("Div", [f"a{slot}", constant(step.divisor)], [f"b{slot}"]))
                nodes.append(helper.make_node("Add", [f"b{slot}", constant(step.shift)], out))
            case Activation(kind="leaky_relu"):
                nodes.append(helper.make_node("LeakyRelu", given, out, alpha=step.slope))
            case Activation():
                nodes.append(helper.make_node(step.kind.capitalize(), given, out))
            case Sum():
                for k, other in enumerate([*given[1:], constant([0.0])]):
                    nodes.append(
                        helper.make_node("Add", [f"p{slot}_{k}" if k else given[0], other], [f"p{slot}_{k + 1}"])
                    )
                nodes.append(helper.make_node("Identity", [f"p{slot}_{len(given)}"], out))
            case Concat():
                nodes.append(helper.make_node("Concat", given, out, axis=1))
            case BatchNorm():
                names = [constant(v) for v in (step.scale, step.shift, step.mean, step.variance)]
                nodes.append(helper.make_node("BatchNormalization", given + names, out, epsilon=step.epsilon))
    nodes.append(helper.make_node("Identity", [f"s{network.output}"], ["y"]))
    ends = [
        helper.make_tensor_value_info(name, 1, ["n", width])
        for name, width in (("s0", network.inputs), ("y", network.outputs))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def run(content: bytes, x: Any, *, plain: bool) -> Any:
    """By onnxruntime; plain: as the file says it, without folding of weights."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: nothing to compare with")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if plain:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})[0]


def test_onnxruntime_stays_within_the_bound() -> None:
    rng = np.random.default_rng(9)
    used = []
    for norms in (False, True) * 40:
        network = random_network(rng, norms=norms, ends=1)
        content = to_onnx(network)
        layers = layers_of(read_network(content, "made"))
        assert layers.float32
        x = points(rng, network)
        for row, computed in zip(x, run(content, x, plain=True), strict=True):
            used.append(assert_bounded(network, layers, row, computed))
    assert all(part is not None for part in used)


@pytest.mark.parametrize("family", ["adult", "bank", "compas", "german", "prof"])
def test_onnxruntime_stays_within_the_bound_of_public_networks(shared: Path, family: str) -> None:
    onnx = pytest.importorskip("onnx", reason="the ONNX package is absent: nothing can be read")
    rng = np.random.default_rng(10)
    for file in sorted((shared / "models" / family).glob("*.onnx")):
        data = "prof_bank" if file.name.startswith("bank-") else file.name.split("-")[0] if family == "prof" else family
        domain = load_domain(shared / "models" / "domains" / f"{data}.toml").domain
        made = onnx.load(file)
        last = made.graph.node.pop()
        assert last.op_type == "Sigmoid"
        made.graph.output[0].name = last.input[0]
        layers = layers_of(read_network(file.read_bytes(), file.name))
        assert layers.float32
        assert layers.exact
        x = np.stack([[rng.integers(int(f.low), int(f.high) + 1) for f in domain.features] for _ in range(3)])
        computed = run(made.SerializeToString(), x, plain=False)
        for row, found in zip(x, computed, strict=True):
            bound = oracle.float32_error(layers, oracle.fractions(row))
            exact = oracle.decision(layers, oracle.fractions(row))
            assert bound is not None
            assert bound < 1
            assert abs(Fraction(float(found[0])) - exact) <= bound, file.name


def test_what_leaves_the_range_of_float32_on_its_way_has_no_bound_or_a_wide_one() -> None:
    over = layers_of(one(scaled(1e30, 1e30)))
    assert oracle.float32_error(over, [Fraction(10**20)]) is None
    assert oracle.float32_error(over, [Fraction(10**5)]) is not None
    under = layers_of(one(scaled(1e-30, 1e-30)))
    tiny = Fraction(1, 10**20)
    bound = oracle.float32_error(under, [tiny])
    assert bound is not None
    assert bound >= abs(oracle.decision(under, [tiny]))  # computed: 0
    norm = BatchNorm(0, np.array([-3e38]), np.array([1024.0]), 0.0, np.array([0.25]), NONE)
    far = layers_of(one(norm))
    assert not far.float32  # 3e38 itself is none
    norm = BatchNorm(0, np.array([-(2.0**127)]), np.array([1024.0]), 0.0, np.array([0.25]), NONE)
    far = layers_of(one(norm))
    assert far.float32
    assert oracle.float32_error(far, [Fraction(2**127)]) is None
    assert oracle.float32_error(far, [Fraction(2**125)]) is not None


def test_alpha_of_gemm_hides_nothing() -> None:
    """float32: x·2^-100 is 0 before 2^100 comes; over the reals it is x."""
    onnx = pytest.importorskip("onnx", reason="the ONNX package is absent: nothing can be read")
    helper = onnx.helper
    tensor = onnx.numpy_helper.from_array(np.array([[2.0**-100]], np.float32), "w")
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], alpha=2.0**100)]
    ends = [[helper.make_tensor_value_info(name, 1, ["n", 1])] for name in "xy"]
    made = helper.make_model(
        helper.make_graph(nodes, "g", *ends, [tensor]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    content = made.SerializeToString()
    layers = layers_of(read_network(content, "made"))
    x = Fraction(1, 2**60)
    assert oracle.decision(layers, [x]) == x
    bound = oracle.float32_error(layers, [x])
    assert bound is not None
    assert bound >= x
    assert run(content, np.array([[2.0**-60]]), plain=True)[0, 0] in (0.0, 2.0**-60)


def test_long_sums_that_underflow_stay_within_the_bound() -> None:
    """Every product underflows by the most it can, and the float32 sum rounds up all the way."""
    k = 6000
    weight = np.full((1, k), 2.0**-75 * (1 + 2.0**-23))
    layers = layers_of(one(Affine(0, weight, NONE), inputs=k))
    rounds = int(layers.layers[0].rounds[0])
    gamma = Fraction(k, 2**24 - k)
    assert rounds >= k * (1 + gamma)
    assert layers_of(one(Affine(0, weight[:, :3000], NONE), inputs=3000)).layers[0].rounds[0] == 3002


@pytest.mark.parametrize(
    ("network", "float32"),
    [
        (one(scaled(0.5)), True),
        (one(Scale(0, np.array([0.1]), np.ones(1), NONE)), False),
        (one(Affine(0, np.array([[1e39]]), NONE)), False),
        (one(Activation(0, "leaky_relu", 0.25)), True),
        (one(Activation(0, "leaky_relu", 0.01)), False),
        (one(Activation(0, "leaky_relu", 2.0)), False),
        (one(BatchNorm(0, NONE, np.ones(1), 1e-5, np.ones(1), NONE)), False),
        (one(BatchNorm(0, NONE, np.ones(1), 0.5, np.ones(1), NONE)), True),
        (one(BatchNorm(0, NONE, np.array([2.0**-60]), 0.0, np.ones(1), NONE)), False),
        (one(BatchNorm(0, NONE, np.ones(1), 0.5, np.array([2.0**-30]), NONE)), False),
    ],
)
def test_what_is_float32(network: Network, float32: bool) -> None:
    assert layers_of(network).float32 == float32


def test_thresholds_of_float32() -> None:
    rng = np.random.default_rng(12)
    checked = 0
    for _ in range(60):
        network = random_network(rng, norms=False, ends=1)
        if network.outputs == 2:
            continue
        threshold = Fraction(int(rng.integers(1, 100)), 100)
        layers = layers_of(network, threshold)
        for x in points(rng, network, 3):
            bound = oracle.float32_error(layers, oracle.fractions(x))
            computed = Fraction(float(oracle.run_float32(network, x, rng)[0]))
            exact = oracle.decision(layers, oracle.fractions(x))
            assert bound is not None
            assert abs((computed - threshold) * threshold.denominator - exact) <= bound
            checked += 1
    assert checked > 60
