"""A network from what people have: an ONNX file, a torch module, a fitted classifier of scikit-learn.

Weights stay what they are. A torch module goes through ONNX, in float64, where torch's exporter may fold one layer into
another (a BatchNorm into a Linear before it); the network is then the exported one. Of scikit-learn the numbers
themselves are read. Neither package is imported here: an object that comes from one of them has done that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.evidence.files import read_input
from certifair.evidence.onnx_reader import read_network
from certifair.spec.network import Activation, Affine, Kind, Network, Scale, Step

Array = NDArray[np.float64]

LINEAR: Final = ("LogisticRegression", "SGDClassifier", "LinearSVC", "Perceptron", "RidgeClassifier")
SCALERS: Final = ("StandardScaler", "MinMaxScaler")
ACTIVATIONS: Final[dict[str, Kind | None]] = {"relu": "relu", "tanh": "tanh", "logistic": "sigmoid", "identity": None}
ADVICE: Final = (
    "give an ONNX file or its bytes, a torch module, a fitted binary MLPClassifier or one of "
    f"{', '.join(LINEAR)}, or a Pipeline of {' or '.join(SCALERS)} and one of these"
)


def network_of(model: Any, inputs: int | None = None) -> Network:
    """The network of a model. Its decision is that of `certifair.spec.layers`: the model's own, f > 0.

    inputs: how many numbers a person has; a torch module needs it if it does not start with a layer that says so.
    Errors: InputError for what is no such model, is not fitted, or has other inputs.
    """
    network = _network(model, inputs)
    if inputs is not None and network.inputs != inputs:
        raise InputError(f"has {network.inputs} inputs, not {inputs}", where=_where(model))
    return network


def _network(model: Any, inputs: int | None) -> Network:
    if isinstance(model, Network):
        return model
    if isinstance(model, str | Path):
        return read_network(read_input(Path(model)), str(model))
    if isinstance(model, bytes):
        return read_network(model, "the model")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return _of_torch(model, inputs)
    if type(model).__module__.partition(".")[0] == "sklearn":
        return _of_sklearn(model)
    raise InputError("is no model that can be read", where=_where(model), advice=ADVICE)


def _where(model: Any) -> str:
    return str(model) if isinstance(model, str | Path) else type(model).__name__


def _of_torch(module: Any, inputs: int | None) -> Network:
    """Through ONNX, as a bundle has it; the export of a wrong number of inputs fails."""
    from certifair.training.export import export_onnx

    if type(module).__name__ == "FairModel":
        what = "serves a batch together, so that nobody's prediction is one person's alone"
        raise InputError(what, where="FairModel", advice="ask about its backbone: model.backbone")
    if inputs is None:
        inputs = next((_inputs(part) for part in module.modules() if _inputs(part)), None)
    if inputs is None:
        raise InputError("does not say how many inputs it has", where=_where(module), advice="pass inputs=")
    return read_network(export_onnx(module, inputs), _where(module))


def _inputs(part: Any) -> int | None:
    """How many numbers a layer reads, for layers that say it."""
    found = getattr(part, "in_features", getattr(part, "num_features", None))
    if found is None and type(part).__name__ == "Standardize":
        found = len(part.mean)
    return found if isinstance(found, int) else None


def _of_sklearn(model: Any) -> Network:
    """The scalers of a pipeline as steps, then its classifier. Errors: InputError."""
    scalers, classifier = _parts(model)
    steps: list[Step] = []
    for scaler in scalers:
        for factor, divisor, shift in _scaled(scaler):
            steps.append(Scale(len(steps), factor, divisor, shift))
    layers = _layers(classifier)
    inputs = scalers[0].n_features_in_ if scalers else layers[0][0][0].shape[1]
    for (weight, bias), kind in layers:
        steps.append(Affine(len(steps), weight, bias))
        if kind is not None:
            steps.append(Activation(len(steps), kind))
    try:
        return Network(int(inputs), tuple(steps), len(steps))
    except ValueError as error:
        raise InputError(str(error), where=_where(model)) from None


def _parts(model: Any) -> tuple[list[Any], Any]:
    if type(model).__name__ != "Pipeline":
        return [], model
    *before, (_, classifier) = model.steps
    return [part for _, part in before if part not in (None, "passthrough")], classifier


def _scaled(scaler: Any) -> list[tuple[Array, Array, Array]]:
    """factor, divisor and shift of each operation, as scikit-learn does them one after the other."""
    name = _own_name(scaler)
    if name not in SCALERS:
        raise InputError("is no scaler that can be read", where=_where(scaler), advice=ADVICE)
    _check_fitted(scaler, "n_features_in_")
    one, zero = np.ones(scaler.n_features_in_), np.zeros(scaler.n_features_in_)
    if name == "MinMaxScaler":
        if scaler.clip:
            raise InputError("cuts off what is out of its range", where=name, advice="use clip=False")
        return [(_float64(scaler.scale_, name), one, zero), (one, one, _float64(scaler.min_, name))]
    found = []
    if scaler.with_mean:
        found.append((one, one, -_float64(scaler.mean_, name)))
    if scaler.with_std:
        found.append((one, _float64(scaler.scale_, name), zero))
    return found


def _layers(model: Any) -> list[tuple[tuple[Array, Array], Kind | None]]:
    """Weights (out, in), biases, and what follows. Two classes: the second one's decision is f > 0, as in predict."""
    name = _own_name(model)
    if name == "MLPClassifier":
        _check_fitted(model, "coefs_")
        _check_binary(model, name, model.n_outputs_)
        if model.activation not in ACTIVATIONS or model.out_activation_ != "logistic":
            what = f"has the activations {model.activation!r} and {model.out_activation_!r}"
            raise InputError(what, where=name, advice=f"use one of {', '.join(ACTIVATIONS)}")
        kind = ACTIVATIONS[model.activation]
        pairs = zip(model.coefs_, model.intercepts_, strict=True)
        found = [(_float64(weight, name).T, _float64(bias, name)) for weight, bias in pairs]
        return [(pair, kind) for pair in found[:-1]] + [(found[-1], None)]
    if name not in LINEAR:
        raise InputError("is no classifier that can be read", where=_where(model), advice=ADVICE)
    _check_fitted(model, "coef_")
    _check_binary(model, name, model.coef_.shape[0] if model.coef_.ndim == 2 else 1)
    weight = _float64(model.coef_, name).reshape(1, -1)
    return [((weight, np.full(1, _float64(model.intercept_, name).reshape(-1)[0])), None)]


def _own_name(model: Any) -> str:
    """The class's name if it is scikit-learn's own: a subclass may decide otherwise."""
    return type(model).__name__ if type(model).__module__.partition(".")[0] == "sklearn" else ""


def _check_fitted(model: Any, name: str) -> None:
    if not hasattr(model, name):
        raise InputError("is not fitted", where=_where(model), advice="call fit first")


def _check_binary(model: Any, name: str, outputs: int) -> None:
    if outputs != 1 or len(model.classes_) != 2:
        raise InputError(f"tells {len(model.classes_)} classes apart", where=name, advice="fit it with two")


def _float64(numbers: Any, name: str) -> Array:
    """The same numbers, dense; a float32 is a float64. Errors: InputError where one would be rounded."""
    array = np.asarray(numbers.toarray() if hasattr(numbers, "toarray") else numbers)
    found: Array = array.astype(np.float64)
    fits = array.dtype.kind == "f" and array.dtype.itemsize <= 8
    if not fits and (array.dtype.kind not in "fiu" or (found.astype(array.dtype) != array).any()):
        raise InputError(f"has weights of {array.dtype}, which float64 does not hold", where=name)
    return found
