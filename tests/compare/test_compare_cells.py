from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from certifair.compare.base import DataSet
from certifair.compare.cells import LONGEST, cell_of, half_width, rounded, table_of
from certifair.compare.outputs.base import best
from certifair.compare.policy import serving_policy
from certifair.compare.properties import CLAIMED, PROPERTIES
from certifair.compare.table import Cell, Figure, Property, Run, Status
from certifair.spec.policy import Policy
from tests.compare.method_cases import people_set

MEASURED = Property("p", "p", "higher", "measured", "What is measured.")
PROVEN = Property("p", "p", "lower", "proven", "What is proven.", ends=True)
SURE = Property("p", "p", "lower", "confidence", "What is likely.", ends=True)


def run(
    seed: int, figure: Figure | None, status: Status = "done", reason: str = "", *, data: str = "d", method: str = "m"
) -> Run:
    figures = () if figure is None else (figure,)
    return Run(data, method, seed, status, reason, figures, "", "", {}, 1.0, f"runs/{data}/{method}-{seed}")


def measured(*values: float | None) -> list[Run]:
    return [run(seed, Figure("p", value)) for seed, value in enumerate(values)]


def claimed(*ends: tuple[str | None, str | None]) -> list[Run]:
    """Runs whose figures are their lower ends, or the upper where there is none."""
    figures = [Figure("p", float(low or high or 0), low, high, "UNDECIDED", "", "c") for low, high in ends]
    return [run(seed, figure) for seed, figure in enumerate(figures)]


def cell(item: Property, runs: list[Run]) -> Cell:
    return cell_of("d", "m", item, runs)


# --- means over seeds


def test_the_interval_is_students_by_hand() -> None:
    """0.79, 0.80, 0.81: s = 0.01; t(0.975, 2) = 4.3027 in any table of quantiles; 4.3027 · 0.01 / √3 = 0.02484."""
    found = cell(MEASURED, measured(0.79, 0.80, 0.81))
    assert found.half == pytest.approx(0.0248414, abs=1e-7)
    assert found.text == "0.8000 ± 0.0249"
    assert (found.n, found.rank, found.reason) == (3, found.mean, "")


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_interval_is_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(3, 2, n)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    found = cell(MEASURED, measured(*values.tolist()))
    assert found.mean is not None
    assert found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))


def test_one_seed_and_seeds_without_spread_have_no_plus_minus() -> None:
    one = cell(MEASURED, measured(0.8))
    assert (one.text, one.half, one.n) == ("0.8000", None, 1)
    same = cell(MEASURED, measured(0.1, 0.1, 0.1))
    assert (same.text, same.half, same.mean) == ("0.1000 (same in 3 runs)", 0.0, 0.1)
    nearly = cell(MEASURED, measured(0.1, 0.1, 0.1 + 1e-9))
    assert nearly.text == "0.1000 ± 0.0001"
    assert half_width([]) is half_width([1.0]) is None


def test_units_and_digits_are_the_propertys() -> None:
    item = dataclasses.replace(MEASURED, digits=1, unit="s")
    assert cell(item, measured(12.34, 12.36)).text == "12.4 ± 0.2 s"
    assert cell(item, [*measured(12.0), run(1, None, "crashed")]).text == "12.0 s (1 of 2 runs)"
    assert cell(item, measured(1.5e9)).text == "1.500e+9 s"


# --- runs without a figure


@pytest.mark.parametrize("status", ["infeasible", "time limit", "failed", "crashed", "does not apply"])
def test_a_run_that_is_not_done_is_told_by_its_status(status: Status) -> None:
    for figure in (None, Figure("p", None, verdict="", reason="why not")):
        found = cell(MEASURED, [run(0, figure, status, "why not")])
        assert (found.text, found.reason) == (status, f"{status}: why not")
        assert (found.n, found.mean, found.half, found.lower, found.upper, found.rank) == (0, *[None] * 5)
        assert found.runs == ("runs/d/m-0",)


def test_runs_that_fail_differently_are_all_told() -> None:
    runs = [run(0, None, "time limit", "60 s are over"), run(1, None, "crashed", "SIGKILL"), run(2, None, "crashed")]
    found = cell(MEASURED, runs)
    assert found.text == "time limit, crashed"
    assert found.reason == "seed 0: time limit: 60 s are over; seed 1: crashed: SIGKILL; seed 2: crashed"


def test_a_mean_that_leaves_runs_out_says_so() -> None:
    runs = [*measured(0.8, 0.9), run(2, None, "time limit", "late")]
    found = cell(MEASURED, runs)
    assert found.text == "0.8500 ± 0.6354 (2 of 3 runs)"
    assert found.reason.startswith("from 2 of 3 runs only: those left out might have been better or worse; ")
    assert found.reason.endswith("; seed 2: time limit: late")
    assert (found.n, len(found.runs)) == (2, 3)
    same = cell(MEASURED, [*measured(0.8, 0.8), run(2, None, "failed")])
    assert same.text == "0.8000 (same in 2 of 3 runs)"
    ends = cell(PROVEN, [*claimed(("0.1", "0.2")), run(1, None, "failed")])
    assert ends.text == "0.1000 to 0.2000 (1 of 2 runs)"


def test_a_figure_that_a_finished_run_has_not_is_told() -> None:
    found = cell(PROVEN, [run(0, Figure("p", None, verdict="UNDECIDED", reason="no network", claim="c"))])
    assert (found.text, found.reason) == ("undecided", "no network")
    found = cell(PROVEN, [run(0, Figure("p", None, verdict=""))])
    assert (found.text, found.reason) == ("not claimed", "the run's policy claims nothing of it")
    found = cell(MEASURED, [run(0, Figure("p", None, reason="all labels are the same"))])
    assert (found.text, found.reason) == ("undefined", "all labels are the same")
    found = cell(MEASURED, [])
    assert (found.text, found.n, found.runs) == ("not run", 0, ())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_figure(value: float) -> None:
    found = cell(MEASURED, measured(value))
    assert (found.text, found.n, found.mean, found.rank) == ("not finite", 0, None, None)
    assert str(value) in found.reason
    found = cell(MEASURED, measured(0.5, value))
    assert (found.text, found.mean) == ("0.5000 (1 of 2 runs)", 0.5)
    assert "seed 1: the figure is" in found.reason


# --- ends


def test_ends_that_are_apart_are_shown_without_a_spread() -> None:
    found = cell(PROVEN, claimed(("0.02", "0.05"), ("0.01", "0.04"), ("0.03", "0.03")))
    assert (found.text, found.lower, found.upper) == ("0.0100 to 0.0500", 0.01, 0.05)
    assert (found.rank, found.basis) == (0.05, "proven")
    assert found.mean == pytest.approx(0.02)
    assert found.half is not None
    higher = cell(dataclasses.replace(PROVEN, better="higher"), claimed(("0.02", "0.05"), ("0.01", "0.04")))
    assert higher.rank == 0.01
    neither = cell(dataclasses.replace(PROVEN, better=""), claimed(("0.02", "0.05"), ("0.01", "0.04")))
    assert neither.rank == neither.mean
    assert cell(SURE, claimed(("0.02", "0.05"))).basis == "confidence"


def test_ends_are_rounded_outwards() -> None:
    assert cell(PROVEN, claimed(("0.02749", "0.10001"))).text == "0.0274 to 0.1001"
    assert cell(PROVEN, claimed(("0.02749", None))).text == "at least 0.0274"
    assert cell(PROVEN, claimed((None, "0.10001"))).text == "at most 0.1001"
    assert rounded(0.0274, 4, "ROUND_FLOOR") == "0.0274"


def test_ends_that_agree_to_the_digits_shown_leave_the_mean_and_its_spread() -> None:
    found = cell(PROVEN, claimed(("0.02", "0.02"), ("0.03", "0.030000000001")))
    assert found.text == "0.0250 ± 0.0636"
    assert (found.lower, found.upper, found.rank) == (0.02, 0.030000000001, found.mean)
    assert cell(PROVEN, claimed(("0.02", "0.02004"))).text == "0.0200"
    assert cell(PROVEN, claimed(("0.02", "0.02006"))).text == "0.0200 to 0.0201"
    bound = cell(dataclasses.replace(PROVEN, ends=False), claimed(("0.02", "0.9")))
    assert bound.text == "0.0200"


def test_an_end_that_one_run_lacks_is_known_of_none() -> None:
    found = cell(PROVEN, claimed(("0.02", None), ("0.01", "0.04")))
    assert (found.text, found.lower, found.upper, found.rank) == ("at least 0.0100", 0.01, None, None)
    found = cell(PROVEN, [*claimed(("0.02", None)), run(1, Figure("p", 0.5, None, "0.5", "FAIL", "", "c"))])
    assert (found.lower, found.upper) == (None, None)
    assert found.text == "0.2600 ± 3.0495"


def test_a_figure_without_a_claim_is_measured_and_says_so() -> None:
    figure = Figure("p", 0.02, "0.02", None, reason="at least this")
    found = cell(PROVEN, [run(0, figure), *claimed(("0.1", "0.2"))])
    assert found.basis == "measured"
    assert found.reason == "measured, no claim; seed 0: at least this"
    assert cell(MEASURED, measured(0.5)).reason == ""


# --- reasons


def test_reasons_are_told_once_and_by_seed_where_they_differ() -> None:
    def said(*texts: str) -> str:
        return cell(MEASURED, [run(seed, None, "failed", text) for seed, text in enumerate(texts)]).reason

    assert said("a", "a", "a") == "failed: a"
    assert said("a", "b", "a") == "seeds 0, 2: failed: a; seed 1: failed: b"
    assert said("after 60.1 s", "after 7 s") == "failed: after 60.1 s (numbers of seed 0)"
    assert said("gap 1e-05", "gap 12%", "b") == "seed 0: failed: gap 1e-05; seed 1: failed: gap 12%; seed 2: failed: b"
    assert said(*"abcde") == "seed 0: failed: a; seed 1: failed: b; seed 2: failed: c; and 2 other reasons"
    assert said(*"aaaaab") == "seeds 0, 1, 2 and 2 more: failed: a; seed 5: failed: b"
    assert len(said("x" * 1000)) == LONGEST


# --- the table


def test_a_caution_is_told_in_every_cell_and_wins_nothing() -> None:
    alike = dataclasses.replace(run(0, Figure("p", 0.0, claim="c")), caution="everybody is decided alike")
    other = dataclasses.replace(run(0, Figure("p", 0.1, claim="c"), method="n"))
    table = table_of([alike, other], ("d",), ("m", "n"), (PROVEN,), {})
    assert table.cell("d", "m", "p").reason == "everybody is decided alike"
    assert [table.cell("d", name, "p").cautious for name in "mn"] == [True, False]
    assert best(table, "d", PROVEN) == {"n"}


def test_a_table_has_one_cell_for_each_and_finds_it() -> None:
    runs = [run(0, Figure("p", 0.5), data=data, method=method) for data in "ab" for method in ("m", "n")]
    extra = dataclasses.replace(MEASURED, name="q")
    table = table_of(runs, ("a", "b", "c"), ("m", "n"), (MEASURED, extra), {})
    assert len(table.cells) == 3 * 2 * 2
    for found in table.cells:
        assert table.cell(found.data, found.method, found.property) is found
    assert table.cell("b", "n", "p").runs == ("runs/b/n-0",)
    assert table.cell("b", "n", "q").text == "not claimed"
    assert table.cell("c", "n", "p").text == "not run"
    with pytest.raises(KeyError):
        table.cell("c", "x", "p")
    with pytest.raises(ValueError, match="two cells"):
        dataclasses.replace(table, cells=[*table.cells, table.cells[0]]).cell("a", "m", "p")


def test_the_claims_confidence_is_what_a_comparisons_policies_say(tmp_path_factory: pytest.TempPathFactory) -> None:
    data: DataSet = people_set(tmp_path_factory.mktemp("set"))
    policy = Policy.parse(serving_policy(data, "m", network=True, alone=True), "policy.toml")
    (confidence,) = {item.confidence for item in policy.properties if item.kind == "population"}
    assert confidence == CLAIMED == Fraction(95, 100)
    assert [item.name for item in PROPERTIES if item.basis == "confidence"] == ["population_gap"]


# --- whatever runs there are

STATUSES: list[Status] = ["done", "infeasible", "time limit", "failed", "crashed", "does not apply"]
TEXTS = st.sampled_from(["", "a", "stopped after 60 s", "stopped after 7 s", "x" * 500])


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    value = draw(st.none() | st.floats(-1e9, 1e9) | st.sampled_from([0.0, 0.5, math.nan, math.inf]))
    low, high = None, None
    if value is not None and math.isfinite(value):
        low = draw(st.none() | st.floats(0, 1e3).map(lambda less: repr(value - less)))
        high = draw(st.none() | st.floats(0, 1e3).map(lambda more: repr(value + more)))
    verdict = draw(st.sampled_from(["", "measured", "PASS", "FAIL", "UNDECIDED"]))
    return Figure("p", value, low, high, verdict, draw(TEXTS), draw(st.sampled_from([None, "c"])))


@st.composite
def all_runs(draw: st.DrawFn) -> list[Run]:
    found = draw(st.lists(st.tuples(st.none() | figures(), st.sampled_from(STATUSES), TEXTS), max_size=6))
    return [
        run(seed, figure if status == "done" else None, status, "" if status == "done" else reason)
        for seed, (figure, status, reason) in enumerate(found)
    ]


@given(all_runs(), st.sampled_from([MEASURED, PROVEN, SURE, dataclasses.replace(PROVEN, digits=0, better="")]))
def test_a_cell_never_says_nothing_nor_more_than_its_runs(runs: list[Run], item: Property) -> None:
    found = cell(item, runs)
    known = [f for r in runs for f in r.figures if f.value is not None and math.isfinite(f.value)]
    values = [figure.value for figure in known if figure.value is not None]
    assert found.text
    assert found.text == found.text.strip()
    assert found.n == len(values)
    assert len(found.reason) <= 4 * (LONGEST + 120)
    if not values:
        assert (found.mean, found.half, found.lower, found.upper, found.rank) == (None,) * 5
        assert not any(character.isdigit() for character in found.text)
        assert found.reason or not runs or {r.status for r in runs} == {"done"}
        return
    assert found.mean is not None
    assert min(values) <= found.mean <= max(values)
    assert (found.half is None) == (len(values) < 2)
    assert found.lower is None or all(found.lower <= float(f.lower) for f in known if f.lower is not None)
    assert found.upper is None or all(found.upper >= float(f.upper) for f in known if f.upper is not None)
    assert (found.lower is None) == any(f.lower is None for f in known)
    assert ("±" in found.text) <= (len(set(values)) > 1 and " to " not in found.text)
    assert ("runs)" in found.text) == (len(values) < len(runs) or "same in" in found.text)
    assert (len(values) < len(runs)) == ("only: those left out" in found.reason)
