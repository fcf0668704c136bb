"""Rows in chunks: on this process, on processes of this machine, and on a Dask cluster."""

from __future__ import annotations

import dataclasses
import os
import time
from array import array

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from joblib.externals.loky import get_reusable_executor

from certifair.checks._individual.check import check_witness
from certifair.errors import InputError
from certifair.evidence.witness import ALL, PAIR, TREE, UNDECIDED, Rows, Witness, layers_to_json
from certifair.individual.api import prove
from certifair.individual.engines import _jobs
from certifair.individual.engines._comparison import rows_by
from certifair.individual.engines._jobs import INTERRUPTED, NO_TIME, over_chunks
from certifair.individual.engines._row_trees import tree_rows
from certifair.individual.engines.base import Proposal, Task
from certifair.individual.engines.interval import Interval
from certifair.individual.query import Answer
from certifair.spec.domain import Domain, Feature
from certifair.spec.network import Affine, Network
from certifair.spec.verdict import Verdict
from tests.individual.comparison_cases import network
from tests.individual.row_cases import MIXED, centred, people

CUBE = Domain(
    "cube",
    (
        *(Feature(name, "continuous", -1.0, 1.0, sensitive=True) for name in "abc"),
        Feature("z", "continuous", -4.0, 4.0),
        Feature("y", "integer", -4, 4),
    ),
)
FEW = Domain(
    "few",
    (
        Feature("a", "integer", 0, 1, sensitive=True),
        Feature("z", "continuous", -4.0, 4.0),
        Feature("y", "integer", -4, 4),
    ),
)
TASKS = {
    "interval": (Interval().rows, FEW, 3),
    "trees": (tree_rows, CUBE, 5),
}


@pytest.fixture(scope="module")
def client():
    """A cluster of one worker, a thread of this process. Everything goes to it as bytes, as it would far away."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0", protocol="tcp://"
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@pytest.fixture(scope="module", autouse=True)
def _no_processes_left():
    yield
    get_reusable_executor().shutdown(wait=True)


def question(name):
    """What is asked, with rows of several chunks, of which two are not in the domain."""
    ask, domain, inputs = TASKS[name]
    rows = people(domain, 45)
    layers = centred(network(5, "relu", (inputs, 8, 1)), rows)
    layers.piecewise_linear  # noqa: B018 — what is cached travels as well
    rows[7, 0] = rows[40, 0] = 99.0
    return ask, Task(layers, domain), rows


def said(found):
    return found.about.code, found.about.pairs.tobytes(), found.about.trees, sorted(found.reasons)


@pytest.mark.parametrize("name", TASKS)
def test_the_same_by_any_number_of_processes(name, monkeypatch):
    ask, task, rows = question(name)
    with monkeypatch.context() as forbidden:
        forbidden.setattr(joblib._parallel_backends, "get_memmapping_executor", None)
        alone = ask(task, rows)
        with pytest.raises(TypeError, match="not callable"):
            ask(dataclasses.replace(task, processes=2), rows)
    assert set(alone.about.code) == {UNDECIDED, PAIR, ALL if name == "interval" else TREE}
    assert (2, "the row is not in the domain") in alone.reasons
    shares = []
    two = ask(dataclasses.replace(task, processes=2, progress=lambda *now: shares.append((os.getpid(), now))), rows)
    assert said(two) == said(alone)
    assert len(shares) == -(-len(rows) // (8 if name == "interval" else 16))
    assert {pid for pid, _ in shares} == {os.getpid()}
    code = alone.about.code
    last = np.array([len(code) - code.count(PAIR) - code.count(UNDECIDED), code.count(PAIR), code.count(UNDECIDED)])
    assert shares[-1][1] == pytest.approx(tuple(last / len(code)))
    assert shares[0][1][2] > shares[-1][1][2]
    checked = check_witness(
        Witness(layers_to_json(task.layers), task.domain, two.about, "any"), task.layers, task.domain, rows
    )
    assert ((checked.verdicts["real"] == 0) == (np.frombuffer(code, np.uint8) == UNDECIDED)).all()


@pytest.mark.parametrize("name", TASKS)
def test_the_same_by_dask(name, client):
    ask, task, rows = question(name)
    alone = ask(task, rows)
    before = done(client)
    with joblib.parallel_config(backend="dask"):
        far = ask(dataclasses.replace(task, processes=2), rows)
    assert said(far) == said(alone)
    assert done(client) - before == -(-len(rows) // (8 if name == "interval" else 16))


def test_a_whole_proof_by_dask(client):
    """Of f = 2a + z − 1/2: unfair are those with −3/2 < z ≤ 1/2."""
    rows = people(FEW, 45)
    network = Network(3, (Affine(0, np.array([[2.0, 1.0, 0.0]]), np.array([-0.5])),), 1)
    before = done(client)
    with joblib.parallel_config(backend="dask"):
        found = prove(network, FEW, rows, method="interval", seconds=20.0, processes=2, check=check_witness)
    assert done(client) > before
    unfair = (rows[:, 1] > -1.5) & (rows[:, 1] <= 0.5)
    assert (found.checked.verdicts["real"] == np.where(unfair, 2, 1)).all()


def done(client):
    """How many tasks the cluster has given to its workers so far."""
    log = client.run_on_scheduler(lambda dask_scheduler: [entry[2] for entry in dask_scheduler.transition_log])
    return log.count("processing")


def slow(rows, seconds):
    """Takes all of its time."""
    time.sleep(min(seconds, 5.0))
    return Proposal(Rows(bytes([ALL]) * len(rows)))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("chunks", [1, 2, 3, 7, 23])
def test_keeps_the_deadline(chunks, processes):
    with joblib.parallel_config(backend="threading"):
        start = time.monotonic()
        task = Task(network(0), MIXED, start + 0.5, processes=processes)
        found = over_chunks(slow, np.zeros((3 * chunks, 4)), 3, task)
        assert time.monotonic() - start < 0.7
    assert len(found.about.code) == 3 * chunks
    assert found.about.code[:3] == bytes([ALL]) * 3
    late = found.about.code.count(UNDECIDED)
    assert found.reasons == (((late, NO_TIME),) if late else ())


def test_no_time_at_all():
    found = over_chunks(slow, np.zeros((5, 4)), 2, Task(network(0), MIXED, 0.0))
    assert found == Proposal(Rows(bytes(5)), ((5, NO_TIME),))


def test_no_rows():
    for ask, domain, _ in TASKS.values():
        empty = ask(Task(network(0), domain, processes=2), np.empty((0, domain.inputs)))
        assert empty == Proposal(Rows(b""))


def interrupted(rows, seconds):
    del seconds
    if rows[0, 0] == 4:
        raise KeyboardInterrupt
    return Proposal(Rows(bytes([ALL]) * len(rows)))


def test_an_interrupt_keeps_what_is_known():
    found = over_chunks(interrupted, np.arange(9.0)[:, None], 2, Task(network(0), MIXED))
    assert found == Proposal(Rows(bytes([ALL] * 4 + [UNDECIDED] * 5)), ((5, INTERRUPTED),))


def refused(rows, seconds):
    del rows, seconds
    raise InputError("no such package", where="here", advice="install it")


def test_errors_of_workers_are_raised_here():
    with pytest.raises(InputError, match="here: no such package; install it"):
        over_chunks(refused, np.zeros((4, 1)), 2, Task(network(0), MIXED, processes=2))


def test_chunks_are_put_together_in_order():
    rows = np.arange(50.0)[:, None]
    with joblib.parallel_config(backend="threading"):
        found = over_chunks(numbered, rows, 3, Task(network(0), MIXED, processes=2))
    assert found.about.pairs.tolist() == rows[:, 0].tolist()
    assert found.reasons == ((48, "three"), (2, "fewer"))
    assert _jobs.joined([]) == Proposal(Rows(b""))


def numbered(rows, seconds):
    del seconds
    code, pairs = bytes([PAIR]) * len(rows), array("d", rows[:, 0].tolist())
    return Proposal(Rows(code, pairs), ((len(rows), "three" if len(rows) == 3 else "fewer"),))


class Recorder:
    """Says how many seconds it was given."""

    def decide(self, layers, query, seconds):
        del layers, query
        return Answer(Verdict.UNDECIDED, repr(seconds))


def test_a_row_may_take_its_part_of_the_time():
    """10 rows in 8 seconds: 8 of them in 6.4, the first in 0.8, and later ones longer, as nobody took so long."""
    rows = people(FEW, 10)
    task = Task(network(0, sizes=(3, 1)), FEW)
    assert rows_by(Recorder(), task, rows).reasons == ((10, "inf"),)
    timed = rows_by(Recorder(), dataclasses.replace(task, deadline=time.monotonic() + 8.0), rows)
    given = [float(reason) for _, reason in timed.reasons]
    assert len(given) == 10
    assert given[0] == pytest.approx(0.8, abs=0.05)
    assert given[7] == pytest.approx(6.4, abs=0.4)
    assert given[9] == pytest.approx(8.0, abs=0.5)
