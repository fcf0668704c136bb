from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certifair.evidence.canonical import canonical, strict_json
from certifair.spec import metrics
from certifair.spec.groups import MISSING, Cell, Partition, cells_of, partition_of, partitions_of
from certifair.spec.policy import LayerSpec, Policy, Property, projection_property, replay_property
from certifair.spec.terms import Terms, statement, terms_of
from certifair.spec.verdict import Verdict
from tests.oracles import metric_oracle as oracle

VALUES = {"sex": ("f", "m"), "race": ("a", "b", "c"), "town": ("big", "small")}
decimals = st.builds(lambda n, d: Fraction(n, 10**d), st.integers(0, 10**12), st.integers(0, 40))
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@st.composite
def properties(draw: st.DrawFn) -> tuple[Property, dict[str, tuple[str, ...]]]:
    metric = draw(st.sampled_from(metrics.names()))
    kind = draw(st.sampled_from(["feasibility", "population"]))
    form = draw(st.sampled_from(["difference", "ratio", "projection"]))
    values = draw(
        st.dictionaries(names, st.lists(names, min_size=1, max_size=4, unique=True).map(tuple), min_size=2, max_size=4)
    )
    columns = draw(st.permutations(sorted(values)))
    count = draw(st.integers(1, min(2, len(columns) - 1)))
    item = Property(
        id=draw(names),
        kind=kind,
        form=form,
        metric=metric,
        sensitive_features=tuple(columns[:count]),
        intersectional=draw(st.booleans()),
        condition=columns[count] if metrics.get(metric).needs_condition else None,
        threshold=draw(decimals),
        tau=draw(decimals),
        decision_threshold=draw(decimals.map(lambda value: -value) | decimals),
        confidence=Fraction(draw(st.integers(1, 99)), 100) if kind == "population" else None,
        method=draw(st.sampled_from(["clopper_pearson", "beta_mixture"])) if kind == "population" else "",
        min_group_size=draw(st.integers(0, 100)),
        map=draw(st.sampled_from(["served", "scores", "decisions"])),
    )
    return item, values


@given(properties())
def test_terms_survive_json(case: tuple[Property, dict[str, tuple[str, ...]]]) -> None:
    terms = terms_of(*case)
    document = terms.to_json()
    assert Terms.from_json(strict_json(canonical(document))) == terms
    assert Terms.from_json(json.loads(json.dumps(document))) == terms
    assert Terms.from_json(document).to_json() == document


@given(properties())
def test_terms_spell_out_what_the_oracle_does(case: tuple[Property, dict[str, tuple[str, ...]]]) -> None:
    item, values = case
    terms = terms_of(item, values)
    question = oracle.Question(
        metric=item.metric,
        features=item.sensitive_features,
        declared=values,
        intersectional=item.intersectional,
        condition=item.condition,
    )
    assert [(p.features, list(p.groups)) for p in terms.partitions] == oracle.partitions(question)
    assert (terms.condition_on, list(terms.conditions)) == oracle.conditioned(question)
    assert [row.name for row in terms.rows] == [row.name for row in oracle.rows(question)]
    cells = [
        (
            cell.partition,
            terms.partitions[cell.partition].groups[cell.group],
            None if cell.condition is None else terms.conditions[cell.condition],
        )
        for cell in terms.cells
    ]
    assert cells == [(cell.partition, cell.group, cell.condition) for cell in oracle.cells(question)]
    assert terms.least == max(1, terms.min_group_size)


def a_property(**changes: Any) -> Property:
    found: dict[str, Any] = {
        "id": "x",
        "kind": "feasibility",
        "form": "difference",
        "metric": "demographic_parity",
        "sensitive_features": ("sex", "race"),
        "intersectional": False,
        "condition": None,
        "threshold": Fraction(1, 20),
        "tau": Fraction(0),
        "decision_threshold": Fraction(1, 2),
        "confidence": None,
        "method": "",
        "min_group_size": 10,
        "map": "served",
    }
    return Property(**(found | changes))


# ------------------------------------------------------------------------------------------------------ statements
STATEMENTS = [
    (
        {},
        'the largest difference between two groups\' mean prediction over "sex" and "race", in every '
        "batch, is at most 0.05",
    ),
    (
        {"intersectional": True, "map": "scores", "tau": Fraction(1, 10**6)},
        'the largest difference between two groups\' mean score over "sex" × "race", in every batch, is at most 0.05 '
        "(solver tolerance 0.000001)",
    ),
    (
        {"metric": "conditional_parity", "condition": "town", "sensitive_features": ("sex",)},
        'the largest difference between two groups\' mean prediction over "sex", within each "town", in '
        "every batch, is at "
        "most 0.05",
    ),
    (
        {"metric": "equalized_odds", "sensitive_features": ("race",), "form": "ratio", "threshold": Fraction(4, 5)},
        'the smallest ratio between two groups\' mean prediction over "race", within each "label", in '
        "every batch, is at "
        "least 0.8",
    ),
    (
        {"metric": "equalized_residuals", "sensitive_features": ("sex",)},
        'the largest absolute mean of (label - prediction) of a group over "sex", in every batch, is at most 0.05',
    ),
    (
        {
            "kind": "population",
            "map": "decisions",
            "confidence": Fraction(19, 20),
            "method": "clopper_pearson",
            "sensitive_features": ("sex",),
            "decision_threshold": Fraction(3, 10),
        },
        'the largest difference between two groups\' mean decision (score > 0.3) over "sex", in the population with '
        "confidence 0.95, is at most 0.05",
    ),
]


@pytest.mark.parametrize(("changes", "expected"), STATEMENTS)
def test_statements(changes: dict[str, Any], expected: str) -> None:
    assert statement(terms_of(a_property(**changes), VALUES)) == expected


@given(names, names)
def test_no_name_can_be_read_as_part_of_the_sentence(feature: str, column: str) -> None:
    item = a_property(metric="conditional_parity", sensitive_features=(feature,), condition=column)
    found = statement(terms_of(item, {feature: ("a", "b"), column: ("x", "y")}))
    inside = [json.dumps(name, ensure_ascii=False) for name in (feature, column)]
    assert f" over {inside[0]}, within each {inside[1]}, in every batch, is at most 0.05" in found


def test_the_statement_of_a_projection() -> None:
    layer = LayerSpec("demographic_parity", ("sex",), False, None, Fraction(1, 20), Fraction(0), Fraction(1))
    item = projection_property(layer)
    assert (item.kind, item.form, item.threshold, item.tau, item.map) == (
        "feasibility",
        "projection",
        Fraction(1, 10**5),
        0,
        "served",
    )
    terms = terms_of(item, VALUES)
    assert (terms.method, terms.min_group_size) == ("duality", 1)
    found = statement(terms, {"epsilon": "0.05", "lower": "0", "upper": "1"})
    assert found == (
        "the root mean square distance between served predictions and the exact projection of the scores onto "
        'demographic_parity at most 0.05 in [0, 1] over "sex", in every batch, is at most 0.00001'
    )


# ------------------------------------------------------------------------------------------- comparisons and names
def test_holds_and_worse() -> None:
    difference = terms_of(a_property(tau=Fraction(1, 100)), VALUES)
    assert difference.comparator == "<="
    assert difference.holds(Fraction(6, 100))
    assert not difference.holds(Fraction(6, 100) + Fraction(1, 10**50))
    assert difference.worse(Fraction(2), Fraction(1))
    assert not difference.worse(Fraction(1), Fraction(1))
    ratio = terms_of(a_property(form="ratio", threshold=Fraction(4, 5), tau=Fraction(1, 100)), VALUES)
    assert ratio.comparator == ">="
    assert ratio.holds(Fraction(79, 100))
    assert not ratio.holds(Fraction(79, 100) - Fraction(1, 10**50))
    assert ratio.worse(Fraction(1), Fraction(2))
    assert not ratio.worse(Fraction(1), Fraction(1))


def test_min_group_size_0_still_needs_somebody() -> None:
    assert terms_of(a_property(min_group_size=0), VALUES).least == 1
    assert terms_of(a_property(min_group_size=7), VALUES).least == 7


def test_scopes() -> None:
    assert terms_of(a_property(), VALUES).to_json()["scope"] == "batch"
    population = a_property(kind="population", confidence=Fraction(1, 2), method="beta_mixture", map="scores")
    assert terms_of(population, VALUES).to_json()["scope"] == "population"
    assert terms_of(population, VALUES).to_json()["confidence"] == "0.5"


def test_missing_values_are_a_group_of_their_own() -> None:
    policy = Policy.parse(b'[data]\nsensitive_features = "g"\nmissing = "group"\n[data.values]\ng = ["a"]')
    assert policy.declared() == {"g": ("a", MISSING)}


# ---------------------------------------------------------------------------------------------------------- groups
def test_intersections_run_the_last_feature_fastest() -> None:
    partition = partition_of(["sex", "race"], VALUES)
    assert partition.groups == (("f", "a"), ("f", "b"), ("f", "c"), ("m", "a"), ("m", "b"), ("m", "c"))
    assert partition.name == "sex × race"
    assert partition.group_name(4) == "(m, b)"
    assert partitions_of(["sex", "race"], VALUES, intersectional=True) == (partition,)
    marginal = partitions_of(["sex", "race"], VALUES, intersectional=False)
    assert [p.features for p in marginal] == [("sex",), ("race",)]
    assert marginal[1].group_name(2) == "c"


def test_a_replay_speaks_of_nobody_in_particular() -> None:
    terms = terms_of(replay_property(), VALUES)
    document = terms.to_json()
    assert Terms.from_json(document) == terms
    assert document == {
        "id": "replay",
        "kind": "replay",
        "form": "network",
        "map": "scores",
        "scope": "batch",
        "metric": None,
        "sensitiveFeatures": [],
        "intersectional": False,
        "conditionOn": None,
        "conditions": [],
        "partitions": [],
        "comparator": "<=",
        "threshold": "0.000001",
        "tau": "0",
        "decisionThreshold": "0",
        "minGroupSize": 1,
        "span": None,
        "confidence": None,
        "method": "ball",
        "domain": None,
    }
    assert statement(terms) == (
        "the largest difference between a logged score and the value of the network over the reals, for everybody in "
        "the evidence, is at most 0.000001"
    )


def test_cells_stand_partition_by_partition_condition_by_condition() -> None:
    partitions = (Partition(("s",), (("f",), ("m",))), Partition(("r",), (("a",),)))
    assert cells_of(partitions, ()) == (Cell(0, 0, None), Cell(0, 1, None), Cell(1, 0, None))
    assert cells_of(partitions, ("0", "1")) == (
        Cell(0, 0, 0),
        Cell(0, 1, 0),
        Cell(0, 0, 1),
        Cell(0, 1, 1),
        Cell(1, 0, 0),
        Cell(1, 0, 1),
    )


# --------------------------------------------------------------------------------------------------------- verdict
def test_only_pass_is_true() -> None:
    assert [bool(verdict) for verdict in Verdict] == [True, False, False]
    assert [verdict.exit_code for verdict in Verdict] == [0, 1, 3]
    assert [verdict.value for verdict in Verdict] == ["PASS", "FAIL", "UNDECIDED"]


@given(st.lists(st.sampled_from(list(Verdict))))
def test_the_conjunction(verdicts: list[Verdict]) -> None:
    if Verdict.FAIL in verdicts:
        expected = Verdict.FAIL
    elif Verdict.UNDECIDED in verdicts or not verdicts:
        expected = Verdict.UNDECIDED
    else:
        expected = Verdict.PASS
    assert Verdict.all(verdicts) is expected
    assert Verdict.all(iter(verdicts)) is expected
