"""Networks trained by certifair: without fairness, without the sensitive columns, and by the paper's four methods."""

from __future__ import annotations

import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import final

from certifair.compare.base import BASE, Case, DataSet, Made, Method, NothingError
from certifair.compare.bundles import served_by_network
from certifair.compare.methods._common import one_line
from certifair.compare.policy import training_policy
from certifair.errors import CertifairError, InputError
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.onnx_writer import write_network
from certifair.spec.network import Activation, Network
from certifair.spec.training import METHODS as TRAINED
from certifair.spec.training import SERVED_WITH_LAYER

ALONE = "unaware"


@final
class Trained(Method):
    """`certifair train` by one of its methods; `unaware` is `plain` without the sensitive columns."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.per_person = name not in SERVED_WITH_LAYER

    def fixed(self, data: DataSet) -> bool:
        return self.name == BASE and data.model is not None

    def make(self, case: Case, out: Path) -> Made:
        if self.name == BASE and case.data.model is not None:
            return _given(case, case.data.model, out)
        return _trained(case, self.name, out)


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
    from certifair.training.run import train

    sensitive = tuple(feature.name for feature in case.data.domain.features if feature.sensitive)
    without = sensitive if name == ALONE else ()
    method = BASE if name == ALONE else name

    def on_time(_: object) -> None:
        if case.seconds <= 0:
            raise NothingError("time limit", "training was not done in time")

    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.toml"
        policy.write_bytes(training_policy(case.data, method, case.seed, without=without))
        started = time.monotonic()
        try:
            trained = train(case.data.rows, policy, on_time)
            took = time.monotonic() - started
            served = trained.serve(policy, out)
        except InputError as error:
            raise NothingError("does not apply", one_line(str(error))) from None
        except CertifairError as error:  # people whom the layer cannot serve fairly
            raise NothingError("infeasible", one_line(str(error))) from None
    note = f"{len(trained.history.epochs)} epochs"
    return Made(f"torch {version('torch')}", took, served.seconds, note)
