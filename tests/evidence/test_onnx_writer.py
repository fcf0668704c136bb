"""A network that is written and read back is the same network, number by number."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.evidence.witness import layers_to_json
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Concat, LayerNorm, Network, Sum
from certifair.spec.values import values
from tests.spec.lipschitz_cases import random_network

onnx = pytest.importorskip("onnx", reason="the ONNX package is absent: it writes the files of these tests")

FAMILIES = ("adult", "bank", "compas", "german", "prof")


def by_runtime(content: bytes, points: Any) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: nothing to compare with")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    dtype = np.float32 if given.type == "tensor(float)" else np.float64
    return session.run(None, {given.name: points.astype(dtype)})[0]


def same_steps(one: Network, other: Network) -> None:
    assert (one.inputs, one.output, len(one.steps)) == (other.inputs, other.output, len(other.steps))
    for old, new in zip(one.steps, other.steps, strict=True):
        assert type(old) is type(new)
        for field in dataclasses.fields(old):
            np.testing.assert_array_equal(getattr(old, field.name), getattr(new, field.name))


@pytest.mark.parametrize("family", FAMILIES)
def test_public_networks_come_back_as_they_were(shared: Path, family: str) -> None:
    paths = sorted((shared / "models" / family).glob("*.onnx"))
    assert paths
    for path in paths:
        network = read_network(path.read_bytes(), str(path))
        written = write_network(network)
        onnx.checker.check_model(onnx.load_from_string(written), full_check=True)
        again = read_network(written, "written")
        same_steps(network, again)
        assert layers_to_json(layers_of(again)) == layers_to_json(layers_of(network))
        assert write_network(again) == written
        points = np.random.default_rng(0).integers(0, 6, (200, network.inputs)).astype(np.float64)
        np.testing.assert_array_equal(values(network, points), values(again, points))
        old, new = by_runtime(path.read_bytes(), points), by_runtime(written, points)
        assert new.dtype == np.float32
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(new, values(network, points), rtol=1e-4, atol=1e-5)


def written_again(network: Network) -> Network:
    return read_network(write_network(network), "written")


def storable(network: Network) -> Network:
    """With slopes and epsilons that ONNX can hold."""

    def single(step: Any) -> Any:
        names = [name for name in ("slope", "epsilon") if hasattr(step, name)]
        return dataclasses.replace(step, **{name: float(np.float32(getattr(step, name))) for name in names})

    return Network(network.inputs, tuple(map(single, network.steps)), network.output)


@pytest.mark.parametrize("seed", range(40))
def test_networks_of_every_step_have_the_same_values(seed: int) -> None:
    """Scales come back in parts; the numbers, none of which is a float32, stay float64."""
    network = storable(random_network(seed))
    again = written_again(network)
    points = np.random.default_rng(seed).normal(size=(30, network.inputs))
    np.testing.assert_array_equal(values(again, points), values(network, points))


@pytest.mark.parametrize("sources", [(1,), (1, 2), (1, 2, 1), (1, 2, 1, 2)])
def test_sums_of_any_number_of_slots(sources: tuple[int, ...]) -> None:
    steps = (
        Affine(0, np.array([[0.1, 0.2], [0.3, 0.4]]), np.zeros(2)),
        Affine(0, np.array([[0.7, 0.6], [0.5, 0.4]]), np.ones(2)),
        Sum(sources),
    )
    network = Network(2, steps, 3)
    points = np.random.default_rng(1).normal(size=(50, 2))
    np.testing.assert_array_equal(values(written_again(network), points), values(network, points))


def test_float64_weights_stay_float64() -> None:
    weight = np.array([[1.0 + 2.0**-40, 3.0]])
    network = Network(2, (Affine(0, weight, np.array([0.25])), Activation(1, "sigmoid")), 2)
    content = write_network(network)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(content).graph.initializer}
    assert kinds == {onnx.TensorProto.DOUBLE}
    same_steps(network, read_network(content, "written"))
    points = np.array([[1.0, 2.0], [-3.0, 0.5]])
    np.testing.assert_allclose(by_runtime(content, points), values(network, points), rtol=1e-14)


def test_float32_weights_are_stored_as_such() -> None:
    network = Network(2, (Affine(0, np.array([[0.5, 3.0]]), np.array([0.25])), Concat((1, 1))), 2)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(write_network(network)).graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize(
    "step",
    [
        Activation(0, "leaky_relu", slope=0.1),
        LayerNorm(0, 1e-5, np.ones(2), np.zeros(2)),
        Activation(0, "softplus", threshold=20.0),
    ],
    ids=["slope", "epsilon", "threshold"],
)
def test_what_would_become_another_network_is_refused(step: Any) -> None:
    with pytest.raises(ValueError, match=r"float32|threshold"):
        write_network(Network(2, (step,), 1))
