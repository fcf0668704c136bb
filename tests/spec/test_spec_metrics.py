from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certifair.spec import metrics
from certifair.spec.groups import Cell
from certifair.spec.metrics.base import CellSum, Example, Row
from certifair.spec.policy import Property
from certifair.spec.terms import Terms, terms_of
from tests.oracles import metric_oracle as oracle
from tests.oracles.metric_oracle import Person, Question

EXAMPLES = [(name, example) for name in metrics.names() for example in metrics.get(name).examples()]


def question_of(name: str, features: dict[str, tuple[str, ...]], *, intersectional: bool = False) -> Question:
    condition = "town" if metrics.get(name).needs_condition else None
    columns = tuple(feature for feature in features if feature != "town")
    return Question(name, columns, features, intersectional=intersectional, condition=condition)


def terms_for(question: Question) -> Terms:
    item = Property(
        id="x",
        kind="feasibility",
        form="difference",
        metric=question.metric,
        sensitive_features=question.features,
        intersectional=question.intersectional,
        condition=question.condition,
        threshold=Fraction(0),
        tau=Fraction(0),
        decision_threshold=Fraction(1, 2),
        confidence=None,
        method="",
        min_group_size=1,
        map="served",
    )
    return terms_of(item, question.declared)  # type: ignore[arg-type]


def people_of(example: Example) -> list[Person]:
    return [
        Person(
            values={"g": group} | ({"town": example.conditions[i]} if example.conditions else {}),
            prediction=example.predictions[i],
            label=Fraction(example.labels[i]) if example.labels else None,
        )
        for i, group in enumerate(example.groups)
    ]


def sums_of(terms: Terms, question: Question, people: list[Person]) -> dict[Cell, CellSum]:
    found = {}
    for ours, theirs in zip(terms.cells, oracle.cells(question), strict=True):
        figures = oracle.figures(question, people, theirs)
        found[ours] = CellSum(figures.n, figures.total, figures.label_total)
    return found


def present(terms: Terms, sums: dict[Cell, CellSum]) -> list[Row]:
    return [row for row in terms.rows if all(sums[cell].n for cell in row.cells)]


def test_every_metric_is_found_with_examples() -> None:
    assert metrics.names() == (
        "conditional_parity",
        "demographic_parity",
        "equal_opportunity",
        "equalized_odds",
        "equalized_residuals",
    )
    assert {name for name, _ in EXAMPLES} == set(metrics.names())
    with pytest.raises(KeyError):
        metrics.get("parity")


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_hand_worked_examples(name: str, example: Example) -> None:
    declared = {"g": example.values} | ({"town": ("town", "land")} if example.conditions else {})
    question, people = question_of(name, declared), people_of(example)
    assert oracle.gap(question, people) == example.gap
    terms = terms_for(question)
    sums = sums_of(terms, question, people)
    assert max(row.difference(sums) for row in present(terms, sums)) == example.gap
    assert example.values == tuple(dict.fromkeys(example.groups))


rationals = st.fractions(min_value=-3, max_value=3, max_denominator=40)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Question, list[Person]]:
    name = draw(st.sampled_from(metrics.names()))
    declared = {"g": ("a", "b", "c"), "h": ("x", "y"), "town": ("big", "small")}
    labels = st.sampled_from([Fraction(0), Fraction(1)]) if name != "equalized_residuals" else rationals
    person = st.builds(
        Person,
        values=st.fixed_dictionaries({key: st.sampled_from(values) for key, values in declared.items()}),
        prediction=rationals,
        label=labels,
    )
    people = draw(st.lists(person, min_size=1, max_size=25))
    return question_of(name, declared, intersectional=draw(st.booleans())), people


@given(crowds())
def test_rows_are_the_affine_map_person_by_person(case: tuple[Question, list[Person]]) -> None:
    """A[k, i] and b[k] of the product, put together over people, are the oracle's: so is |A y − b|."""
    question, people = case
    terms = terms_for(question)
    sums = sums_of(terms, question, people)
    expected = oracle.matrix(question, people)
    rows = present(terms, sums)
    assert [row.name for row in rows] == [name for name, _, _ in expected]
    pairs = dict(zip(terms.cells, oracle.cells(question), strict=True))
    for row, (_, weights, offset) in zip(rows, expected, strict=True):
        of_cell = row.weights(sums)
        ours = [
            sum((w for cell, w in of_cell.items() if oracle.belongs(question, person, pairs[cell])), Fraction(0))
            for person in people
        ]
        assert ours == weights
        assert row.offset(sums) == offset
        value = sum((w * person.prediction for w, person in zip(ours, people, strict=True)), Fraction(0)) - offset
        assert row.difference(sums) == abs(value)
        if len(row.cells) == 2:
            figures = [oracle.figures(question, people, pairs[cell]) for cell in row.cells]
            asked = Question(**{**vars(question), "form": "ratio"})
            assert row.ratio(sums) == oracle.value_from(asked, figures)


def test_rows_of_empty_cells_cannot_be_computed() -> None:
    row = Row("g: a - b", (Cell(0, 0, None), Cell(0, 1, None)))
    sums = {Cell(0, 0, None): CellSum(1, Fraction(1)), Cell(0, 1, None): CellSum(0, Fraction(0))}
    for function in (row.weights, row.difference, row.ratio):
        with pytest.raises(ZeroDivisionError):
            function(sums)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1, 2, Fraction(1, 2)),
        (2, 1, Fraction(1, 2)),
        (0, 1, Fraction(0)),
        (1, 1, Fraction(1)),
        (0, 0, None),
        (-1, 2, None),
        (2, -1, None),
        (-1, -2, None),
        (-1, 0, None),
    ],
)
def test_ratios(a: int, b: int, expected: Any) -> None:
    cells = (Cell(0, 0, None), Cell(0, 1, None))
    sums = {cells[0]: CellSum(1, Fraction(a)), cells[1]: CellSum(1, Fraction(b))}
    assert Row("r", cells).ratio(sums) == expected


def test_what_metrics_say_of_themselves() -> None:
    assert {n for n in metrics.names() if metrics.get(n).needs_label} == {
        "equal_opportunity",
        "equalized_odds",
        "equalized_residuals",
    }
    assert {n for n in metrics.names() if not metrics.get(n).has_ratio} == {"equalized_residuals"}
    assert metrics.get("equalized_odds").condition_on(None) == "label"
    assert metrics.get("equalized_residuals").condition_on(None) is None
    assert metrics.get("conditional_parity").condition_on("town") == "town"
