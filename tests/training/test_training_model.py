from __future__ import annotations

import copy
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from certifair.errors import InputError
from certifair.layer import ProjectionError
from certifair.training import FairModel, Standardize, mlp
from tests.training.people import model_of, parity, people


def exact_gap(predictions: torch.Tensor, groups: np.ndarray) -> Fraction:
    """The largest difference of two groups' means, in rational arithmetic."""
    values = [Fraction(value) for value in predictions.detach().reshape(-1).double().tolist()]
    means = []
    for group in np.unique(groups):
        own = [value for value, name in zip(values, groups, strict=True) if name == group]
        means.append(sum(own, Fraction(0)) / len(own))
    return max(means) - min(means)


def test_forward_passes_the_layer_only_with_sensitive_features() -> None:
    data = people()
    model = model_of(data, parity(0.01))
    inputs = data.inputs.float()
    scores = model.scores(inputs)
    assert torch.equal(model(inputs), scores)
    assert torch.equal(FairModel(model.backbone)(inputs, data.sensitive["sex"]), scores)
    fair = model(inputs, data.sensitive["sex"])
    assert fair.shape == scores.shape
    assert exact_gap(fair, data.sensitive["sex"]) <= Fraction(1, 100) < exact_gap(scores, data.sensitive["sex"])


def test_predict_is_in_float64_and_leaves_the_model_alone() -> None:
    data = people()
    model = model_of(data, parity(0.01), dropout=True)
    before = copy.deepcopy(model.state_dict())
    served = model.predict(data.inputs, data.sensitive)
    assert served.scores.dtype == served.predictions.dtype == torch.float64
    assert model.training
    assert model.dtype == torch.float32
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    # by hand, in numpy, from the stored weights
    weights = {name: value.double().numpy() for name, value in model.backbone.state_dict().items()}
    x = (data.inputs.numpy() - weights["0.mean"]) / weights["0.scale"]
    hidden = np.maximum(x @ weights["1.weight"].T + weights["1.bias"], 0)
    logits = hidden @ weights["4.weight"].T + weights["4.bias"]
    np.testing.assert_allclose(served.scores.numpy(), 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-15)
    assert exact_gap(served.predictions, data.sensitive["sex"]) <= Fraction(1, 100)
    assert all(value * 2**40 == int(value * 2**40) for value in served.predictions.reshape(-1).tolist())
    assert set(served.batches[0].multipliers[0]) == {"sex: f - m"}
    assert served.batches[0].multipliers[0]["sex: f - m"] != 0


@pytest.mark.parametrize("size", [1, 7, 100, 240, 1000])
def test_predict_in_batches(size: int) -> None:
    data = people()
    model = model_of(data, parity(0.01))
    frame = pd.DataFrame(data.sensitive)[["sex"]]
    served = model.predict(data.inputs, frame, batch=size)
    assert [(b.start, b.stop) for b in served.batches] == [(k, min(k + size, 240)) for k in range(0, 240, size)]
    for batch in served.batches:
        groups = data.sensitive["sex"][batch.start : batch.stop]
        assert exact_gap(served.predictions[batch.start : batch.stop], groups) <= Fraction(1, 100)
    inputs = data.inputs.numpy()
    inputs.setflags(write=False)
    again = model.predict(inputs, data.sensitive["sex"].tolist(), batch=size)
    assert torch.equal(again.predictions, served.predictions)


def test_a_batch_that_cannot_be_served() -> None:
    data = people(12)
    model = model_of(data, parity("0.001", "equalized_residuals"))
    labels = torch.full((12,), 0.5, dtype=torch.float64)
    labels[6:] = 3  # outside the box
    with pytest.raises(ProjectionError):
        model.predict(data.inputs, data.sensitive, labels, batch=6)
    served = model.predict(data.inputs, data.sensitive, labels, batch=6, partial=True)
    assert not served
    assert not served.predictions[:6].isnan().any()
    assert served.predictions[6:].isnan().all()
    assert served.batches[0].reason == ""
    assert served.batches[1].reason.startswith("infeasible")


def test_several_outputs_are_several_problems() -> None:
    data = people(60)
    model = FairModel(mlp(5, (4,), 3, standardize=Standardize.fitted(data.inputs)), parity(0.01))
    served = model.predict(data.inputs, data.sensitive)
    assert served.predictions.shape == (60, 3)
    assert len(served.batches[0].multipliers) == 3


def test_predict_refuses() -> None:
    data = people(20)
    model = model_of(data, parity())
    with pytest.raises(InputError, match="pass sensitive_features="):
        model.predict(data.inputs)
    with pytest.raises(InputError, match="negative"):
        model.predict(data.inputs, data.sensitive, batch=-1)
    with pytest.raises(InputError, match="has no column 'sex'"):
        model.predict(data.inputs, {"race": data.sensitive["race"]})


def test_mlp_depends_on_its_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = mlp(4, (3,), seed=1)
    assert torch.equal(torch.rand(3), expected)
    again, other = mlp(4, (3,), seed=1), mlp(4, (3,), seed=2)
    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "sigmoid"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_mlp_shapes(activation: str, layer_norm: bool) -> None:
    net = mlp(4, [5, 3], 2, activation=activation, final=None, layer_norm=layer_norm)
    assert net(torch.zeros(7, 4)).shape == (7, 2)
    assert sum(isinstance(item, torch.nn.LayerNorm) for item in net) == 2 * layer_norm
    assert isinstance(net[0], Standardize)


def test_standardize() -> None:
    inputs = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    found = Standardize.fitted(inputs)
    assert found(inputs).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert not list(found.parameters())
    for mean, scale in (([0.0], [0.0]), ([0.0], [1.0, 1.0]), ([float("nan")], [1.0])):
        with pytest.raises(InputError, match="Standardize"):
            Standardize(mean, scale)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"activation": "gelu"}, "known: relu"),
        ({"final": "softmax"}, "softmax"),
        ({"hidden": (0,)}, "whole numbers above 0"),
        ({"standardize": Standardize([0.0], [1.0])}, "1 columns for 4 inputs"),
    ],
)
def test_mlp_refuses(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        mlp(4, **arguments)  # type: ignore[arg-type]
