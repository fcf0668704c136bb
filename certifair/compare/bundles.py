"""What a method made, as an evidence bundle: a network that serves people one by one, or predictions as they are."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from certifair.compare.base import Case, DataSet
from certifair.compare.policy import PART, PREDICTION, SCORE, serving_policy, training_policy
from certifair.errors import CertifairError
from certifair.evidence.domain import domain_of, ranges_of
from certifair.evidence.ingest import bundle_served, ingest
from certifair.evidence.inputs import Inputs
from certifair.evidence.network_bundle import inputs_of, scores_of, served_of
from certifair.evidence.onnx_reader import read_network
from certifair.spec.domain import Domain
from certifair.spec.policy import Policy

if TYPE_CHECKING:
    from certifair.training.table import People as Encoded

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@final
@dataclass(frozen=True, eq=False)
class People:
    """A data set's people as networks read them; `train` and `test` (n,) say who is in which part, some in none.

    inputs, X (n, d); y (n,) of 0 and 1; groups: by column, texts (n,). domain: what each input may be.
    """

    table: pa.Table
    inputs: Inputs
    domain: Domain
    X: Floats
    y: Floats
    groups: Mapping[str, NDArray[Any]]
    train: Mask
    test: Mask
    exclusions: list[Any]


def people(case: Case) -> People:
    """Everybody in the table, encoded and split as for training. Raises InputError naming column and row."""
    from certifair.training.table import read_people

    data = case.data
    policy = Policy.parse(training_policy(data, "plain", case.seed), data.name)
    found, table = read_people(data.rows, policy, str(data.rows))
    inputs = inputs_of(data.domain)  # also what no row has: it may be asked about
    return People(
        table=table,
        inputs=inputs,
        domain=_domain(policy, inputs),
        X=inputs.encode(table),
        y=_labels(found),
        groups={name: found.data.sensitive[name] for name in data.groups},
        train=found.train,
        test=found.kept,
        exclusions=found.exclusions,
    )


def _labels(found: Encoded) -> Floats:
    assert found.data.labels is not None
    labels: Floats = found.data.labels.double().numpy()
    return labels


def _domain(policy: Policy, inputs: Inputs) -> Domain:
    """The domain of the policy's claims about the network."""
    (about,) = (item for item in policy.properties if item.form == "domain" and item.kind == "individual")
    found = domain_of(ranges_of(about, policy, inputs), about.sensitive_features, None)
    assert found is not None, "a set's sensitive features are inputs of its network"
    return found


@final
@dataclass(frozen=True, eq=False)
class Serving:
    """What the test part was served, (n_test,), and how many seconds that took."""

    predictions: Floats
    seconds: float


def served_by_network(case: Case, content: bytes, out: Path, *, crowd: People | None = None) -> Serving:
    """Write the bundle of an ONNX network that serves the test part one by one.

    What is served is the network's value, within [0, 1]. Raises InputError as `scores_of`.
    """
    crowd = crowd or people(case)
    network = read_network(content, "the network")
    started = time.perf_counter()
    scores = scores_of(network, crowd.X[crowd.test], crowd.domain)
    seconds = time.perf_counter() - started
    policy = serving_policy(case.data, case.method, network=True, alone=True, held_out=case.held_out)
    return Serving(_bundle(case.data, crowd, policy, content, (scores, scores), out), seconds)


def served_otherwise(
    case: Case,
    scores: Floats,
    predictions: Floats,
    content: bytes,
    out: Path,
    *,
    crowd: People | None = None,
) -> None:
    """Write the bundle of a network whose scores (n_test,) somebody else's layer made predictions (n_test,) of."""
    crowd = crowd or people(case)
    policy = serving_policy(case.data, case.method, network=True, held_out=case.held_out)
    _bundle(case.data, crowd, policy, content, (scores, predictions), out)


def served_as(
    case: Case, predictions: Floats, out: Path, scores: Floats | None = None, *, crowd: People | None = None
) -> None:
    """Write the bundle of predictions (n_test,) for the test part, in the table's order, and of scores if there are."""
    crowd = crowd or people(case)
    columns = {PREDICTION: predictions} | ({} if scores is None else {SCORE: scores})
    table = _with_parts(crowd, [case.data.label, *case.data.groups])
    for name, column in columns.items():
        whole = np.zeros(len(crowd.test))
        whole[crowd.test] = column
        table = table.append_column(name, [whole])
    content = serving_policy(case.data, case.method, scored=scores is not None, held_out=case.held_out)
    with policy_file(content) as policy:
        ingest(table, policy, out)


@contextlib.contextmanager
def policy_file(content: bytes) -> Iterator[Path]:
    """A run's policy as a file, for whoever reads it there; errors do not name it by where it was."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.toml"
        path.write_bytes(content)
        try:
            yield path
        except CertifairError as error:
            error.where = error.where.replace(str(path), "the run's policy")
            raise


def _with_parts(crowd: People, columns: Iterable[str]) -> pa.Table:
    """These columns of everybody, and the part that each is in."""
    parts = np.where(crowd.test, "test", np.where(crowd.train, "train", "other"))
    return crowd.table.select(list(dict.fromkeys(columns))).append_column(PART, [pa.array(parts)])


def _bundle(
    data: DataSet, crowd: People, policy: bytes, content: bytes, made: tuple[Floats, Floats], out: Path
) -> Floats:
    """made: scores and predictions. What was served, (n_test,)."""
    parts = (crowd.test, crowd.exclusions)
    served = served_of(Policy.parse(policy, data.name), content, crowd.inputs, parts, *made)
    with policy_file(policy) as path:
        bundle_served(_with_parts(crowd, [data.label, *data.groups, *data.inputs]), path, out, served)
    return served.predictions
