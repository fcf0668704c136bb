"""What the layer takes, what it refuses, and that it refuses with one clear error."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, final

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from certifair.errors import InputError
from certifair.layer import FairnessLayer, Status
from certifair.spec.groups import Cell, Partition
from certifair.spec.metrics.base import Example, Metric, Row

D = torch.float64
Z = torch.tensor([0.9, 0.1, 0.8, 0.4, 0.7, 0.2], dtype=D)
GROUPS = np.array([0, 1, 0, 1, 0, 1])
PARITY = FairnessLayer("demographic_parity", "0.05")
FAIR = PARITY(Z, GROUPS)


# ---------------------------------------------------------------------------------------------------------- refused
SCORES: dict[str, Any] = {
    "NaN": torch.tensor([0.1, float("nan"), 0.3, 0.4, 0.5, 0.6]),
    "inf": torch.tensor([0.1, float("inf"), 0.3, 0.4, 0.5, 0.6]),
    "-inf, float64": torch.tensor([0.1, -float("inf"), 0.3, 0.4, 0.5, 0.6], dtype=D),
    "integers": torch.arange(6),
    "float16": Z.half(),
    "bfloat16": Z.bfloat16(),
    "complex": Z.to(torch.complex128),
    "bool": Z > 0.5,
    "numpy": Z.numpy(),
    "a list": Z.tolist(),
    "nobody": Z[:0],
    "no columns": torch.zeros((6, 0)),
    "no batches": torch.zeros((0, 6, 1)),
    "a number": torch.tensor(0.5),
    "four dimensions": Z.reshape(1, 1, 6, 1),
}


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_scores_refused(scores: Any) -> None:
    with pytest.raises(InputError, match=r"scores? (have|must|of row 2)"):
        PARITY(scores, GROUPS)


FEATURES: dict[str, Any] = {
    "too short": GROUPS[:5],
    "too long": np.zeros(7, dtype=int),
    "None": None,
    "a number": 1,
    "no columns": np.zeros((6, 0), dtype=int),
    "an empty mapping": {},
    "an empty frame": pd.DataFrame(index=range(6)),
    "turned": GROUPS[None, :].repeat(2, axis=0),
    "three dimensions": GROUPS.reshape(6, 1, 1),
    "None inside": ["a", None, "b", "a", "b", "a"],
    "NaN in an object array": np.array(["a", float("nan"), "b", "a", "b", "a"], dtype=object),
    "NaN in a list of texts": ["a", float("nan"), "b", "a", "b", "a"],
    "NaN among floats": np.array([0, float("nan"), 1, 0, 1, 0]),
    "NaN in a tensor": torch.tensor([0, float("nan"), 1, 0, 1, 0]),
    "fractions": np.array([0, 0.5, 1, 0, 1, 0]),
    "None in a Series": pd.Series(["a", None, "b", "a", "b", "a"]),
    "NA in a Series of texts": pd.Series(["a", None, "b", "a", "b", "a"], dtype="string"),
    "NA in a Series of numbers": pd.Series([0, None, 1, 0, 1, 0], dtype="Int64"),
    "missing in a category": pd.Series(["a", None, "b", "a", "b", "a"], dtype="category"),
    "NaT": np.array(["2020-01-01", "NaT"] * 3, dtype="datetime64[D]"),
    "null in polars": pl.DataFrame({"g": ["a", None, "b", "a", "b", "a"]}),
    "floats beyond integers": GROUPS * 1e300,
}


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
def test_sensitive_features_refused(features: Any) -> None:
    with pytest.raises(InputError):
        PARITY(Z, features)


LABELS: dict[str, Any] = {
    "absent": None,
    "2": [0, 1, 2, 0, 1, 0],
    "-1": [0, 1, -1, 0, 1, 0],
    "a half": [0, 1, 0.5, 0, 1, 0],
    "NaN": [0, 1, float("nan"), 0, 1, 0],
    "None": [0, 1, None, 0, 1, 0],
    "texts": ["0", "1", "0", "0", "1", "0"],
    "too short": [0, 1, 0],
    "too long": [0, 1] * 4,
    "a number": 1,
}


@pytest.mark.parametrize("metric", ["equalized_odds", "equal_opportunity"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_binary_labels_refused(metric: str, labels: Any) -> None:
    with pytest.raises(InputError, match="label"):
        FairnessLayer(metric, 0.1)(Z, GROUPS, labels=labels)


@pytest.mark.parametrize("labels", [None, [0.1] * 5, [float("nan")] * 6, [None] * 6, ["x"] * 6, 1.0, [[1, 2]] * 6])
def test_real_labels_refused(labels: Any) -> None:
    with pytest.raises(InputError, match="labels"):
        FairnessLayer("equalized_residuals", 0.1)(Z, GROUPS, labels=labels)


@pytest.mark.parametrize("conditions", [None, ["a"] * 5, ["a", None] * 3, np.full(6, np.nan), np.zeros((6, 2), int)])
def test_conditions_refused(conditions: Any) -> None:
    with pytest.raises(InputError, match="condition"):
        FairnessLayer("conditional_parity", 0.1)(Z, GROUPS, conditions=conditions)


LAYERS: dict[str, Callable[[], FairnessLayer]] = {
    "an unknown metric": lambda: FairnessLayer("demografic_parity", 0.1),
    "a metric's class": lambda: FairnessLayer(Metric, 0.1),  # type: ignore[arg-type]
    "an unknown solver": lambda: FairnessLayer("demographic_parity", 0.1, solver="osqp"),
    "a solver's helper": lambda: FairnessLayer("demographic_parity", 0.1, solver="_dual"),
    "a negative epsilon": lambda: FairnessLayer("demographic_parity", -0.1),
    "epsilon NaN": lambda: FairnessLayer("demographic_parity", float("nan")),
    "epsilon infinite": lambda: FairnessLayer("demographic_parity", float("inf")),
    "epsilon beyond floats": lambda: FairnessLayer("demographic_parity", "1e400"),
    "epsilon a text": lambda: FairnessLayer("demographic_parity", "small"),
    "epsilon None": lambda: FairnessLayer("demographic_parity", None),  # type: ignore[arg-type]
    "lower = upper": lambda: FairnessLayer("demographic_parity", 0.1, 1, 1),
    "lower > upper": lambda: FairnessLayer("demographic_parity", 0.1, 1, 0),
    "an endless box": lambda: FairnessLayer("demographic_parity", 0.1, 0, float("inf")),
    "a box below all floats": lambda: FairnessLayer("demographic_parity", 0, 0, "1e-400"),
    "a box beyond all floats": lambda: FairnessLayer("demographic_parity", 0, 0, "1e400"),
    "a box whose grid is no float": lambda: FairnessLayer("demographic_parity", 0, 0, 1e-300),
    "a negative tolerance": lambda: FairnessLayer("demographic_parity", 0.1, tolerances={"group: 0 - 1": -1}),
    "one value twice": lambda: FairnessLayer("demographic_parity", 0.1, values={"group": ["0", "1", "0"]}),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers_refused(make: Callable[[], FairnessLayer]) -> None:
    with pytest.raises(InputError):
        make()(Z, GROUPS)


CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an undeclared value": ({"values": {"group": ["0", "2"]}}, {}),
    "features of other names": ({"features": ["sex", "race"]}, {}),
    "a declared feature that is not there": ({"values": {"sex": ["0", "1"]}}, {}),
    "a tolerance of no row": ({"tolerances": {"group: 0 - 7": 0.1}}, {}),
    "epsilon negative": ({}, {"epsilon": torch.tensor(-0.1)}),
    "epsilon NaN": ({}, {"epsilon": torch.tensor(float("nan"))}),
    "epsilon of other rows": ({}, {"epsilon": torch.zeros(3)}),
    "epsilon empty": ({}, {"epsilon": torch.zeros(0)}),
    "offsets infinite": ({}, {"offsets": torch.tensor(float("inf"))}),
    "offsets of other rows": ({}, {"offsets": torch.zeros(2)}),
    "a start of other rows": ({}, {"start": np.zeros(3)}),
    "a start of NaN": ({}, {"start": np.array([np.nan])}),
    "a start without end": ({}, {"start": np.array([np.inf])}),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("made", "called"), CALLS.values(), ids=CALLS)
def test_calls_refused(made: dict[str, Any], called: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        FairnessLayer("demographic_parity", 0.05, **made)(Z, GROUPS, **called)


@pytest.mark.parametrize("start", [np.nan, np.inf, -np.inf, 1e308])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_that_is_not_a_number_is_ever_called_solved(start: float) -> None:
    try:
        found = PARITY.project(Z, GROUPS, start=np.array([start]))
    except InputError:
        return
    assert found.problems[0].status is not Status.SOLVED or torch.equal(found.predictions, FAIR)


def test_two_features_of_one_name_are_refused() -> None:
    # as one, the second would be bound by nothing
    features = np.stack([np.zeros(6, dtype=int), GROUPS], axis=1)
    with pytest.raises(InputError):
        FairnessLayer("demographic_parity", 0, features=["g", "g"])(Z, features)


def test_an_error_names_the_row() -> None:
    with pytest.raises(InputError, match="row 2"):
        PARITY(Z, ["a", None, "b", "a", "b", "a"])
    with pytest.raises(InputError, match="did you mean 'demographic_parity'"):
        FairnessLayer("demografic_parity", 0.1)
    with pytest.raises(InputError, match="undeclared value '1'"):
        FairnessLayer("demographic_parity", 0.1, values={"group": ["0", "2"]})(Z, GROUPS)


# ------------------------------------------------------------------------------------------------------------ taken
TAKEN: dict[str, Any] = {
    "int64": GROUPS,
    "uint8": GROUPS.astype(np.uint8),
    "int8": GROUPS.astype(np.int8),
    "uint64": GROUPS.astype(np.uint64),
    "big-endian": GROUPS.astype(">i4"),
    "every other": np.repeat(GROUPS, 2)[::2],
    "negative": GROUPS - 5,
    "large": GROUPS * 1000 + 10**12,
    "whole floats": GROUPS.astype(np.float32),
    "bool": GROUPS.astype(bool),
    "list of numbers": GROUPS.tolist(),
    "list of bools": [bool(g) for g in GROUPS],
    "list of texts": ["fm"[g] for g in GROUPS],
    "tuple": tuple("fm"[g] for g in GROUPS),
    "texts": np.array(["fm"[g] for g in GROUPS]),
    "objects": np.array(["fm"[g] for g in GROUPS], dtype=object),
    "bytes": np.array([b"f" if g else b"m" for g in GROUPS]),
    "tensor": torch.from_numpy(GROUPS),
    "uint8 tensor": torch.from_numpy(GROUPS).to(torch.uint8),
    "bool tensor": torch.from_numpy(GROUPS).bool(),
    "float tensor": torch.from_numpy(GROUPS).float(),
    "(n, 1)": GROUPS[:, None],
    "(n, 1) tensor": torch.from_numpy(GROUPS)[:, None],
    "(n, 2), one constant": np.stack([GROUPS, np.zeros(6, dtype=int)], axis=1),
    "Series": pd.Series(GROUPS, name="sex", index=range(10, 16)),
    "Series of texts": pd.Series(["fm"[g] for g in GROUPS]),
    "Series of string": pd.Series(["fm"[g] for g in GROUPS], dtype="string"),
    "Series of Int64": pd.Series(GROUPS, dtype="Int64"),
    "category": pd.Series(["fm"[g] for g in GROUPS], dtype="category"),
    "DataFrame": pd.DataFrame({"sex": ["fm"[g] for g in GROUPS]}),
    "DataFrame of two": pd.DataFrame({"sex": ["fm"[g] for g in GROUPS], "same": GROUPS}),
    "polars": pl.DataFrame({"sex": ["fm"[g] for g in GROUPS]}),
    "polars Series": pl.Series("sex", ["fm"[g] for g in GROUPS]),
    "mapping": {"sex": ["fm"[g] for g in GROUPS]},
}


@pytest.mark.parametrize("features", TAKEN.values(), ids=TAKEN)
def test_sensitive_features_in_any_form(features: Any) -> None:
    assert float((PARITY(Z, features) - FAIR).abs().max()) <= 2 * 2.0**-40
    assert len(PARITY.project(Z, features).problems[0].problem.joint) == 6


@pytest.mark.parametrize("shape", [(6,), (6, 1), (1, 6, 1), (6, 2), (2, 6, 1), (2, 6, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_dtype_and_device_are_kept(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    scores = torch.linspace(-0.2, 1.2, int(np.prod(shape)), dtype=dtype).reshape(shape)
    kept = scores.clone()
    y = PARITY(scores, GROUPS)
    assert (y.shape, y.dtype, y.device) == (scores.shape, scores.dtype, scores.device)
    assert y.data_ptr() != scores.data_ptr()
    assert torch.equal(scores, kept)


def test_scores_that_are_not_contiguous() -> None:
    wide = torch.stack([Z, Z + 0.3], dim=1)
    assert torch.equal(PARITY(wide[:, 0], GROUPS), FAIR)
    assert torch.equal(PARITY(wide.T.contiguous().T, GROUPS), PARITY(wide, GROUPS))
    assert torch.equal(PARITY(Z.flip(0), GROUPS[::-1]), FAIR.flip(0))


@pytest.mark.parametrize("written", ["0.05", Decimal("0.05"), Fraction(1, 20), 0.05, np.float64(0.05)])
def test_epsilon_is_what_was_written(written: Any) -> None:
    # The float 0.05 is larger than 1/20 by 2.8e-18: a tenth of a step of this grid, which only exact comparison sees.
    layer = FairnessLayer("demographic_parity", written, 0, Fraction(1, 2**14))
    assert layer.epsilon == Fraction(1, 20) != Fraction(0.05)
    assert layer.project(Z, GROUPS).problems[0].tolerances == {"group: 0 - 1": Fraction(1, 20)}


def test_an_offset_that_the_float_would_allow() -> None:
    # y = 0 and b = float(0.05) > 1/20, but within float(0.05): the float would call y = 0 fair.
    offset = torch.tensor([0.05], dtype=D)
    y = PARITY(torch.zeros(2, dtype=D), [0, 1], offsets=offset)
    assert Fraction(float(y[0])) - Fraction(float(y[1])) - Fraction(0.05) >= -Fraction(1, 20)
    assert y.any()


def test_ends_of_the_box_are_decimals() -> None:
    y = FairnessLayer("demographic_parity", 1, 0.1, 0.9)(torch.tensor([-1.0, 2.0], dtype=D), [0, 1]).tolist()
    assert Fraction(1, 10) <= Fraction(y[0])
    assert Fraction(y[1]) <= Fraction(9, 10)


def test_labels_in_any_form() -> None:
    layer = FairnessLayer("equalized_odds", 0.05)
    labels = [1, 0, 0, 1, 1, 0]
    expected = layer(Z, GROUPS, labels)
    forms: Sequence[Any] = (
        np.array(labels, dtype=bool),
        np.array(labels, dtype=np.float32),
        torch.tensor(labels),
        torch.tensor(labels).bool(),
        torch.tensor(labels, dtype=torch.float32).requires_grad_(True),
        torch.tensor(labels)[:, None],
        pd.Series(labels, index=range(5, 11)),
    )
    for form in forms:
        assert torch.equal(layer(Z, GROUPS, form), expected)


def test_declared_values_keep_their_order_and_show_who_is_absent() -> None:
    layer = FairnessLayer("demographic_parity", 0.05, features=["sex"], values={"sex": ["x", "m", "f"]})
    found = layer.project(Z, {"sex": ["fm"[g] for g in GROUPS]})
    assert list(found.problems[0].multipliers) == ["sex: m - f"]
    assert found.problems[0].absent == ("sex: x - m", "sex: x - f")
    assert float((found.predictions - FAIR).abs().max()) <= 2 * 2.0**-40


def test_booleans_have_one_name() -> None:
    flags = GROUPS.astype(bool)
    forms: Sequence[Any] = (flags, flags.tolist(), flags.astype(object), pd.Series(flags), torch.from_numpy(flags))
    names = {tuple(PARITY.project(Z, {"old": form}).problems[0].multipliers) for form in forms}
    assert len(names) == 1


def test_one_group_alone_is_only_clipped() -> None:
    found = PARITY.project(torch.tensor([-1.0, 0.5, 2.0], dtype=D), [0, 0, 0])
    assert found.predictions.tolist() == [0.0, 0.5, 1.0]
    assert found.problems[0].multipliers == {}


def test_nobody_with_a_positive_label() -> None:
    found = FairnessLayer("equal_opportunity", 0.0).project(Z, GROUPS, labels=[0] * 6)
    assert torch.equal(found.predictions, (Z * 2.0**40).round() / 2.0**40)
    assert found.problems[0].absent == ("group | label=1: 0 - 1",)


def test_the_layer_is_stateless() -> None:
    assert list(PARITY.parameters()) == []
    assert PARITY.state_dict() == {}
    for other in (copy.deepcopy(PARITY), pickle.loads(pickle.dumps(PARITY))):
        assert torch.equal(other(Z, GROUPS), FAIR)


# ------------------------------------------------------------------------------------------------ a metric of one's own
@final
class TwiceTheFirst(Metric):
    """|2 mean(y | a) − mean(y | b) / 3|."""

    name = "twice_the_first"

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        cells = (Cell(0, 0, None), Cell(0, 1, None))
        return (Row("2a - b/3", cells, factors=(2, Fraction(-1, 3))),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ()


@final
class ThreeMeans(Metric):
    """|mean(y | a) + mean(y | b) − 2 mean(y | c)|."""

    name = "three_means"

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return (Row("a + b - 2c", tuple(Cell(0, g, None) for g in range(3)), factors=(1, 1, -2)),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ()


@final
class FactorsForgotten(Metric):
    """Three cells, and only the two default factors."""

    name = "factors_forgotten"

    def rows(
        self, partitions: Sequence[Partition], conditions: Sequence[str], condition_on: str | None
    ) -> tuple[Row, ...]:
        return (Row("?", tuple(Cell(0, g, None) for g in range(3))),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ()


def means(y: torch.Tensor, groups: np.ndarray) -> list[Fraction]:
    return [
        sum((Fraction(v) for v in y.numpy()[groups == g].tolist()), Fraction(0)) / int((groups == g).sum())
        for g in range(int(groups.max()) + 1)
    ]


def test_a_metric_of_ones_own() -> None:
    z = Z.clone().requires_grad_(True)
    layer = FairnessLayer(TwiceTheFirst(), "0.01")
    y = layer(z, GROUPS)
    a, b = means(y.detach(), GROUPS)
    assert abs(2 * a - b / 3) <= Fraction(1, 100)
    assert abs(2 * a - b / 3) >= Fraction(1, 100) - Fraction(1, 2**36)
    # by hand: free people move along their weight; nobody but the first group's may be clipped
    row = np.where(GROUPS == 1, -1 / 9, 2 / 3)
    free = ((y > 0) & (y < 1)).detach().numpy()
    gap = row @ y.detach().numpy() - 0.01
    assert abs(gap) < 1e-10
    moved = (Z - y.detach()).numpy()
    assert np.ptp((moved / row)[free]) < 1e-9
    assert torch.autograd.gradcheck(lambda x: layer(x, GROUPS), (z,), eps=1e-5, atol=3e-6)


def test_a_row_of_three_cells() -> None:
    groups = np.array([0, 1, 2, 0, 1, 2])
    y = FairnessLayer(ThreeMeans(), 0)(torch.tensor([0.9, 0.8, 0.1, 0.7, 0.6, 0.2], dtype=D), groups)
    a, b, c = means(y, groups)
    assert abs(a + b - 2 * c) == 0


def test_a_row_without_a_factor_for_each_cell_is_refused() -> None:
    with pytest.raises((InputError, ValueError)):
        FairnessLayer(FactorsForgotten(), 0.1)(Z, [0, 1, 2, 0, 1, 2])
