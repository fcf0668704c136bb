from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certifair.errors import InputError
from certifair.individual.networks import network_of
from certifair.spec.layers import layers_of
from certifair.spec.network import Activation, Affine, Network, Scale
from tests.oracles import layers_oracle as oracle

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is absent: it fits the classifiers of these tests")
torch = pytest.importorskip("torch", reason="PyTorch is absent: it makes the modules of these tests")
pytest.importorskip("onnxscript", reason="onnxscript is absent: PyTorch exports with it")
from sklearn.base import BaseEstimator  # noqa: E402
from sklearn.linear_model import (  # noqa: E402
    LinearRegression,
    LogisticRegression,
    Perceptron,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler  # noqa: E402
from sklearn.svm import LinearSVC  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(3)
X = RNG.normal(size=(80, 4)) * [1, 10, 0.1, 3] + [0, 5, 1, -2]
Y = np.where(X @ [1, 0.1, -4, 0.3] + RNG.normal(size=80) * 0.3 > -3.6, "yes", "no")


def decide(model: Any, x: Any) -> list[bool]:
    layers = layers_of(network_of(model))
    return [oracle.decision(layers, oracle.fractions(row)) > 0 for row in x]


def linear() -> list[Any]:
    plain = [LogisticRegression(), SGDClassifier(random_state=0), LinearSVC(), Perceptron(), RidgeClassifier()]
    return [*plain, LogisticRegression(fit_intercept=False), LinearSVC(fit_intercept=False)]


@pytest.mark.parametrize("number", range(7))
def test_linear_classifiers(number: int) -> None:
    model = linear()[number].fit(X, Y)
    network = network_of(model, 4)
    (step,) = network.steps
    assert isinstance(step, Affine)
    assert step.weight.tolist() == model.coef_.reshape(1, 4).tolist()  # not rounded
    assert step.bias.tolist() == np.broadcast_to(model.intercept_, (1,)).tolist()
    fresh = RNG.normal(size=(50, 4)) * 4
    assert decide(model, fresh) == (model.predict(fresh) == model.classes_[1]).tolist()


@pytest.mark.parametrize("kind", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multi_layer_perceptrons(kind: str, dtype: Any) -> None:
    model = MLPClassifier((6, 3), activation=kind, random_state=0, max_iter=30).fit(X.astype(dtype), Y)
    network = network_of(model)
    assert layers_of(network).float32 == (dtype == np.float32)
    first = network.steps[0]
    assert isinstance(first, Affine)
    assert (first.weight == model.coefs_[0].T).all()
    fresh = (RNG.normal(size=(50, 4)) * 4).astype(dtype)
    assert decide(model, fresh) == (model.predict(fresh) == model.classes_[1]).tolist()
    logits = [oracle.outputs(network, oracle.fractions(row))[0] for row in fresh[:5]]
    chances = model.predict_proba(fresh[:5])[:, 1]
    assert np.allclose(1 / (1 + np.exp(-np.array(logits, dtype=float))), chances, atol=1e-6)


@pytest.mark.parametrize(
    "before",
    [
        [StandardScaler()],
        [StandardScaler(with_mean=False)],
        [StandardScaler(with_std=False)],
        [MinMaxScaler((-1, 3))],
        [MinMaxScaler(), StandardScaler()],
        ["passthrough", StandardScaler()],
    ],
)
def test_pipelines(before: list[Any]) -> None:
    for last in (LogisticRegression(), MLPClassifier((5,), random_state=1, max_iter=50)):
        steps = [(str(k), part) for k, part in enumerate([*before, last])]
        model = Pipeline(steps).fit(X, Y)
        network = network_of(model)
        assert network.inputs == 4
        fresh = RNG.normal(size=(50, 4)) * [1, 10, 0.1, 3] + [0, 5, 1, -2]
        assert decide(model, fresh) == (model.predict(fresh) == model.classes_[1]).tolist()
        scaler = next(part for part in before if part != "passthrough")
        first = network.steps[0]
        assert isinstance(first, Scale)
        wanted = scaler.transform(fresh[:1])[0]
        shown = 2 if (isinstance(scaler, MinMaxScaler) or (scaler.with_mean and scaler.with_std)) else 1
        found = oracle.outputs(Network(4, network.steps[:shown], shown), oracle.fractions(fresh[0]))
        assert np.allclose(np.array(found, dtype=float), wanted, rtol=1e-12, atol=1e-12)


def test_sparse_weights_and_columns_with_names() -> None:
    pd = pytest.importorskip("pandas", reason="pandas is absent")
    model = SGDClassifier(penalty="l1", random_state=0).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    dense = network_of(model).steps[0]
    sparse = network_of(model.sparsify()).steps[0]
    assert isinstance(dense, Affine)
    assert isinstance(sparse, Affine)
    assert (dense.weight == sparse.weight).all()


class Own(LogisticRegression):  # type: ignore[misc]
    """Decides the other way round."""

    def decision_function(self, X: Any) -> Any:
        return -super().decision_function(X)


class Alike(Own):
    pass


Alike.__name__ = "LogisticRegression"


class Strange(BaseEstimator):  # type: ignore[misc]
    pass


def unknown_activation() -> Any:
    model = MLPClassifier((2,), max_iter=2, random_state=0).fit(X, Y)
    model.activation = "gelu"
    return model


THREE = np.arange(80) % 3


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (LogisticRegression, "LogisticRegression: is not fitted; call fit first"),
        (MLPClassifier, "MLPClassifier: is not fitted"),
        (lambda: make_pipeline(StandardScaler(), LogisticRegression()), "StandardScaler: is not fitted"),
        (lambda: LogisticRegression().fit(X, THREE), "LogisticRegression: tells 3 classes apart; fit it with two"),
        (lambda: RidgeClassifier().fit(X, THREE), "RidgeClassifier: tells 3 classes apart"),
        (lambda: RidgeClassifier().fit(X, np.stack([THREE == 0, THREE == 1], axis=1)), "RidgeClassifier: tells"),
        (lambda: MLPClassifier((2,), max_iter=2, random_state=0).fit(X, THREE), "MLPClassifier: tells 3"),
        (unknown_activation, "MLPClassifier: has the activations 'gelu' and 'logistic'; use one of relu"),
        (
            lambda: LinearRegression().fit(X, THREE),
            "LinearRegression: is no classifier that can be read; give an ONNX file",
        ),
        (
            lambda: MLPRegressor(hidden_layer_sizes=(2,), max_iter=2, random_state=0).fit(X, THREE),
            "MLPRegressor: is no classifier",
        ),
        (
            lambda: make_pipeline(PolynomialFeatures(), LogisticRegression()).fit(X, Y),
            "PolynomialFeatures: is no scaler",
        ),
        (lambda: make_pipeline(MinMaxScaler(clip=True), LogisticRegression()).fit(X, Y), "cuts off .*; use clip=False"),
        (lambda: make_pipeline(StandardScaler()).fit(X), "StandardScaler: is no classifier"),
        (lambda: StandardScaler().fit(X), "StandardScaler: is no classifier"),
        (lambda: Own().fit(X, Y), "Own: is no model that can be read; give an ONNX file"),
        (lambda: make_pipeline(Own()).fit(X, Y), "Own: is no classifier that can be read"),
        (lambda: make_pipeline(Alike()).fit(X, Y), "LogisticRegression: is no classifier that can be read"),
        (lambda: Alike().fit(X, Y), "LogisticRegression: is no model that can be read"),
        (Strange, "Strange: is no model"),
        (lambda: None, "NoneType: is no model that can be read"),
        (lambda: 3.5, "float: is no model"),
        (lambda: lambda x: x, "function: is no model"),
        (lambda: b"", "the model: is no ONNX file"),
        (lambda: "nowhere.onnx", "nowhere.onnx: cannot be read"),
    ],
)
def test_what_is_refused(make: Any, why: str) -> None:
    model = make()
    with pytest.raises(InputError, match=why):
        network_of(model)


def test_a_network_and_onnx_files(shared: Path) -> None:
    path = shared / "models" / "compas" / "compas-1.onnx"
    network = network_of(path)
    assert network_of(network) is network
    others = [network_of(str(path)), network_of(path.read_bytes())]
    for other in others:
        assert [type(step) for step in other.steps] == [type(step) for step in network.steps]
    with pytest.raises(InputError, match=r"compas-1\.onnx: has 6 inputs, not 5"):
        network_of(path, 5)
    with pytest.raises(InputError, match="LogisticRegression: has 4 inputs, not 3"):
        network_of(LogisticRegression().fit(X, Y), 3)


nn = torch.nn


class Residual(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5, -1.0, 0.25, 2.0]))
        self.first, self.second, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(10, 2)

    def forward(self, x: Any) -> Any:
        h = torch.relu(self.first(x - self.mean))
        g = h + nn.functional.leaky_relu(self.second(h), 0.25)
        return torch.softmax(self.last(torch.cat([h, g], dim=1)), dim=-1)


class Silent(nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x: Any) -> Any:
        return torch.relu(x)


def test_torch_modules(capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(5)
    x = torch.randn(40, 4) * 3
    for module in (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1), nn.Sigmoid()), Residual()):
        network = network_of(module.train())
        assert module.training
        layers = layers_of(network)
        assert layers.float32
        assert layers.exact
        with torch.no_grad():
            found = module(x)
        wanted = found[:, 1] > found[:, 0] if found.shape[1] == 2 else found[:, 0] > 0.5
        for row, one in zip(x.numpy(), wanted.tolist(), strict=True):
            exact = oracle.decision(layers, oracle.fractions(row))
            assert (exact > 0) == one or abs(exact) < 1e-5
    last = network.steps[-1]
    assert isinstance(last, Activation)
    capfd.readouterr()


def test_torch_modules_that_cannot_be_read(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="Silent: does not say how many inputs it has; pass inputs="):
        network_of(Silent())
    assert network_of(Silent(), 3).inputs == 3
    with pytest.raises(InputError, match="cannot be exported"):
        network_of(nn.Linear(4, 1), 3)
    with pytest.raises(InputError, match=r"\(Gelu\) is not an operator"):
        network_of(nn.Sequential(nn.Linear(4, 2), nn.GELU()))
    capfd.readouterr()


def test_the_models_of_this_project() -> None:
    from certifair import FairModel
    from certifair.training import Standardize, mlp

    network = mlp(4, (3,), seed=1, standardize=Standardize([0.5, 1, 2, 3], [1, 2, 0.5, 3]))
    with pytest.raises(InputError, match=r"FairModel: .*; ask about its backbone: model\.backbone"):
        network_of(FairModel(network, None))
    layers = layers_of(network_of(network))
    x = np.random.default_rng(1).normal(size=4).astype(np.float32)
    z = oracle.decision(layers, oracle.fractions(x))
    chance = network(torch.tensor(x)[None]).item()
    assert abs(1 / (1 + np.exp(-float(z))) - chance) < 1e-6
    assert layers.float32
    assert float(oracle.real_error(layers, oracle.fractions(x))) < 1e-14


def test_neither_torch_nor_scikit_learn_is_imported() -> None:
    code = """
import sys
from certifair.errors import InputError
from certifair.individual.networks import network_of
for thing in (3, b""):
    try:
        network_of(thing)
    except InputError:
        pass
assert not {"torch", "sklearn"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=120)


def test_weights_that_float64_does_not_hold_are_refused() -> None:
    model = LogisticRegression().fit(X, Y)
    model.coef_ = model.coef_.astype(np.longdouble) * np.longdouble("1.00000000000000000001")
    if np.finfo(np.longdouble).eps < np.finfo(np.float64).eps:
        model.coef_ += np.finfo(np.longdouble).eps * np.abs(model.coef_) * 8
        with pytest.raises(InputError, match="which float64 does not hold"):
            network_of(model)
    model.coef_ = np.array([[1, 2**60 + 1, 3, 4]])
    with pytest.raises(InputError, match="weights of int64, which float64 does not hold"):
        network_of(model)
    model.coef_ = np.array([[1, 2, 3, np.nan]])
    with pytest.raises(InputError, match="not finite"):
        network_of(model)
    model.coef_ = np.array([[1, 2, 3, 4]])
    assert oracle.outputs(network_of(model), [Fraction(1)] * 4)[0] == 10 + Fraction(float(model.intercept_[0]))
