from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from certifair.spec.network import (
    MAX_WIDTH,
    Activation,
    Affine,
    BatchNorm,
    Concat,
    LayerNorm,
    Network,
    Scale,
    Step,
    Sum,
    reads,
)

ONE, TWO = np.ones(1), np.ones(2)


def affine(source: int, width: int, outputs: int) -> Affine:
    return Affine(source, np.ones((outputs, width)), np.zeros(outputs))


NETWORK = Network(
    2,
    (
        affine(0, 2, 3),
        Activation(1, "relu"),
        affine(1, 3, 7),  # not used
        affine(2, 3, 3),
        Sum((2, 4)),
        LayerNorm(5, 1e-5, np.ones(3), np.zeros(3)),
        Concat((6, 0)),
        BatchNorm(7, np.zeros(5), np.ones(5), 0.0, np.ones(5), np.zeros(5)),
        Scale(8, np.ones(5), np.ones(5), np.zeros(5)),
        Activation(9, "leaky_relu", slope=0.1),
    ),
    10,
)


def test_widths_and_reads() -> None:
    assert NETWORK.widths == (2, 3, 3, 7, 3, 3, 3, 5, 5, 5, 5)
    assert NETWORK.outputs == 5
    assert [reads(step) for step in NETWORK.steps[3:7]] == [(2,), (2, 4), (5,), (6, 0)]


def test_unused_steps_go_and_the_others_keep_their_meaning() -> None:
    found = NETWORK.without_unused()
    assert found.widths == (2, 3, 3, 3, 3, 3, 5, 5, 5, 5)
    assert [reads(step) for step in found.steps] == [(0,), (1,), (2,), (2, 3), (4,), (5, 0), (6,), (7,), (8,)]
    assert found.output == 9
    assert found.without_unused().widths == found.widths
    straight = Network(2, (affine(0, 2, 3),), 0).without_unused()
    assert (straight.steps, straight.outputs) == ((), 2)


def bad(array: Any, value: float) -> Any:
    changed = array.copy()
    changed.flat[0] = value
    return changed


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (affine(1, 2, 1), "before it"),
        (affine(-1, 2, 1), "before it"),
        (affine(0, 3, 1), "shape"),
        (affine(0, 2, 0), "shape"),
        (Affine(0, np.ones(2), ONE), "shape"),
        (Affine(0, np.ones((1, 2), np.float32), ONE), "float32"),
        (Affine(0, bad(np.ones((1, 2)), np.nan), ONE), "not finite"),
        (Affine(0, np.ones((1, 2)), bad(ONE, np.inf)), "not finite"),
        (Affine(0, np.ones((1, 2)), TWO), "shape"),
        (Scale(0, TWO, bad(TWO, 0.0), TWO), "divides by 0"),
        (Scale(0, TWO, bad(TWO, -0.0), TWO), "divides by 0"),
        (Scale(0, ONE, TWO, TWO), "shape"),
        (Scale(0, TWO, TWO, ONE), "shape"),
        (Activation(0, "gelu"), "unknown kind"),  # type: ignore[arg-type]
        (Activation(0, "relu", slope=0.1), "slope"),
        (Activation(0, "leaky_relu", slope=np.inf), "slope"),
        (Activation(0, "relu", threshold=1.0), "threshold"),
        (Activation(0, "softplus", threshold=np.nan), "threshold"),
        (Sum(()), "before it"),
        (Concat(()), "before it"),
        (Sum((0, 1)), "before it"),
        (BatchNorm(0, TWO, TWO, -1e-5, TWO, TWO), "epsilon"),
        (BatchNorm(0, TWO, TWO, np.nan, TWO, TWO), "epsilon"),
        (BatchNorm(0, TWO, bad(TWO, -0.1), 1.0, TWO, TWO), "variance"),
        (BatchNorm(0, TWO, bad(TWO, 0.0), 0.0, TWO, TWO), "variance"),
        (BatchNorm(0, ONE, TWO, 0.1, TWO, TWO), "shape"),
        (LayerNorm(0, np.inf, TWO, TWO), "epsilon"),
        (LayerNorm(0, 0.1, ONE, TWO), "shape"),
    ],
)
def test_steps_that_do_not_fit(step: Step, why: str) -> None:
    with pytest.raises(ValueError, match=f"step 0, {type(step).__name__}: .*{why}"):
        Network(2, (step,), 0)


def test_networks_that_do_not_fit() -> None:
    for inputs, output, why in ((0, 0, "0 inputs"), (MAX_WIDTH + 1, 0, "inputs"), (2, 1, "output"), (2, -1, "output")):
        with pytest.raises(ValueError, match=why):
            Network(inputs, (), output)
    with pytest.raises(ValueError, match=r"step 1, Sum: adds the widths \[2, 4\]"):
        Network(2, (Concat((0, 0)), Sum((0, 1))), 1)
    with pytest.raises(ValueError, match="wide"):
        Network(2, tuple(Concat((k, k)) for k in range(22)), 22)
