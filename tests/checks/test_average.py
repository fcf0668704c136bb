"""Averages over batches, who was skipped, what the dual variables promise: by the oracle, and one lie for each rule."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certifair.certificate.claims import measure_claim
from certifair.checks.average import Average
from certifair.errors import InputError
from certifair.evidence.bundle import Evidence
from certifair.evidence.ingest import ingest_log
from certifair.evidence.log import Batch, Header, columns_of
from certifair.exact.decimals import parse_decimal
from certifair.online import PrimalDual, PrimalDualState
from certifair.spec import Json
from tests.checks.bundles import (
    STREAM_HEAD,
    Sample,
    context_in,
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
from tests.checks.test_aggregate import claim_of, evidence_for, streams, two_groups
from tests.oracles import stream_oracle
from tests.oracles.metric_oracle import Person, Question, decimal_text

Lie = Callable[[Json], Any]
PLACE = Fraction(1, 10**12)


# ------------------------------------------------------------------------------------------------ averages, skipped
def assert_averages(sample: Sample, question: Question) -> Json:
    """The counts are the oracle's, the ends enclose its value closely, and the verdict is never against it."""
    claim = claim_of(evidence_for(sample, question, "weighted"))
    expected = stream_oracle.averages(question, sample.people())
    limit = question.threshold + question.tau
    uppers, lowers, verdicts = [], [], set()
    assert claim["witness"]["batches"] == len(stream_oracle.batches_of(sample.people()))
    for entry, row in zip(claim["witness"]["rows"], expected, strict=True):
        assert (entry["row"], entry["counted"], entry["people"]) == (row.row, row.counted, row.people)
        if row.value is None:
            assert entry["lower"] is entry["upper"] is None
            verdicts.add("UNDECIDED")
            continue
        lower, upper = parse_decimal(entry["lower"]), parse_decimal(entry["upper"])
        largest = max(abs(value) for value in map(Fraction, [*sample.predictions, *(sample.scores or [])]))
        assert max(Fraction(0), row.value - 2 * PLACE - largest / 2**40) <= lower <= row.value
        assert row.value <= upper <= row.value + 2 * PLACE + largest / 2**40
        lowers.append(lower)
        uppers.append(upper)
        verdicts.add("FAIL" if lower > limit else "PASS" if upper <= limit else "UNDECIDED")
    expected_verdict = next((v for v in ("FAIL", "UNDECIDED") if v in verdicts), "PASS")
    assert claim["verdict"] == expected_verdict
    assert claim["estimate"] == claim["upper"] == decimal_text(max(uppers, default=None), 12, up=True)
    assert claim["lower"] == decimal_text(max(lowers, default=None), 12, up=False)
    assert claim["decisionGap"] is None
    return claim


@settings(max_examples=80)
@given(streams(("ties", "unit", "denormal", "mixed", "constant")))
def test_averages_are_the_oracles(case: tuple[Sample, Question]) -> None:
    assert_averages(*case)


@settings(max_examples=40)
@given(streams(("ties", "unit")))
def test_who_was_skipped_is_counted(case: tuple[Sample, Question]) -> None:
    sample, question = case
    asked = dataclasses.replace(question, map="served", tau=Fraction(0))
    claim = claim_of(evidence_for(sample, asked, "skipped"))
    rows = stream_oracle.skipped(asked, sample.people())
    assert claim["witness"] == {"batches": len(stream_oracle.batches_of(sample.people())), "rows": rows}
    worst = max(Fraction(row["people"], sample.n) for row in rows)
    assert claim["verdict"] == ("PASS" if worst <= asked.threshold else "FAIL")
    assert claim["estimate"] == claim["upper"] == decimal_text(worst, 12, up=True)
    assert claim["lower"] == decimal_text(worst, 12, up=False)


@pytest.mark.parametrize(
    ("threshold", "verdict"),
    [
        ("0.333333333332", "FAIL"),
        ("0.333333333333", "UNDECIDED"),
        ("0.3333333333335", "UNDECIDED"),
        ("0.333333333334", "PASS"),
    ],
)
def test_an_average_is_decided_by_its_ends(threshold: str, verdict: str) -> None:
    """1/3 is no decimal: between its neighbours of 12 places nothing is decided."""
    sample, question = two_groups([1.0, 0.0, 0.0, 0.0], "aaab", "0000", threshold=Fraction(threshold))
    claim = claim_of(evidence_for(sample, question, "weighted"))
    assert (claim["verdict"], claim["lower"], claim["upper"]) == (verdict, "0.333333333333", "0.333333333334")


def test_a_batch_counts_by_its_people_not_once() -> None:
    """Gap 1 in a batch of 2, gap 0 in one of 6: 1/4, not 1/2; the batch of one group is not there at all."""
    predictions = [1.0, 0.0] + [0.5] * 6 + [0.0] * 4
    sample, question = two_groups(predictions, "abababab" + "aaaa", "00111111" + "2222")
    claim = assert_averages(sample, question)
    (row,) = claim["witness"]["rows"]
    assert (row["counted"], row["people"], claim["upper"]) == (2, 8, "0.250000000001")


@pytest.mark.parametrize(
    ("predictions", "groups", "batches"),
    [
        ([4e307] + [0.0] * 19, "a" + "b" * 19, "0" * 20),  # people × difference is beyond float64
        ([4e307, 0.0] * 10, "ab" * 10, "00112233445566778899"),  # their sum is
        ([1.7e308, -1.7e308], "ab", "00"),  # the difference is
        ([1.7e308, 1.7e308, 0.0, 1.0], "aabb", "0000"),  # a sum is
    ],
)
def test_averages_beyond_float64(predictions: list[float], groups: str, batches: str) -> None:
    assert assert_averages(*two_groups(predictions, groups, batches))["verdict"] == "FAIL"


def test_wider_ends_claim_less() -> None:
    """With the evidence, ends may lie further apart than the measured ones, never nearer; all else is the same."""
    sample, question = two_groups([0.3, 0.1] * 3, "ab" * 3, "001122", threshold=Fraction(1))
    measured = claim_of(evidence_for(sample, question, "weighted"))["witness"]
    row = measured["rows"][0]
    contains = functools.partial(Average().contains, cast(Any, None), evidence=cast(Any, None))
    assert contains(measured, measured)
    for lower, upper, fine in (("0", "1", True), (row["lower"], "1", True), ("0.2", "1", False), ("0", "0.2", False)):
        assert contains({**measured, "rows": [{**row, "lower": lower, "upper": upper}]}, measured) is fine
    for lie in ({"counted": 2}, {"people": 5}, {"lower": None, "upper": None}):
        assert not contains({**measured, "rows": [{**row, **lie}]}, measured)
    assert not contains({**measured, "batches": 4}, measured)


# ----------------------------------------------------------------------------------------------------- real logs
SETTINGS: list[dict[str, Any]] = [
    {"metric": "demographic_parity", "features": ["g"], "values": {"g": ["a", "b"]}},
    {"metric": "demographic_parity", "features": ["g"], "values": {"g": ["a", "b", "c", "d"]}},
    {"metric": "demographic_parity", "features": ["g", "h"], "values": {"g": ["a", "b", "c"], "h": ["x", "y"]}},
    {
        "metric": "demographic_parity",
        "features": ["g", "h"],
        "values": {"g": ["a", "b"], "h": ["x", "y"]},
        "intersectional": True,
    },
    {
        "metric": "conditional_parity",
        "features": ["g"],
        "values": {"g": ["a", "b"], "town": ["x", "y"]},
        "condition": "town",
    },
]


@dataclasses.dataclass(frozen=True)
class Run:
    """A stream served by the paper's algorithm, batch after batch, as its log holds it."""

    settings: dict[str, Any]
    algorithm: Json
    header: Header
    batches: list[Batch]

    def policy(self, *demands: str) -> str:
        """The policy of this system."""
        found, algorithm = self.settings, self.algorithm
        condition = f'condition = "{found["condition"]}"\n' if "condition" in found else ""
        texts = {name: "[" + ", ".join(f'"{v}"' for v in values) + "]" for name, values in found["values"].items()}
        features = "[" + ", ".join(f'"{name}"' for name in found["features"]) + "]"
        about = f'metric = "{found["metric"]}"\nsensitive_features = {features}\n{condition}'
        about += f"intersectional = {str(algorithm['intersectional']).lower()}\n"
        declared = "".join(f"{name} = {text}\n" for name, text in texts.items())
        limits = "".join(f"{key} = {algorithm[key]}\n" for key in ("epsilon", "lower", "upper"))
        asked = "".join(
            f'[[property]]\nid = "{form}"\nkind = "aggregate"\nform = "{form}"\nepsilon = 0.5\n{about}'
            for form in demands
        )
        return (
            f"[data]\nsensitive_features = {features}\n[data.values]\n{declared}"
            f"[layer]\n{about}{limits}"
            f'[serve]\nonline = "paper"\neta0 = {algorithm["eta0"]}\n{asked}'
        )

    def records(self) -> list[stream_oracle.Record]:
        """What the oracle is told."""
        rows = [name for name, _ in self.header.shared[2:]]
        return [
            stream_oracle.Record(
                Person(
                    {name: column[i] for name, column in batch.features.items()},
                    Fraction(float(batch.predictions[i])),
                    Fraction(float(batch.scores[i])),
                    batch=str(number),
                ),
                int(batch.columns["step"]),
                float(batch.columns["eta"]),
                tuple(float(batch.columns[row]) for row in rows),
            )
            for number, batch in enumerate(self.batches, 1)
            for i in range(len(batch.row_ids))
        ]

    def evidence(self, folder: Path, *demands: str) -> Evidence:
        """Written as a log, ingested, read again."""
        (folder / "policy.toml").write_text(self.policy(*demands))
        ingest_log(write_log(folder / "log", self.header, self.batches, 13), folder / "policy.toml", folder / "run")
        return load_bundle(folder / "run")


def run_of(
    settings: dict[str, Any],
    sizes: Sequence[int],
    seed: int,
    *,
    start: PrimalDualState | None = None,
    limits: tuple[str, str, str] = ("0.02", "0", "1"),
    eta0: str = "0.5",
) -> Run:
    """Batches of these sizes, some without some group; a first value scores lower."""
    rng = np.random.default_rng(seed)
    online = PrimalDual(settings["metric"], *limits, eta0=eta0, **{k: v for k, v in settings.items() if k != "metric"})
    state = online.init() if start is None else start
    algorithm, batches = online.description_from(state), []
    lower, upper = float(limits[1]), float(limits[2])
    for size in sizes:
        alone = rng.random() < 0.25
        columns = {
            name: [values[0 if alone else int(len(values) * rng.random() ** 1.5)] for _ in range(size)]
            for name, values in settings["values"].items()
        }
        raised = sum(0.2 * (np.array(columns[name]) != settings["values"][name][0]) for name in settings["features"])
        scores = lower + (upper - lower) * np.clip(rng.random(size) * 0.6 + raised, 0, 1)
        condition = columns[settings["condition"]] if "condition" in settings else None
        features = {name: columns[name] for name in settings["features"]}
        state, predictions, record = online.step(state, scores, features, condition)
        first = sum(len(batch.row_ids) for batch in batches)
        ids = [f"p{first + i}" for i in range(size)]
        batches.append(Batch(ids, columns, scores, predictions, record.columns))
    header = Header(f"a log of {seed}", None, algorithm, columns_of(list(settings["values"]), online.row_names))
    return Run(settings, algorithm, header, batches)


def assert_promises(run: Run, folder: Path) -> Json:
    """Every number of `bound` and `steps` is the oracle's."""
    evidence = run.evidence(folder, "bound", "weighted", "skipped")
    context = context_in(evidence)
    predicate = predicate_in(evidence)
    claims = {claim["form"]: claim for claim in predicate["claims"]}
    records = run.records()
    expected = stream_oracle.bound(run.algorithm, records)
    found = claims["bound"]["witness"]
    assert found["epsilon"] == run.algorithm["epsilon"]
    assert [{k: v for k, v in row.items() if k not in ("lower", "upper")} for row in found["rows"]] == expected
    averages = {row["row"]: row for row in claims["weighted"]["witness"]["rows"]}
    for row in found["rows"]:
        same = averages[row["row"]]
        ends = (None, None) if row["promise"] is None else (same["lower"], same["upper"])
        assert (row["lower"], row["upper"]) == ends
    wrong = stream_oracle.steps(run.algorithm, records).wrong
    steps = claims["steps"]["witness"]
    assert (steps["batches"], steps["faults"]) == (len(run.batches), len(wrong))
    assert (steps["first"] or {"batch": None})["batch"] == (wrong[0] if wrong else None)
    assert claims["steps"]["verdict"] == ("FAIL" if wrong else "PASS")
    promises = [None if row["promise"] is None else Fraction(row["promise"]) for row in expected]
    largest = decimal_text(max((value for value in promises if value is not None), default=None), 12, up=True)
    assert claims["bound"]["estimate"] == claims["bound"]["upper"] == largest
    fine = all(value is not None and value <= Fraction(1, 2) for value in promises)
    assert claims["bound"]["verdict"] == ("PASS" if fine else "UNDECIDED")
    rows = stream_oracle.averages(stream_oracle.question_of(run.algorithm), [record.person for record in records])
    for row, promise in zip(rows, promises, strict=True):  # what is promised is true
        assert promise is None or (row.value is not None and row.value <= promise)
    assert measure_claim(terms_in(evidence), evidence, context) == claims["bound"]
    return claims["bound"]


@settings(max_examples=14)
@given(st.sampled_from(SETTINGS), st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 2**32))
def test_promises_are_the_oracles(settings: dict[str, Any], sizes: list[int], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_promises(run_of(settings, sizes, seed), Path(folder))


@pytest.mark.parametrize(
    ("start", "limits", "eta0"),
    [
        (PrimalDualState(9, (0.375,)), ("0.02", "0", "1"), "0.5"),  # restored: λ₁ and √10
        (PrimalDualState(0, (1e3,)), ("0.02", "0", "1"), "0.5"),  # λ above what is known in advance of W
        (PrimalDualState(0, (0.0,)), ("0", "-3.5", "3.5"), "7"),
        (PrimalDualState(0, (0.0,)), ("0.3", "0", "1"), "0.1"),  # nothing ever moves
        (PrimalDualState(0, (0.0,)), ("0.02", "0.25", "0.5"), "0.000000000001"),  # η of 12 places, then none
        (PrimalDualState(0, (0.0,)), ("0.02", "0", "1"), "0.0000000000001"),  # η rounds to 0: nothing follows
        (PrimalDualState(2**52, (0.0,)), ("0.02", "0", "1"), "1000"),
    ],
)
def test_promises_from_odd_states(
    start: PrimalDualState, limits: tuple[str, str, str], eta0: str, tmp_path: Path
) -> None:
    run = run_of(SETTINGS[0], [6, 1, 9, 4, 12, 3] * 2, 5, start=start, limits=limits, eta0=eta0)
    assert_promises(run, tmp_path)


def test_the_prior_needs_scores_in_the_box(tmp_path: Path) -> None:
    run = run_of(SETTINGS[0], [6, 9, 4], 1)
    assert assert_promises(run, _new(tmp_path, "in"))["witness"]["rows"][0]["prior"] is not None
    last = run.batches[-1]
    outside = dataclasses.replace(last, scores=[*list(last.scores)[:-1], 1.0000000000000002])
    moved = dataclasses.replace(run, batches=[*run.batches[:-1], outside])
    assert assert_promises(moved, _new(tmp_path, "out"))["witness"]["rows"][0]["prior"] is None


def test_a_stream_without_one_of_two_groups_promises_nothing(tmp_path: Path) -> None:
    run = run_of(SETTINGS[1], [3, 1, 2], 4)
    claim = assert_promises(run, tmp_path)
    assert any(row["promise"] is None for row in claim["witness"]["rows"])
    assert claim["verdict"] == "UNDECIDED"


def test_the_prior_needs_multipliers_that_keep_it(tmp_path: Path) -> None:
    """Predictions that do not minimise anything: the gap stays 1, and λ grows beyond what W allows."""
    run = run_of(SETTINGS[0], [2] * 60, 2, eta0="0.25")
    batches = [dataclasses.replace(batch, features={"g": ["a", "b"]}, predictions=[0.0, 1.0]) for batch in run.batches]
    claim = assert_promises(recomputed(dataclasses.replace(run, batches=batches)), tmp_path)
    (row,) = claim["witness"]["rows"]
    assert row["prior"] is None
    assert parse_decimal(row["last"]) > 1
    assert parse_decimal(row["lower"]) > Fraction(999, 1000)


@pytest.mark.parametrize(
    ("predictions", "batches"), [([1.7e308, -1.7e308], 1), ([1e308, 0.0] * 4, 1), ([1e308, 0.0], 3)]
)
def test_multipliers_beyond_float64_promise_nothing(predictions: list[float], batches: int, tmp_path: Path) -> None:
    run = run_of(SETTINGS[0], [len(predictions)] * batches, 0)
    features = {"g": ["a", "b"] * (len(predictions) // 2)}
    moved = [dataclasses.replace(batch, features=features, predictions=predictions) for batch in run.batches]
    claim = assert_promises(dataclasses.replace(run, batches=moved), tmp_path)
    assert (claim["verdict"], claim["estimate"]) == ("UNDECIDED", None)


@pytest.mark.parametrize(
    "about", ['sensitive_features = "age"', 'sensitive_features = ["sex", "age"]', "intersectional = true"]
)
def test_a_bound_on_what_the_algorithm_does_not_keep_is_bad_input(about: str, tmp_path: Path) -> None:
    features, more = (about, "") if "sensitive" in about else ('sensitive_features = "sex"', about)
    asked = stream_demand("bound", "bound", features=features.split(" = ")[1], more=more)
    with pytest.raises(InputError, match="bound"):
        _certified(tmp_path, STREAM_HEAD + asked)


def _certified(folder: Path, policy: str) -> Json:
    """From a policy to a predicate."""
    log = serve(folder / "served", policy, *stream_people(12))
    ingest_log(log, folder / "served" / "policy.toml", folder / "run")
    return predicate_in(load_bundle(folder / "run"))


def recomputed(run: Run) -> Run:
    """The same predictions, with the steps and multipliers that follow from them: a whole new log."""
    rows = [name for name, _ in run.header.shared[2:]]
    state = PrimalDualState(
        run.algorithm["start"]["step"], tuple(float.fromhex(text) for text in run.algorithm["start"]["multipliers"])
    )
    batches = []
    for batch in run.batches:
        step, eta = state.step + 1, float(run.algorithm["eta0"]) / math.sqrt(state.step + 1)
        columns = {"step": step, "eta": eta, **dict(zip(rows, state.multipliers, strict=True))}
        batches.append(dataclasses.replace(batch, columns=columns))
        alone = dataclasses.replace(run, batches=[batches[-1]])
        question = stream_oracle.question_of(run.algorithm)
        gaps = [row.gaps[0] for row in stream_oracle.averages(question, [item.person for item in alone.records()])]
        following = [
            stream_oracle.after(value, eta, len(batch.row_ids), gap, float(run.algorithm["epsilon"]))
            for value, gap in zip(state.multipliers, gaps, strict=True)
        ]
        moved = any(gap is not None for gap in gaps)
        state = PrimalDualState(step if moved else state.step, tuple(following))
    return dataclasses.replace(run, batches=batches)


def _new(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


# ----------------------------------------------------------------------------------------------------------- lies
DEMANDS = [
    stream_demand("weighted", "weighted"),
    stream_demand("weighted again", "weighted", "0.8"),
    stream_demand("scores", "weighted", more='map = "scores"'),
    stream_demand("decisions", "weighted", more='map = "decisions"'),
    stream_demand("both", "weighted", features='["sex", "age"]'),
    stream_demand("skipped", "skipped"),
    stream_demand("skipped ages", "skipped", features='["sex", "age"]'),
    stream_demand("bound", "bound"),
    stream_demand("bound again", "bound", "0.8"),
]


@functools.cache
def honest() -> Json:
    """The predicate about a stream of 120 people in 20 batches, served by the paper's algorithm."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = serve(folder / "served", STREAM_HEAD + "".join(DEMANDS), *stream_people())
        ingest_log(log, folder / "served" / "policy.toml", folder / "run")
        return predicate_in(load_bundle(folder / "run"))


def row(name: str, k: int = 0, **members: Any) -> Lie:
    """Members of the k-th row."""
    return put(name, f"witness/rows/{k}", lambda found: {**found, **members})


def promised(**members: str) -> Lie:
    """Members of the row of `bound`, and the promise that follows from them."""

    def change(found: Json) -> Json:
        new = {**found, **members}
        if parse_decimal(new["eta"]) > 0:
            rest = parse_decimal(new["last"]) / parse_decimal(new["eta"]) + parse_decimal(new["rounding"])
            new["promise"] = decimal_text(Fraction(1, 50) + rest / new["people"], 12, up=True)
        return new

    return put("bound", "witness/rows/0", change)


NONE = dict.fromkeys(("lower", "upper", "last", "eta", "rounding", "promise", "prior"))
AGES = [
    put("bound", "sensitiveFeatures", ["age"]),
    put("bound", "partitions", [{"features": ["age"], "groups": [["young"], ["old"]]}]),
    row("bound", row="age: young - old"),
]
LIES: dict[str, tuple[list[Lie], str]] = {
    # 20 batches of 6; 16 count for sex, 96 people; 32 f, 88 m
    "rows of another name": ([row("weighted", row="sex: m - f")], "rows are not the metric's"),
    "too few rows": ([put("both", "witness/rows", lambda found: found[:1])], "rows are not the metric's"),
    "more batches than people": ([put("weighted", "witness/batches", 121)], "more batches than people"),
    "a least group": ([put("weighted", "minGroupSize", 2)], "one person is enough for a row to count"),
    "no least group": ([put("skipped", "minGroupSize", 0)], "one person is enough for a row to count"),
    "a decision of what was served": ([put("weighted", "decisionThreshold", "0.5")], "nothing is decided"),
    "a decision of scores": ([put("scores", "decisionThreshold", "0.5")], "nothing is decided"),
    "more count than there are": ([row("weighted", counted=21)], "batches and people do not fit"),
    "batches of one person": ([row("weighted", people=31)], "batches and people do not fit"),
    "more people than there are": ([row("weighted", people=121)], "batches and people do not fit"),
    "batches without people": ([row("weighted", people=117)], "more batches without people than there are"),
    "people in no batch": ([row("weighted", counted=0)], "people in no batch"),
    "everybody in some batches": ([row("weighted", counted=20)], "people in all batches, or in not all"),
    "some in all batches": (
        [row("weighted", counted=19, people=120), put("weighted", "witness/batches", 19)],
        "claims count different numbers of batches",
    ),
    "no average": ([row("weighted", lower=None, upper=None)], "an average is missing"),
    "half an average": ([row("weighted", lower=None)], "half an interval"),
    "ends reversed": ([row("weighted", lower="0.9")], "bounds are reversed"),
    "a negative end": ([row("weighted", lower="-0.1")], "bounds are reversed"),
    "13 places": ([row("weighted", upper="0.9000000000001")], "upper has more than 12 places"),
    "in more batches than f has people": (
        [put("weighted", "witness/batches", 40), row("weighted", counted=33)],
        "counts in more batches than a group has people",
    ),
    "skipped in too few batches": (
        [put("skipped", "witness/batches", 60), row("skipped", batches=20)],
        "counts in more batches than a group has people",
    ),
    "more skipped than there are": ([row("skipped", people=121)], "more skipped than there are"),
    "more batches skipped than there are": ([row("skipped", batches=21)], "more skipped than there are"),
    "batches skipped without people": ([row("skipped", people=3)], "more batches without people than there are"),
    "people skipped in no batch": ([row("skipped", batches=0)], "people in all batches, or in not all"),
    "nobody skipped in some": ([row("skipped", people=0)], "more batches without people than there are"),
    "a tolerance of skipped": ([put("skipped", "tau", "0.1")], "no tolerance"),
    "a tolerance of a bound": ([put("bound", "tau", "0.1")], "no tolerance"),
    "skipped by score": ([put("skipped", "map", "scores")], "schema: claims/5/map"),
    "a bound on scores": ([put("bound", "map", "scores")], "schema: claims/7/map"),
    "another epsilon": ([put("bound", "witness/epsilon", "0.01")], "the promise does not follow"),
    "another epsilon without promise": (
        [put("bound", "witness/epsilon", "0.01"), row("bound", **NONE)],
        "another epsilon than the system's",
    ),
    "a bound on other groups": (AGES, "another constraint than the layer's"),
    "half a promise": ([row("bound", rounding=None)], "half a promise"),
    "a promise that does not follow": ([row("bound", promise="0.031790105246")], "the promise does not follow"),
    "a promise below the average": (
        [promised(last="0", rounding="0"), row("bound", lower="0.021", upper="0.022")],
        "the average is above what is proved of it",
    ),
    "a step size of nothing": ([promised(eta="0")], "a negative multiplier or step size"),
    "a negative multiplier": ([promised(last="-0.001")], "a negative multiplier or step size"),
    "a negative rounding": ([promised(rounding="-0.000000000001")], "a negative multiplier or step size"),
    "a step size that grew": ([promised(eta="0.126")], "a step size that never was"),
    "a prior below half the box": ([row("bound", prior="0.03")], "a bound that no theorem gives"),
    "a prior below nothing": ([row("bound", prior="-0.1")], "a negative bound"),
    "a prior of 13 places": ([row("bound", prior="0.2650002450001")], "prior has more than 12 places"),
    "a prior without promise": ([row("bound", **{**NONE, "prior": "0.9"})], "no theorem gives this bound"),
    "a promise of nobody": (
        [row("bound", counted=0, people=0)],
        "an average of nobody",
    ),
    "other numbers of batches": ([put("weighted", "witness/batches", 21)], "claims count different numbers of batches"),
    "other counts in two claims": ([row("weighted again", counted=15)], "contradicts another claim's batches"),
    "other people in two claims": ([row("scores", people=95)], "contradicts another claim's batches"),
    "others skipped than do not count": ([row("skipped", people=25)], "contradicts another claim's batches"),
    "other ages skipped": ([row("skipped ages", batches=5)], "contradicts another claim's batches"),
    "two averages that never meet": (
        [row("weighted again", lower="0.02", upper="0.5")],
        "contradicts another claim's average",
    ),
    "an average above what another claim proves of it": (
        [
            *(row(name, lower="0.031790105246", upper="0.5") for name in ("weighted", "weighted again")),
            *(row(name, lower="0", upper="0.5") for name in ("bound", "bound again")),
        ],
        "contradicts another claim's average",
    ),
    "a bound on another average": (
        [row("bound again", lower="0.019673372311", upper="0.5")],
        "contradicts another claim's average",
    ),
}


def test_the_honest_predicate_is_accepted() -> None:
    assert refusal(honest()) == refusal(lied(honest())) == ""
    assert {claim["verdict"] for claim in honest()["claims"]} == {"PASS"}


@pytest.mark.parametrize("name", LIES)
def test_lies_that_all_else_follows_from_are_refused(name: str) -> None:
    lies, why = LIES[name]
    assert why in refusal(lied(honest(), *lies))


def test_averages_of_different_maps_need_not_meet() -> None:
    assert refusal(lied(honest(), row("scores", lower="0.9", upper="0.95"))) == ""


def test_wider_ends_are_accepted_and_judged() -> None:
    """Whoever publishes wider ends claims less: between them the threshold is undecided."""
    wide = lied(honest(), row("weighted", lower="0", upper="0.95"))
    assert refusal(wide) == ""
    assert [claim["verdict"] for claim in wide["claims"][:2]] == ["UNDECIDED", "PASS"]


@pytest.mark.parametrize("name", ["weighted", "skipped", "bound"])
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("verdict", "UNDECIDED"),
        ("estimate", "0.001"),
        ("lower", None),
        ("upper", "0.001"),
        ("sampleSize", 96),
        ("decisionGap", "0.1"),
        ("statement", "everybody is treated alike"),
    ],
)
def test_a_member_that_does_not_follow_is_refused(name: str, member: str, value: Any) -> None:
    predicate = copy.deepcopy(honest())
    put(name, member, value)(predicate)
    assert f"claim {name!r}: its {member} does not follow from its witness" in refusal(predicate)
