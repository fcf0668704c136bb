"""Networks trained by certifair: without fairness, without the sensitive columns, and by the paper's four methods."""

from __future__ import annotations

import dataclasses
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np
import pyarrow as pa

from certifair.compare.base import BASE, Case, DataSet, Made, Method, NothingError
from certifair.compare.bundles import People, people, policy_file, served_by_network
from certifair.compare.methods._common import one_line
from certifair.compare.policy import served_with_layer, training_policy
from certifair.errors import CertifairError, InputError, PolicyError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.repair.zeroing import pinned, sensitive_columns
from certifair.spec import metrics
from certifair.spec.network import Activation, Network
from certifair.spec.policy import Policy
from certifair.spec.training import METHODS as TRAINED
from certifair.spec.training import SERVED_WITH_LAYER

if TYPE_CHECKING:
    from certifair.training.serve import Trained as Fitted

ALONE: Final = "unaware"
UNKNOWN: Final = "the network alone serves, as labels are not known then"


@final
class Trained(Method):
    """`certifair train` by one of its methods; `unaware` is `plain` that is shown 0 for every sensitive input."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.per_person = name not in SERVED_WITH_LAYER

    def serves_alone(self, data: DataSet) -> bool:
        return not served_with_layer(data, self.name)

    def fixed(self, data: DataSet) -> bool:
        return self.name == BASE and data.model is not None and data.split is not None

    def make(self, case: Case, out: Path) -> Made:
        if self.name == BASE and case.data.model is not None:
            return _given(case, case.data.model, out)
        try:
            return _trained(case, self.name, out)
        except PolicyError as error:  # of our own policy
            raise NothingError("failed", one_line(str(error))) from None
        except InputError as error:
            raise NothingError("does not apply", one_line(str(error))) from None
        except CertifairError as error:  # people whom the layer cannot serve fairly
            raise NothingError("infeasible", one_line(str(error))) from None


METHODS = tuple(Trained(name) for name in (*TRAINED, ALONE))


def _given(case: Case, model: Path, out: Path) -> Made:
    """The set's own network, serving as it is; one without a last sigmoid gets one, which changes no decision."""
    network = read_network(model.read_bytes(), str(model))
    last = network.steps[network.output - 1] if network.output else None
    if not (isinstance(last, Activation) and last.kind == "sigmoid"):
        steps = (*network.steps, Activation(network.output, "sigmoid"))
        network = Network(network.inputs, steps, len(steps))
    return Made("none", 0.0, served_by_network(case, write_network(network), out).seconds, f"the network {model.name}")


def _trained(case: Case, name: str, out: Path) -> Made:
    crowd = people(case)
    started = time.monotonic()
    fitted = _fitted(case, crowd, name)
    took = time.monotonic() - started
    notes = [f"{len(fitted.history.epochs)} epochs"]
    serve = _serve_unaware if name == ALONE else _serve
    seconds = serve(case, crowd, fitted, out)
    if name in SERVED_WITH_LAYER and metrics.get(case.data.metric).needs_label:
        notes.append(UNKNOWN)
    return Made(f"torch {version('torch')}", took, seconds, "; ".join(notes))


def _fitted(case: Case, crowd: People, name: str) -> Fitted:
    """Trained on the inputs as numbers, (n, d): so a network has an input for each value that a category may have.

    For `unaware` the sensitive ones are 0: then no weight there is ever moved, and what it is matters to nobody.
    """
    from certifair.training.run import train

    def on_time(_: object) -> None:
        if case.seconds <= 0:
            raise NothingError("time limit", "training was not done in time")

    shown = crowd.X.copy()
    if name == ALONE:
        shown[:, sensitive_columns(crowd.domain)] = 0.0
    table = _columns(case.data, crowd)
    names = tuple(f"certifair input {k}" for k in range(shown.shape[1]))
    for column, values in zip(names, shown.T, strict=True):
        table = table.append_column(column, [np.ascontiguousarray(values)])
    policy = training_policy(case.data, _method(name), case.seed, inputs=names)
    with policy_file(policy) as path:
        return train(table, path, on_time)


def _columns(data: DataSet, crowd: People) -> pa.Table:
    """What training reads of the table beside its inputs."""
    named = [data.label, *data.groups, *([] if data.split is None else [data.split])]
    return crowd.table.select(list(dict.fromkeys(named)))


def _method(name: str) -> str:
    return BASE if name == ALONE else name


def _serve(case: Case, crowd: People, fitted: Fitted, out: Path) -> float:
    """As training serves, by the columns that the set names; how many seconds it took."""
    content = training_policy(case.data, case.method, case.seed)
    found = dataclasses.replace(
        fitted,
        source=crowd.table,
        table=crowd.table,
        policy=Policy.parse(content, case.data.name),
        people=dataclasses.replace(fitted.people, inputs=crowd.inputs),
    )
    with policy_file(content) as path:
        return found.serve(path, out).seconds


def _serve_unaware(case: Case, crowd: People, fitted: Fitted, out: Path) -> float:
    """The network with weights of 0 where sensitive inputs enter: what it was in training, whatever they are."""
    from certifair.training.export import export_onnx

    network = read_network(export_onnx(fitted.model.backbone, crowd.X.shape[1]), "the trained network")
    columns = sensitive_columns(crowd.domain)
    blind = pinned(network, columns, np.zeros(len(columns)))
    return served_by_network(case, write_network(blind), out, crowd=crowd).seconds
