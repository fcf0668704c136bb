"""Slow and obvious group metrics: plain loops over people, in rationals.

Written from certificates/README.md 9.2, 9.3 and 9.7; shares no code with the package.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

PAIRS = ("demographic_parity", "conditional_parity", "equalized_odds", "equal_opportunity")
LABELS = {"equalized_odds": ("0", "1"), "equal_opportunity": ("1",)}


@dataclass(frozen=True)
class Person:
    """`values`: the texts of the categorical columns. `score` is None where the table had none."""

    values: Mapping[str, str]
    prediction: Fraction
    score: Fraction | None = None
    label: Fraction | None = None
    batch: str = "0"


@dataclass(frozen=True)
class Question:
    """What a claim asks. `declared` lists every value of each column; `condition` is a column or None."""

    metric: str
    features: tuple[str, ...]
    declared: Mapping[str, Sequence[str]]
    threshold: Fraction = Fraction(0)
    form: str = "difference"
    map: str = "served"
    intersectional: bool = False
    condition: str | None = None
    tau: Fraction = Fraction(0)
    decision_threshold: Fraction = Fraction(1, 2)
    min_group_size: int = 1

    @property
    def least(self) -> int:
        return max(1, self.min_group_size)


@dataclass(frozen=True)
class Cell:
    """A group (tuple of values of `features`) within a condition."""

    partition: int
    features: tuple[str, ...]
    group: tuple[str, ...]
    column: str | None
    condition: str | None


@dataclass(frozen=True)
class Row:
    name: str
    cells: tuple[Cell, ...]


@dataclass
class Figures:
    """A cell's people, sums and positives in one batch."""

    n: int = 0
    total: Fraction = Fraction(0)
    label_total: Fraction = Fraction(0)
    positives: int = 0


@dataclass
class RowResult:
    """A row's numbers over all batches."""

    name: str
    counted: int = 0
    undecided: int = 0
    failed: int = 0
    smallest: int = 10**18
    worst_batch: str | None = None
    worst: Fraction | None = None
    verdict: str = "UNDECIDED"


@dataclass
class Answer:
    """What a feasibility claim must come to."""

    verdict: str
    estimate: Fraction | None
    rows: list[RowResult]
    decision_gap: Fraction | None
    below: int
    above: int
    listed: dict[str, list[Figures]] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------ who is compared
def partitions(question: Question) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """(features, groups) of each partition."""
    if question.intersectional:
        product = itertools.product(*(question.declared[name] for name in question.features))
        return [(question.features, list(product))]
    return [((name,), [(value,) for value in question.declared[name]]) for name in question.features]


def conditioned(question: Question) -> tuple[str | None, list[str]]:
    """(the column, its values)."""
    if question.metric in LABELS:
        return "label", list(LABELS[question.metric])
    if question.metric == "conditional_parity":
        assert question.condition is not None
        return question.condition, list(question.declared[question.condition])
    return None, []


def blocks(question: Question) -> list[list[Cell]]:
    """The cells of each partition and condition."""
    column, conditions = conditioned(question)
    split: Sequence[str | None] = conditions or [None]
    found = []
    for p, (features, groups) in enumerate(partitions(question)):
        for condition in split:
            found.append([Cell(p, features, group, column, condition) for group in groups])
    return found


def cells(question: Question) -> list[Cell]:
    return [cell for block in blocks(question) for cell in block]


def rows(question: Question) -> list[Row]:
    found = []
    for block in blocks(question):
        if question.metric in PAIRS:
            found += [Row(f"{head(a)}: {shown(a)} - {shown(b)}", (a, b)) for a, b in itertools.combinations(block, 2)]
        else:
            found += [Row(f"{head(a)}: {shown(a)}", (a,)) for a in block]
    return found


def head(cell: Cell) -> str:
    name = " × ".join(cell.features)
    return name if cell.condition is None else f"{name} | {cell.column}={cell.condition}"


def shown(cell: Cell) -> str:
    return cell.group[0] if len(cell.group) == 1 else "(" + ", ".join(cell.group) + ")"


def belongs(question: Question, person: Person, cell: Cell) -> bool:
    if any(person.values[name] != value for name, value in zip(cell.features, cell.group, strict=True)):
        return False
    if cell.condition is None:
        return True
    if question.metric in LABELS:
        return person.label == int(cell.condition)
    assert cell.column is not None
    return person.values[cell.column] == cell.condition


# -------------------------------------------------------------------------------------------------------- figures
def value_of(question: Question, person: Person) -> Fraction:
    """What the claim's map gives this person."""
    if question.map == "served":
        return person.prediction
    assert person.score is not None
    if question.map == "scores":
        return person.score
    return Fraction(1 if person.score > question.decision_threshold else 0)


def is_positive(question: Question, person: Person) -> bool:
    number = person.prediction if question.map == "served" else person.score
    assert number is not None
    return number > question.decision_threshold


def figures(question: Question, people: Sequence[Person], cell: Cell) -> Figures:
    found = Figures()
    for person in people:
        if belongs(question, person, cell):
            found.n += 1
            found.total += value_of(question, person)
            found.positives += is_positive(question, person)
            if question.metric not in PAIRS:
                assert person.label is not None
                found.label_total += person.label
    return found


def value_from(question: Question, found: Sequence[Figures]) -> Fraction | None:
    """A row's value from the figures of its cells, all of them with people; None where a ratio is undefined."""
    if len(found) == 1:
        return abs(found[0].total / found[0].n - found[0].label_total / found[0].n)
    a, b = (item.total / item.n for item in found)
    if question.form == "difference":
        return abs(a - b)
    if min(a, b) < 0 or max(a, b) <= 0:
        return None
    return min(a, b) / max(a, b)


def gap(question: Question, people: Sequence[Person]) -> Fraction:
    """The largest value of a row whose cells all hold somebody."""
    found = []
    for row in rows(question):
        cell_figures = [figures(question, people, cell) for cell in row.cells]
        if all(item.n for item in cell_figures):
            value = value_from(question, cell_figures)
            assert value is not None
            found.append(value)
    return max(found)


def matrix(question: Question, people: Sequence[Person]) -> list[tuple[str, list[Fraction], Fraction]]:
    """(name, A[k], b[k]) of each row with somebody in all of its cells: one weight a person."""
    found = []
    for row in rows(question):
        members = [[belongs(question, person, cell) for person in people] for cell in row.cells]
        if not all(any(flags) for flags in members):
            continue
        weights = [Fraction(0)] * len(people)
        for sign, flags in zip((1, -1), members, strict=False):
            for i, inside in enumerate(flags):
                if inside:
                    weights[i] += Fraction(sign, sum(flags))
        offset = Fraction(0)
        if question.metric not in PAIRS:
            labels = [person.label for person, inside in zip(people, members[0], strict=True) if inside]
            offset = sum((label for label in labels if label is not None), Fraction(0)) / len(labels)
        found.append((row.name, weights, offset))
    return found


# --------------------------------------------------------------------------------------------------- feasibility
def holds(question: Question, value: Fraction) -> bool:
    if question.form == "ratio":
        return value >= question.threshold - question.tau
    return value <= question.threshold + question.tau


def is_worse(question: Question, value: Fraction, other: Fraction | None) -> bool:
    if other is None:
        return True
    return value < other if question.form == "ratio" else value > other


def answer(question: Question, people: Sequence[Person], box: tuple[Fraction, Fraction] | None = None) -> Answer:
    """Certificates/README.md 9.3, batch by batch."""
    batches: dict[str, list[Person]] = {}
    for person in people:
        batches.setdefault(person.batch, []).append(person)
    tables = {
        name: {cell: figures(question, members, cell) for cell in cells(question)} for name, members in batches.items()
    }
    results = [_row(question, row, tables) for row in rows(question)]
    below, above = _outside(question, people, box)
    verdicts = {result.verdict for result in results}
    passed = "PASS" if verdicts == {"PASS"} else "UNDECIDED"
    verdict = "FAIL" if below + above or "FAIL" in verdicts else passed
    estimate = None
    for result in results:
        if result.worst is not None and is_worse(question, result.worst, estimate):
            estimate = result.worst
    worst = {result.worst_batch for result in results} | (set(batches) if len(batches) == 1 else set())
    listed = {name: list(table.values()) for name, table in tables.items() if name in worst}
    return Answer(verdict, estimate, results, _decision_gap(question, tables), below, above, listed)


def _row(question: Question, row: Row, tables: Mapping[str, Mapping[Cell, Figures]]) -> RowResult:
    result = RowResult(row.name)
    for name, table in tables.items():
        found = [table[cell] for cell in row.cells]
        smallest = min(item.n for item in found)
        result.smallest = min(result.smallest, smallest)
        value = value_from(question, found) if smallest >= question.least else None
        if value is None:
            result.undecided += 1
            continue
        result.counted += 1
        result.failed += not holds(question, value)
        if is_worse(question, value, result.worst):
            result.worst, result.worst_batch = value, name
    if result.failed:
        result.verdict = "FAIL"
    elif result.counted and not result.undecided:
        result.verdict = "PASS"
    return result


def _outside(question: Question, people: Sequence[Person], box: tuple[Fraction, Fraction] | None) -> tuple[int, int]:
    if box is None or question.map != "served":
        return 0, 0
    low, high = box[0] - question.tau, box[1] + question.tau
    return sum(person.prediction < low for person in people), sum(person.prediction > high for person in people)


def _decision_gap(question: Question, tables: Mapping[str, Mapping[Cell, Figures]]) -> Fraction | None:
    if question.form != "difference" or question.map == "decisions" or question.metric not in PAIRS:
        return None
    found: list[Fraction] = []
    for row in rows(question):
        for table in tables.values():
            a, b = (table[cell] for cell in row.cells)
            if min(a.n, b.n) >= question.least:
                found.append(abs(Fraction(a.positives, a.n) - Fraction(b.positives, b.n)))
    return max(found, default=None)


# ---------------------------------------------------------------------------------------------------------- texts
def decimal_text(value: Fraction | None, places: int, *, up: bool) -> str | None:
    """Rounded to so many places, up or down, superfluous zeros dropped."""
    if value is None:
        return None
    scaled = value * 10**places
    whole = -((-scaled.numerator) // scaled.denominator) if up else scaled.numerator // scaled.denominator
    digits = str(abs(whole)).rjust(places + 1, "0")
    text = (digits[:-places] + "." + digits[-places:]).rstrip("0").rstrip(".")
    return "-" + text if whole < 0 else text


def rational_text(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def witness_rows(result: Answer) -> list[dict[str, Any]]:
    """`witness.rows` as the certificate writes them."""
    return [
        {
            "row": row.name,
            "counted": row.counted,
            "undecided": row.undecided,
            "failed": row.failed,
            "smallestGroup": row.smallest,
            "worstBatch": row.worst_batch,
        }
        for row in result.rows
    ]
