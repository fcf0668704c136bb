"""The log as such: planted faults by outsiders and insiders, dual steps by the oracle, and one lie for each rule."""

from __future__ import annotations

import copy
import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.certificate.claims import measure_claim
from certifair.certificate.sign import generate
from certifair.checks import _history
from certifair.cli import main
from certifair.errors import InputError, UntrustedError
from certifair.evidence.bundle import load, manifest_of, read_contents
from certifair.evidence.ingest import ingest_log
from certifair.evidence.log import Batch, columns_of, read_log
from certifair.evidence.log.segments import path_of_segment, segment_bytes, stated_place
from certifair.evidence.stream import Duals, read_bundled_log
from certifair.spec import Json
from certifair.spec.policy import log_property
from certifair.spec.terms import terms_of
from tests.checks.bundles import (
    STREAM_HEAD,
    Sample,
    batches_in,
    context_in,
    evidence_of,
    lied,
    load_bundle,
    predicate_in,
    put,
    refusal,
    serve,
    stream_demand,
    stream_people,
    terms_in,
    write_log,
)
from tests.checks.test_average import NONE, SETTINGS, Run, recomputed, run_of
from tests.oracles import stream_oracle
from tests.oracles.metric_oracle import Question, decimal_text

Lie = Callable[[Json], Any]
DEMANDS = stream_demand("pooled", "pooled") + stream_demand("bound", "bound")
SERVED: dict[str, Any] = {
    "metric": "demographic_parity",
    "features": ["sex"],
    "values": {"sex": ["f", "m"], "age": ["young", "old"]},
}


# ------------------------------------------------------------------------------------------------- one served run
@functools.cache
def _served() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    keeper = tempfile.TemporaryDirectory()
    folder = Path(keeper.name)
    log = serve(folder / "served", STREAM_HEAD + DEMANDS, *stream_people())
    header, batches = batches_in(log)
    write_log(folder / "log", header, batches, 30)  # the same in several segments
    ingest_log(folder / "log", folder / "served" / "policy.toml", folder / "run")
    generate(folder / "key.pem", None)
    options = ["--key", str(folder / "key.pem"), "--out", str(folder / "c.json")]
    assert main(["certify", str(folder / "run"), *options]) == 0
    return keeper, folder


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """log/ (4 segments), run/, served/policy.toml, key.pem, c.json: a copy that a test may spoil."""
    return Path(shutil.copytree(_served()[1], tmp_path / "made"))


@functools.cache
def honest_run() -> Run:
    """The same as a list of batches."""
    header, batches = batches_in(_served()[1] / "log")
    assert header.algorithm is not None
    return Run(SERVED, header.algorithm, header, batches)


# --------------------------------------------------------------- outsiders: the files are edited, the head is as it was
Edit = Callable[[Path], None]


def edited(number: int, change: Callable[[pa.Table], pa.Table]) -> Edit:
    """One segment's records, its metadata as they were."""

    def edit(log: Path) -> None:
        path = path_of_segment(log, number)
        header, place = stated_place(path)
        table = next(table for k, table in enumerate(read_log(log).tables(), 1) if k == number)
        path.write_bytes(segment_bytes(change(table), header, place))

    return edit


def with_value(name: str, row: int, value: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        column = table[name].to_pylist()
        column[row] = value(column[row])
        k = table.column_names.index(name)
        return table.set_column(k, table.schema.field(k), pa.array(column, table.schema.field(k).type))

    return change


def another_run(log: Path) -> None:
    header, batches = batches_in(log)
    other = write_log(log.parent / "other", dataclasses.replace(header, id="another log"), batches, 30)
    shutil.copy(path_of_segment(other, 2), path_of_segment(log, 2))


def another_run_of_the_same_id(log: Path) -> None:
    header, batches = batches_in(log)
    moved = [dataclasses.replace(batch, predictions=[0.5] * len(batch.row_ids)) for batch in batches]
    other = write_log(log.parent / "other", header, moved, 30)
    shutil.copy(path_of_segment(other, 2), path_of_segment(log, 2))


def earlier_head(log: Path) -> None:
    header, batches = batches_in(log)
    other = write_log(log.parent / "other", header, batches[:-1], 30)
    shutil.copy(other / "head.json", log / "head.json")


def swap(log: Path) -> None:
    first, second, aside = path_of_segment(log, 2), path_of_segment(log, 3), log / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


REORDERED = pa.array([1, 0, *range(2, 30)])
OUTSIDERS: dict[str, Edit] = {
    "an edited prediction": edited(2, with_value("prediction", 7, lambda y: y / 2)),
    "an edited score": edited(2, with_value("score", 7, lambda y: y / 2)),
    "a swapped group": edited(2, with_value("feature.sex", 7, lambda v: "m" if v == "f" else "f")),
    "another eta": edited(2, with_value("eta", 7, lambda y: y * 2)),
    "another multiplier": edited(2, with_value("multiplier.sex: f - m", 7, lambda _: 0.0)),
    "another id": edited(2, with_value("row_id", 7, lambda _: "somebody")),
    "a later time": edited(4, with_value("time", 29, lambda time: time + 1)),
    "a dropped record": edited(2, lambda table: pa.concat_tables([table.slice(0, 7), table.slice(8)])),
    "a duplicated record": edited(2, lambda table: pa.concat_tables([table.slice(0, 8), table.slice(7)])),
    "two records swapped": edited(2, lambda table: table.take(REORDERED)),
    "a dropped last record": edited(4, lambda table: table.slice(0, 29)),
    "a truncated tail": lambda log: path_of_segment(log, 4).unlink(),
    "a dropped segment": lambda log: path_of_segment(log, 2).unlink(),
    "two segments swapped": swap,
    "a segment twice": lambda log: shutil.copy(path_of_segment(log, 2), path_of_segment(log, 3)) and None,
    "a segment of another run": another_run,
    "a segment of a run with the same header": another_run_of_the_same_id,
    "an earlier head": earlier_head,
    "a head that is none": lambda log: (log / "head.json").write_text("{}") and None,
}


@pytest.mark.parametrize("name", OUTSIDERS)
def test_who_edits_files_is_refused_by_every_verb(name: str, served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    OUTSIDERS[name](served / "log")
    policy, key, out = served / "served" / "policy.toml", served / "key.pem", served / "new"
    with pytest.raises(UntrustedError) as caught:
        ingest_log(served / "log", policy, out)
    assert (caught.value.step, caught.value.exit_code) == ("log", 4)
    assert main(["ingest", str(served / "log"), "--policy", str(policy), "--out", str(out)]) == 4
    shutil.rmtree(served / "run" / "log")
    shutil.copytree(served / "log", served / "run" / "log")
    assert main(["certify", str(served / "run"), "--key", str(key), "--out", str(served / "new.json")]) == 4
    trust = ["--public-key", str(served / "key.pub.pem"), "--evidence", str(served / "run")]
    assert main(["verify", str(served / "c.json"), *trust]) == 4
    assert "untrusted [log]" in capsys.readouterr().err
    assert not out.exists()
    assert not (served / "new.json").exists()


def test_the_honest_run_is_accepted_by_every_verb(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, key = served / "served" / "policy.toml", served / "key.pem"
    assert main(["ingest", str(served / "log"), "--policy", str(policy), "--out", str(served / "new")]) == 0
    assert main(["certify", str(served / "new"), "--key", str(key), "--out", str(served / "new.json")]) == 0
    trust = ["--public-key", str(served / "key.pub.pem"), "--evidence", str(served / "new")]
    assert main(["verify", str(served / "new.json"), *trust]) == 0
    assert main(["verify", str(served / "c.json"), *trust]) == 0  # the very same evidence
    assert capsys.readouterr().err.count("untrusted") == 0


def test_a_shorter_log_is_not_that_of_a_longer_certificate(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An insider cuts the tail off and signs a fresh head: what was certified before gives it away."""
    run = honest_run()
    shutil.rmtree(served / "log")
    write_log(served / "log", run.header, run.batches[:-1], 30)
    ingest_log(served / "log", served / "served" / "policy.toml", served / "new")
    trust = ["--public-key", str(served / "key.pub.pem"), "--evidence", str(served / "new")]
    assert main(["verify", str(served / "c.json"), *trust]) == 4
    assert "another file" in capsys.readouterr().err


def test_a_log_for_other_people_is_refused(served: Path) -> None:
    """The bundle's tables are compared with the log, record by record."""
    run = honest_run()
    moved = dataclasses.replace(run.batches[3], predictions=[0.5] * 6)
    other = write_log(served / "other", run.header, [*run.batches[:3], moved, *run.batches[4:]], 30)
    shutil.rmtree(served / "run" / "log")
    shutil.copytree(other, served / "run" / "log")
    with pytest.raises(InputError):  # the manifest states the other head
        load_bundle(served / "run")


@pytest.mark.parametrize("kept", [[], ["age"], ["sex"]])
def test_a_log_that_does_not_say_who_is_in_which_group_is_refused(kept: list[str], served: Path) -> None:
    """Else the groups of a bundle could be changed after the fact, and its log would still be whole (12.1, 12.5)."""
    run = honest_run()
    header = dataclasses.replace(run.header, columns=columns_of(kept, ["sex: f - m"]))
    batches = [
        dataclasses.replace(batch, features={name: batch.features[name] for name in kept}) for batch in run.batches
    ]
    log = write_log(served / "bare", header, batches)
    with pytest.raises(InputError, match=r"feature\."):
        ingest_log(log, served / "served" / "policy.toml", served / "new")
    contents = read_contents(served / "run")
    contents["manifest"] = manifest_of(
        {role: content for role, content in contents.items() if role != "manifest"}, [], read_bundled_log(log)
    )
    with pytest.raises(InputError):
        load(contents, "bundle", read_bundled_log(log))


@pytest.mark.parametrize("form", ["chain", "steps", "bound"])
def test_without_a_log_nothing_is_said_of_one(form: str) -> None:
    asked = f'[[property]]\nid = "mine"\nkind = "aggregate"\nform = "{form}"\n'
    asked = stream_demand("mine", form) if form == "bound" else asked
    sample = Sample({"sex": ["f", "m"]}, {"sex": ["f", "m"]}, [0.5, 0.5], properties=[asked])
    evidence = evidence_of(sample)
    with pytest.raises(InputError, match="claim 'mine' speaks of a log, but the bundle has none"):
        measure_claim(terms_in(evidence), evidence, context_in(evidence))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (STREAM_HEAD.replace('online = "paper"', ""), "was served by paper, the policy says none"),
        (STREAM_HEAD.replace('"paper"', '"pooled"'), "was served by paper, the policy says pooled"),
        (STREAM_HEAD + "eta0 = 0.6\n", "has eta0 = '0.5', the policy says '0.6'"),
        (STREAM_HEAD.replace("epsilon = 0.02", "epsilon = 0.03"), "has epsilon = '0.02'"),
        (STREAM_HEAD.replace("epsilon = 0.02", "epsilon = 0.02\nupper = 2"), "has upper = '1'"),
        (STREAM_HEAD.replace("epsilon = 0.02", "epsilon = 0.02\nlower = -1"), "has lower = '0'"),
        (STREAM_HEAD.replace('features = "sex"', 'features = "age"'), "has sensitiveFeatures = ['sex']"),
        (STREAM_HEAD.replace('["f", "m"]', '["m", "f"]'), "has values = "),
        (STREAM_HEAD.replace('["f", "m"]', '["f", "m", "x"]'), "has values = "),
        (STREAM_HEAD.replace("epsilon = 0.02", "epsilon = 0.02\nintersectional = true"), "has intersectional = False"),
        (STREAM_HEAD.replace("batch = 6", "batch = 7"), "is the log of another system"),
    ],
)
def test_a_log_of_another_system_or_algorithm_is_bad_input(policy: str, words: str, served: Path) -> None:
    (served / "policy.toml").write_text(policy)
    with pytest.raises(InputError) as caught:
        ingest_log(served / "log", served / "policy.toml", served / "new")
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.update(absent="zero"),
        lambda a: a.pop("start"),
        lambda a: a.update(more=1),
        lambda a: a["start"].update(step=-1),
        lambda a: a["start"].update(step=True),
        lambda a: a["start"].update(multipliers=[]),
        lambda a: a["start"].update(multipliers=["-0x1.0p+0"]),
        lambda a: a["start"].update(multipliers=["inf"]),
        lambda a: a["start"].update(multipliers=["nan"]),
        lambda a: a["start"].update(multipliers=["0"]),
        lambda a: a["start"].update(multipliers=[0]),
    ],
)
def test_a_header_that_describes_no_state_is_bad_input(change: Callable[[Json], Any], served: Path) -> None:
    run = honest_run()
    found = copy.deepcopy(run.algorithm)
    change(found)
    log = write_log(served / "odd", dataclasses.replace(run.header, algorithm=found), run.batches)
    with pytest.raises(InputError):
        ingest_log(log, served / "served" / "policy.toml", served / "new")
    assert not (served / "new").exists()


# ------------------------------------------------------------------- insiders: the whole log is made anew, head and all
Rewrite = Callable[[list[Batch]], list[Batch]]
MULTIPLIER = "multiplier.sex: f - m"


def changed(k: int, **changes: Any) -> Rewrite:
    return lambda batches: [*batches[:k], dataclasses.replace(batches[k], **changes), *batches[k + 1 :]]


def columns(k: int, **changes: Any) -> Rewrite:
    """Columns of the algorithm in batch k; a function of the value there, or a value."""

    def rewrite(batches: list[Batch]) -> list[Batch]:
        found = {**batches[k].columns}
        for name, value in changes.items():
            key = MULTIPLIER if name == "multiplier" else name
            found[key] = value(found[key]) if callable(value) else value
        return [*batches[:k], dataclasses.replace(batches[k], columns=found), *batches[k + 1 :]]

    return rewrite


def person(batch: Batch, i: int, **changes: Any) -> Batch:
    """One person of a batch: `sex`, `prediction`, or `drop`, `twice`."""
    rows = list(zip(batch.row_ids, batch.features["sex"], batch.features["age"], batch.scores, batch.predictions))  # noqa: B905
    name, sex, age, score, prediction = rows[i]
    rows[i] = (name, changes.get("sex", sex), age, score, changes.get("prediction", prediction))
    if "drop" in changes:
        del rows[i]
    if "twice" in changes:
        rows.insert(i, (name + " again", *rows[i][1:]))
    ids, sexes, ages, scores, predictions = zip(*rows, strict=True)
    return Batch(ids, {"sex": sexes, "age": ages}, scores, predictions, batch.columns)


def one(k: int, i: int, **changes: Any) -> Rewrite:
    return lambda batches: [*batches[:k], person(batches[k], i, **changes), *batches[k + 1 :]]


def again(batch: Batch) -> Batch:
    return dataclasses.replace(batch, row_ids=[f"{name} again" for name in batch.row_ids])


def reset(batches: list[Batch]) -> list[Batch]:
    """λ is 0 again in the middle, and all that comes after follows from that."""
    run = honest_run()
    start = {"step": int(batches[9].columns["step"]) - 1, "multipliers": [(0.0).hex()]}
    tail = recomputed(dataclasses.replace(run, algorithm={**run.algorithm, "start": start}, batches=batches[9:]))
    return [*batches[:9], *tail.batches]


def merged(batches: list[Batch]) -> list[Batch]:
    a, b = batches[8], batches[9]
    both = Batch(
        [*a.row_ids, *b.row_ids],
        {name: [*a.features[name], *b.features[name]] for name in a.features},
        [*a.scores, *b.scores],
        [*a.predictions, *b.predictions],
        a.columns,
    )
    return [*batches[:8], both, *batches[10:]]


def moved_over(batches: list[Batch]) -> list[Batch]:
    """The last person of a batch stands in the next."""
    a, b = batches[8], batches[9]
    rest = person(a, 5, drop=True)
    features = {name: [a.features[name][5], *b.features[name]] for name in a.features}
    more = Batch(
        [a.row_ids[5], *b.row_ids], features, [a.scores[5], *b.scores], [a.predictions[5], *b.predictions], b.columns
    )
    return [*batches[:8], rest, more, *batches[10:]]


FOUND: dict[str, Rewrite] = {
    # batches from 0; in 4, 6, 12 and 13 nothing counts
    "an edited prediction": one(8, 0, prediction=0.999),
    "a prediction moved by a step of the grid": lambda b: one(8, 0, prediction=b[8].predictions[0] + 2**-40)(b),
    "all predictions of a batch": changed(8, predictions=[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]),
    "another eta": columns(7, eta=lambda eta: eta * 2),
    "an eta in its last bit": columns(7, eta=lambda eta: float(np.nextafter(eta, 2))),
    "an eta where nothing counts": columns(6, eta=lambda eta: eta * 2),
    "another eta0": lambda b: [columns(k, eta=lambda eta: eta / 2)(b)[k] for k in range(len(b))],
    "another step": columns(7, step=lambda step: step + 1),
    "a step that is not taken": lambda b: [columns(k, step=lambda n: min(n, 9))(b)[k] for k in range(len(b))],
    "λ reset, and nothing else": columns(9, multiplier=0.0),
    "λ reset, and followed from there": reset,
    "λ in its last bit": columns(9, multiplier=lambda value: float(np.nextafter(value, 2))),
    "λ of the last batch": columns(19, multiplier=0.0),
    "another start": columns(0, multiplier=0.25),
    "a swapped group": one(8, 1, sex="f"),
    "the only one of a group swapped": one(1, 5, sex="m"),
    "a dropped record": one(8, 0, drop=True),
    "a duplicated record": one(8, 0, twice=True),
    "a dropped batch": lambda b: [*b[:8], *b[9:]],
    "a duplicated batch": lambda b: [*b[:9], again(b[8]), *b[9:]],
    "two batches swapped": lambda b: [*b[:8], b[9], b[8], *b[10:]],
    "two batches merged": merged,
    "a person moved to the next batch": moved_over,
    "the first batch dropped": lambda b: b[1:],
    "a segment of another run": lambda b: [*b[:10], *map(again, _other_run()[10:15]), *b[15:]],
}


def _other_run() -> list[Batch]:
    """Other people, served by the same policy."""
    with tempfile.TemporaryDirectory() as folder:
        return batches_in(serve(Path(folder), STREAM_HEAD, *stream_people(seed=1)))[1]


def _flipped(batch: Batch) -> Batch:
    return dataclasses.replace(batch, predictions=[1 - value for value in batch.predictions])


def rewritten(rewrite: Rewrite, folder: Path) -> tuple[Run, Json]:
    """(the log as the insider makes it anew, the claims about it by id)."""
    run = dataclasses.replace(honest_run(), batches=rewrite(list(honest_run().batches)))
    log = write_log(folder / "log", run.header, run.batches, 30)
    ingest_log(log, _served()[1] / "served" / "policy.toml", folder / "run")
    return run, {claim["id"]: claim for claim in predicate_in(load_bundle(folder / "run"))["claims"]}


def assert_pooled(run: Run, claim: Json) -> None:
    """The pooled gap is that of what stands in the log, whatever stood there before."""
    question = Question("demographic_parity", ("sex",), {"sex": ["f", "m"]}, Fraction(9, 10), min_group_size=10)
    expected = stream_oracle.answer(question, "pooled", [record.person for record in run.records()])
    assert (claim["verdict"], claim["estimate"]) == (expected.verdict, decimal_text(expected.estimate, 12, up=True))


@pytest.mark.parametrize("name", FOUND)
def test_an_insiders_rewriting_fails_where_steps_do_not_follow(name: str, tmp_path: Path) -> None:
    run, claims = rewritten(FOUND[name], tmp_path)
    steps = claims["steps"]
    wrong = stream_oracle.steps(run.algorithm, run.records()).wrong
    assert steps["verdict"] == "FAIL"
    assert (steps["witness"]["faults"], steps["witness"]["first"]["batch"]) == (len(wrong), wrong[0])
    assert steps["reason"].startswith(f"batch {wrong[0]}: ")
    assert claims["bound"]["verdict"] == "UNDECIDED"
    assert {claims["bound"]["witness"]["rows"][0][key] for key in ("promise", "prior", "last", "upper")} == {None}
    assert claims["chain"]["verdict"] == "PASS"  # it is a whole log, only not a true one
    assert_pooled(run, claims["pooled"])


def restarted(batches: list[Batch]) -> Run:
    """Without its first batches, from the state that was in force then, which the header tells."""
    run, first = honest_run(), batches[0].columns
    start = {"step": int(first["step"]) - 1, "multipliers": [float(first[MULTIPLIER]).hex()]}
    algorithm = {**run.algorithm, "start": start}
    return dataclasses.replace(
        run, algorithm=algorithm, header=dataclasses.replace(run.header, algorithm=algorithm), batches=batches
    )


def exchanged(batches: list[Batch]) -> list[Batch]:
    """Two men of one batch change places: who got what is another matter than what the group got."""
    batch = batches[8]
    i, j = [k for k, sex in enumerate(batch.features["sex"]) if sex == "m"][:2]
    predictions = list(batch.predictions)
    assert predictions[i] != predictions[j]
    predictions[i], predictions[j] = predictions[j], predictions[i]
    return changed(8, predictions=predictions)(batches)


NOT_FOUND: dict[str, Callable[[list[Batch]], list[Batch] | Run]] = {
    "the last batch's predictions": changed(19, predictions=[0.0] * 6),
    "predictions exchanged within a group": exchanged,
    "predictions of a batch in which nothing counts": lambda b: changed(_alone(b), predictions=[0.25] * 6)(b),
    "a dropped batch in which nothing counts": lambda b: [*b[: _alone(b)], *b[_alone(b) + 1 :]],
    "the tail dropped": lambda b: b[:12],
    "the beginning dropped, and the start made to fit": lambda b: restarted(b[8:]),
    "scores, ids and features that no row is about": changed(4, scores=[0.5] * 6, row_ids=[f"x{k}" for k in range(6)]),
    "a prediction changed by less than floats of the gap's size can tell": lambda b: one(
        10, 1, prediction=float(np.nextafter(b[10].predictions[1], 2))
    )(b),
    "all predictions, and every step made to fit": lambda b: recomputed(
        dataclasses.replace(honest_run(), batches=[_flipped(batch) for batch in b])
    ),
}


def _alone(batches: list[Batch]) -> int:
    """The first batch of men only, but not the very first."""
    return next(k for k, batch in enumerate(batches) if k and set(batch.features["sex"]) == {"m"})


@pytest.mark.parametrize("name", NOT_FOUND)
def test_what_no_step_can_give_away(name: str, tmp_path: Path) -> None:
    """What an insider can do who writes the whole log anew, and why nothing in the new log contradicts it:

    - the last batch moves no multiplier that is logged after it;
    - a step only sees the means of a batch's groups: not who got what within a group, not the scores, the ids, the
      times, nor features that no row is about (a replay ties scores to inputs, a projection predictions to scores);
    - a batch in which no row counts moves nothing, so it may be changed, left out or put in;
    - a multiplier that is cut off at 0 hides how far below 0 it would have been, and one that is rounded what is lost;
    - without its tail the log is that of an earlier time; without its beginning it starts from another state, which its
      header tells, but no certificate;
    - who makes every prediction anew and follows 12.4 from there has a log of another run that might have been.

    What gives all of these away is another head than the one that somebody kept: each certificate states one. And what
    is claimed of predictions (pooled, moments, averages) is claimed of those that stand there.
    """
    made = NOT_FOUND[name](list(honest_run().batches))
    run = made if isinstance(made, Run) else dataclasses.replace(honest_run(), batches=made)
    log = write_log(tmp_path / "log", run.header, run.batches, 30)
    ingest_log(log, _served()[1] / "served" / "policy.toml", tmp_path / "run")
    claims = {claim["id"]: claim for claim in predicate_in(load_bundle(tmp_path / "run"))["claims"]}
    assert (claims["steps"]["verdict"], claims["chain"]["verdict"]) == ("PASS", "PASS")
    assert claims["chain"]["witness"]["head"] != read_log(_served()[1] / "log").head
    assert_pooled(run, claims["pooled"])


def test_what_a_multiplier_of_0_hides(tmp_path: Path) -> None:
    """While the gap stays below epsilon, λ stays 0 whatever the gap is."""
    run = run_of(SETTINGS[0], [6, 8, 5, 9], 3, limits=("0.75", "0", "1"))
    moved = [dataclasses.replace(batch, predictions=np.array(batch.predictions) / 2) for batch in run.batches]
    for batches in (run.batches, moved):
        predicate = predicate_in(dataclasses.replace(run, batches=batches).evidence(_new(tmp_path)))
        assert {claim["form"]: claim["verdict"] for claim in predicate["claims"]} == {"chain": "PASS", "steps": "PASS"}


def _new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


# --------------------------------------------------------------------------------------------- any log, by the oracle
@settings(max_examples=12)
@given(
    st.sampled_from(SETTINGS),
    st.lists(st.integers(1, 12), min_size=1, max_size=7),
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["step", "eta", "λ", "y", "y of all"])), max_size=3),
)
def test_faults_are_the_oracles(
    settings: dict[str, Any], sizes: list[int], seed: int, damages: list[tuple[int, str]]
) -> None:
    run = run_of(settings, sizes, seed)
    batches = list(run.batches)
    for at, what in damages:
        batches[at % len(batches)] = _damaged(batches[at % len(batches)], what)
    run = dataclasses.replace(run, batches=batches)
    with tempfile.TemporaryDirectory() as folder:
        predicate = predicate_in(run.evidence(Path(folder), "bound"))
    claims = {claim["form"]: claim for claim in predicate["claims"]}
    wrong = stream_oracle.steps(run.algorithm, run.records()).wrong
    witness = claims["steps"]["witness"]
    assert (witness["batches"], witness["faults"]) == (len(batches), len(wrong))
    assert claims["steps"]["verdict"] == ("FAIL" if wrong else "PASS")
    assert (witness["first"] or {}).get("batch") == (wrong[0] if wrong else None)
    rows = [{k: v for k, v in row.items() if k not in ("lower", "upper")} for row in claims["bound"]["witness"]["rows"]]
    assert rows == stream_oracle.bound(run.algorithm, run.records())


def _damaged(batch: Batch, what: str) -> Batch:
    if what in ("y", "y of all"):
        predictions = np.array(batch.predictions)
        predictions[: 1 if what == "y" else None] = 0.125
        return dataclasses.replace(batch, predictions=predictions)
    names = [name for name in batch.columns if name.startswith("multiplier.")] if what == "λ" else [what]
    return dataclasses.replace(batch, columns={**batch.columns, names[-1]: batch.columns[names[-1]] + 1})


@pytest.mark.parametrize("what", ["step", "eta", MULTIPLIER])
@pytest.mark.parametrize("row", [6, 9, 11])
def test_records_of_one_batch_that_say_different_things(what: str, row: int) -> None:
    """The writer cannot make such a log, but others can: it is read, and the batch is a fault."""
    evidence = load_bundle(_served()[1] / "run")
    assert evidence.stream is not None
    assert evidence.stream.duals is not None
    found = evidence.stream.duals
    step, eta, multipliers = found.step.copy(), found.eta.copy(), found.multipliers["sex: f - m"].copy()
    {"step": step, "eta": eta, MULTIPLIER: multipliers}[what][row] += 1
    duals = Duals(step, eta, {"sex: f - m": multipliers})
    changed = dataclasses.replace(evidence, stream=dataclasses.replace(evidence.stream, duals=duals))
    witness = _history.measure(terms_of(log_property("steps", "steps"), evidence.values), changed)
    assert witness["first"]["batch"] == "2"
    assert witness["faults"] >= 1


# ----------------------------------------------------------------------------------------------------------- lies
@functools.cache
def honest() -> Json:
    return predicate_in(load_bundle(_served()[1] / "run"))


def without(*forms: str) -> Lie:
    """Claims left out."""
    return put("", "claims", lambda claims: [claim for claim in claims if claim["form"] not in forms])


def material(change: Callable[[list[Json]], list[Json]]) -> Lie:
    return put("", "materials", change)


def no_log(items: list[Json]) -> list[Json]:
    return [item for item in items if item["role"] != "log"]


FAULTY = {"batches": 20, "faults": 2, "first": {"batch": "3", "what": "something"}}
LIES: dict[str, tuple[list[Lie], str]] = {
    "the head of another log": ([put("chain", "witness/head", "0" * 64)], "the chain is that of another log"),
    "another log than the material": (
        [material(lambda items: [{**i, "sha256": "0" * 64} if i["role"] == "log" else i for i in items])],
        "the chain is that of another log",
    ),
    "no claim of the chain": ([without("chain")], "a log without a claim of its chain"),
    "a chain without a log": ([material(no_log), without("steps", "bound")], "a log without a claim of its chain"),
    "two claims of the chain": (
        [put("", "claims", lambda claims: [*claims, {**claims[2], "id": "again"}])],
        "a log without a claim of its chain",
    ),
    "two claims of the steps": (
        [put("", "claims", lambda claims: [*claims, {**claims[3], "id": "again"}])],
        "two claims of the log's steps",
    ),
    "steps without a log": ([material(no_log), without("chain", "bound")], "there is no log"),
    "a bound without a log": ([material(no_log), without("chain", "steps")], "there is no log"),
    "more segments than records": ([put("chain", "witness/segments", 121)], "other records than people"),
    "more segments than batches": ([put("chain", "witness/segments", 21)], "than batches"),
    "other records than people": ([put("chain", "witness/records", 119)], "other records than people"),
    "a log of other people": (
        [material(lambda items: [{**i, "rowCount": 119} if i["role"] == "log" else i for i in items])],
        "data, predictions and log have different row counts",
    ),
    "no segment": ([put("chain", "witness/segments", 0)], "schema: claims/2/witness/segments"),
    "a first fault of none": ([put("steps", "witness/first", FAULTY["first"])], "a first fault of none"),
    "faults without a first": ([put("steps", "witness/faults", 2)], "a first fault of none, or none of some"),
    "more faults than batches": (
        [put("steps", "witness", {**FAULTY, "faults": 21}), put("bound", "witness/rows/0", lambda r: {**r, **NONE})],
        "more faults than batches",
    ),
    "more batches than people": ([put("steps", "witness/batches", 121)], "more batches than people"),
    "steps of other batches": ([put("steps", "witness/batches", 21)], "claims count different numbers of batches"),
    "a bound from faulty steps": ([put("steps", "witness", FAULTY)], "a bound from steps that do not follow"),
    "a threshold of steps": ([put("steps", "threshold", "1")], "a log as such has no threshold"),
    "a tolerance of a chain": ([put("chain", "tau", "0.1")], "a log as such has no threshold"),
    "decisions of a chain": ([put("chain", "decisionThreshold", "0.5")], "a log as such has no threshold"),
    "a least group of steps": ([put("steps", "minGroupSize", 10)], "a log as such has no groups"),
    "intersections of steps": ([put("steps", "intersectional", True)], "a log as such has no groups"),
    "a condition of steps": ([put("steps", "conditionOn", "sex")], "schema: claims/3/conditionOn"),
    "a metric of steps": ([put("steps", "metric", "demographic_parity")], "schema: claims/3/metric"),
    "groups of a chain": ([put("chain", "sensitiveFeatures", ["sex"])], "schema: claims/2/sensitiveFeatures"),
    "steps of scores": ([put("steps", "map", "scores")], "schema: claims/3/map"),
    "a system that is not online": ([put("", "system/online", None)], "the system has no dual variables"),
    "the other algorithm": (
        [put("", "system/online", {"algorithm": "pooled", "eta0": None})],
        "the system has no dual variables",
    ),
    "a step size of the other algorithm": (
        [put("", "system/online/algorithm", "pooled")],
        "a step size belongs to the paper's algorithm",
    ),
    "no step size": ([put("", "system/online/eta0", None)], "a step size belongs to the paper's algorithm"),
    "a step size of 0": ([put("", "system/online/eta0", "0")], "a step size of 0"),
    "a smaller step size": ([put("", "system/online/eta0", "0.4")], "a step size that never was"),
    "a box upside down": ([put("", "system/box", {"lower": "1", "upper": "1"})], "the box is upside down"),
    "a layer of less than nothing": ([put("", "system/layer/epsilon", "-0.02")], "the layer's epsilon is negative"),
    "online without a box": ([put("", "system/box", None)], "an online algorithm without a metric to keep"),
    "online without a metric": ([put("", "system/layer", None)], "an online algorithm without a metric to keep"),
    "another layer": ([put("", "system/layer/sensitiveFeatures", ["age"])], "another constraint than the layer's"),
    "another layer's condition": ([put("", "system/layer/condition", "age")], "another constraint than the layer's"),
    "another layer's epsilon": ([put("", "system/layer/epsilon", "0.03")], "another epsilon than the system's"),
    "a wider box": ([put("", "system/box/upper", "9")], "a bound that no theorem gives"),
}


def test_the_honest_predicate_is_accepted() -> None:
    assert refusal(honest()) == refusal(lied(honest())) == ""
    assert [claim["form"] for claim in honest()["claims"]] == ["pooled", "bound", "chain", "steps"]
    assert {claim["verdict"] for claim in honest()["claims"]} == {"PASS"}


@pytest.mark.parametrize("name", LIES)
def test_lies_that_all_else_follows_from_are_refused(name: str) -> None:
    lies, why = LIES[name]
    assert why in refusal(lied(honest(), *lies))


def test_faults_without_a_bound_are_consistent_and_fail() -> None:
    faulty = lied(
        honest(), put("steps", "witness", FAULTY), put("bound", "witness/rows/0", lambda row: {**row, **NONE})
    )
    assert refusal(faulty) == ""
    assert [claim["verdict"] for claim in faulty["claims"]] == ["PASS", "UNDECIDED", "PASS", "FAIL"]
    assert faulty["claims"][3]["reason"] == ""  # prose is not derived again
    faulty["claims"][3]["verdict"] = "PASS"
    assert "its verdict does not follow" in refusal(faulty)


@pytest.mark.parametrize("name", ["steps", "chain"])
@pytest.mark.parametrize(
    ("member", "value"), [("verdict", "UNDECIDED"), ("estimate", "0"), ("sampleSize", 20), ("statement", "it is so")]
)
def test_a_member_that_does_not_follow_is_refused(name: str, member: str, value: Any) -> None:
    predicate = copy.deepcopy(honest())
    put(name, member, value)(predicate)
    assert f"claim {name!r}: its {member} does not follow from its witness" in refusal(predicate)
