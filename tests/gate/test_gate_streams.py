"""A relying party's own demands of a stream, judged on the witnesses of one certificate."""

from __future__ import annotations

import dataclasses
import tempfile
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from certifair.certificate.verify import Verified
from certifair.evidence.ingest import ingest_log
from certifair.exact.decimals import format_decimal, parse_decimal
from certifair.gate.evaluate import GateResult, evaluate
from certifair.spec import Json
from certifair.spec.policy import Policy
from certifair.spec.verdict import Verdict
from tests.checks.bundles import (
    STREAM_HEAD,
    load_bundle,
    predicate_in,
    serve,
    stream_demand,
    stream_people,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PASS, FAIL, UNDECIDED = Verdict
BOTH = '["sex", "age"]'
OWNER = [
    stream_demand("a", "pooled"),
    stream_demand("b", "moment", more="after = 40"),
    stream_demand("c", "window", more="window = 20\nmin_group_size = 1"),
    stream_demand("d", "weighted"),
    stream_demand("e", "weighted", more='map = "scores"'),
    stream_demand("f", "skipped"),
    stream_demand("g", "bound"),
    stream_demand("h", "pooled", more='map = "decisions"\nthreshold = 0.6'),
    stream_demand("i", "moment", more="after = 1000"),
    stream_demand("j", "pooled", features=BOTH),
]
STEP = Fraction(1, 10**12)


@cache
def verified() -> Verified:
    """A certificate about 120 people in 20 batches: every claim holds, but for one of a span that never was."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = serve(folder / "served", STREAM_HEAD + "".join(OWNER), *stream_people())
        ingest_log(log, folder / "served" / "policy.toml", folder / "run")
        predicate = predicate_in(load_bundle(folder / "run"))
    return Verified(Verdict(predicate["verdict"]), predicate, "the owner", None, with_evidence=False)


def claim(name: str) -> Json:
    return next(claim for claim in verified().predicate["claims"] if claim["id"] == name)


def judged(*demands: str, head: str = "") -> GateResult:
    return evaluate(verified(), Policy.parse((head + "".join(demands)).encode()), NOW)


def answer(form: str, epsilon: Fraction | str, more: str = "", features: str = '"sex"') -> tuple[Verdict, str | None]:
    text = epsilon if isinstance(epsilon, str) else format_decimal(epsilon)
    (found,) = judged(stream_demand("mine", form, f'"{text}"', features, more)).properties
    return found.verdict, found.claim


SPANNED = {"pooled": "", "moment": "after = 40", "window": "window = 20\nmin_group_size = 1"}
SPANNED |= {"weighted": "", "skipped": "", "bound": ""}
NAMES = dict(zip(SPANNED, "abcdfg", strict=True))


def test_the_owners_claims_hold() -> None:
    found = {claim["id"]: claim["verdict"] for claim in verified().predicate["claims"]}
    assert found == {**dict.fromkeys("abcdefghj", "PASS"), "i": "UNDECIDED", "chain": "PASS", "steps": "PASS"}


@pytest.mark.parametrize("form", SPANNED)
def test_a_threshold_of_ones_own_at_the_figure_and_beside_it(form: str) -> None:
    """The owner promised 0.9; the witness says how much it is."""
    upper, lower = (parse_decimal(claim(NAMES[form])[end]) for end in ("upper", "lower"))
    assert answer(form, upper, SPANNED[form]) == (PASS, NAMES[form])
    below = answer(form, lower - STEP, SPANNED[form])
    # a bound that is too large proves no violation
    assert below == (UNDECIDED if form == "bound" else FAIL, NAMES[form])


def test_between_the_ends_of_an_average_nothing_is_decided() -> None:
    upper, lower = (parse_decimal(claim("d")[end]) for end in ("upper", "lower"))
    assert lower < upper
    assert answer("weighted", lower)[0] is answer("weighted", (lower + upper) / 2)[0] is UNDECIDED


def test_a_tolerance_and_a_least_group_of_ones_own() -> None:
    upper = parse_decimal(claim("a")["upper"])
    assert answer("pooled", upper - STEP, f'tau = "{format_decimal(STEP)}"')[0] is PASS
    assert answer("pooled", "0.9", "min_group_size = 32")[0] is PASS  # there are 32 f
    assert answer("pooled", "0.9", "min_group_size = 33")[0] is UNDECIDED
    assert answer("moment", "0.9", "after = 40\nmin_group_size = 11")[0] is UNDECIDED  # and 10 at the first moment
    assert answer("window", "0.9", "window = 20\nmin_group_size = 2")[0] is PASS
    assert answer("window", "0.9", "window = 20\nmin_group_size = 3")[0] is UNDECIDED


@pytest.mark.parametrize(
    ("form", "more"),
    [
        ("moment", "after = 39"),
        ("moment", "after = 41"),
        ("moment", "after = 20"),
        ("window", "window = 40\nmin_group_size = 1"),
        ("window", "window = 21\nmin_group_size = 1"),
        ("pooled", 'map = "scores"'),
        ("pooled", 'map = "decisions"'),  # of the threshold 1/2
        ("weighted", 'map = "decisions"'),
        ("pooled", "intersectional = true"),
        ("skipped", "intersectional = true"),
    ],
)
def test_another_span_map_or_shape_is_another_question(form: str, more: str) -> None:
    assert answer(form, "1", more) == (UNDECIDED, None)


@pytest.mark.parametrize("form", ["weighted", "skipped", "bound", "moment", "window"])
def test_other_groups_are_another_question(form: str) -> None:
    assert answer(form, "1", SPANNED[form], '"age"') == (UNDECIDED, None)
    assert answer(form, "1", SPANNED[form], BOTH) == (UNDECIDED, None)


def test_the_same_question_with_the_same_words_is_answered() -> None:
    assert answer("pooled", "1", 'map = "decisions"\nthreshold = 0.6') == (PASS, "h")
    assert answer("weighted", "1", 'map = "scores"') == (PASS, "e")
    assert answer("pooled", "1", features='["age", "sex"]') == (PASS, "j")


def test_a_span_that_never_was_stays_undecided() -> None:
    assert answer("moment", "1", "after = 1000") == (UNDECIDED, "i")
    assert answer("moment", "0", "after = 1000") == (FAIL, "i")  # who violates it now does not keep it


def test_one_form_never_stands_in_for_another() -> None:
    """The weighted average is small where the pooled gap is not; feasibility speaks of every batch."""
    weighted, pooled = (parse_decimal(claim(name)["upper"]) for name in "da")
    between = (weighted + pooled) / 2
    assert weighted < pooled
    assert answer("weighted", between)[0] is PASS
    assert answer("pooled", between)[0] is FAIL
    batchwise = stream_demand("mine", "difference").replace("aggregate", "feasibility")
    (found,) = judged(batchwise).properties
    assert (found.verdict, found.claim) == (UNDECIDED, None)


def test_declared_values_must_be_those_of_the_claim() -> None:
    for values, verdict in (('["m", "f"]', PASS), ('["f", "m", "x"]', UNDECIDED), ('["f", "x"]', UNDECIDED)):
        result = judged(stream_demand("mine", "weighted"), head=f"[data.values]\nsex = {values}\n")
        assert result.verdict is verdict


def log_demand(form: str) -> str:
    return f'[[property]]\nid = "mine"\nkind = "aggregate"\nform = "{form}"\n'


@pytest.mark.parametrize("form", ["chain", "steps"])
def test_a_log_that_is_demanded(form: str) -> None:
    (found,) = judged(log_demand(form)).properties
    assert (found.verdict, found.claim, found.groups) == (PASS, form, ())
    without = [claim for claim in verified().predicate["claims"] if claim["form"] != form]
    bare = dataclasses.replace(verified(), predicate={**verified().predicate, "claims": without})
    (found,) = evaluate(bare, Policy.parse(log_demand(form).encode()), NOW).properties
    assert (found.verdict, found.claim) == (UNDECIDED, None)


def test_a_log_with_faults_fails_whoever_demands_steps() -> None:
    faulty = {"batches": 20, "faults": 1, "first": {"batch": "3", "what": "something"}}
    claims = [
        {**claim, "witness": faulty} if claim["form"] == "steps" else claim for claim in verified().predicate["claims"]
    ]
    bad = dataclasses.replace(verified(), predicate={**verified().predicate, "claims": claims})
    (found,) = evaluate(bad, Policy.parse(log_demand("steps").encode()), NOW).properties
    assert (found.verdict, found.reason) == (FAIL, "batch 3: something")


def test_groups_are_judged_one_by_one() -> None:
    (found,) = judged(stream_demand("mine", "pooled", '"0.04"', BOTH)).properties
    verdicts = {group.name: group.verdict for group in found.groups}
    assert verdicts == {"sex = f": FAIL, "sex = m": FAIL, "age = young": PASS, "age = old": PASS}
    assert not found
    assert found.reason.startswith("sex: f - m: 0.0484, demanded at most 0.04")
