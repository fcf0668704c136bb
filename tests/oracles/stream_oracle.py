"""A stream's figures, slowly and obviously: everybody again for every collection, rationals, one float step at a time.

Written from certificates/README.md 9.10 and 12.4; shares no code with the package. Standard library only. What 9.3 says
of a collection of people is metric_oracle's to answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from tests.oracles import metric_oracle as metric
from tests.oracles.metric_oracle import Answer, Person, Question, Row, decimal_text


class InterleavedError(ValueError):
    """A batch that goes on after another one began."""


# ------------------------------------------------------------------------------------- pooled, moments and windows
def batches_of(people: Sequence[Person]) -> dict[str, list[Person]]:
    """The people of each batch, in order."""
    found: dict[str, list[Person]] = {}
    last = None
    for person in people:
        if person.batch != last and person.batch in found:
            raise InterleavedError(person.batch)
        last = person.batch
        found.setdefault(last, []).append(person)
    return found


def collections(form: str, people: Sequence[Person], span: int | None = None) -> dict[str, list[Person]]:
    """The people of each collection, by its last batch."""
    batches = list(batches_of(people).items())
    if form == "pooled" or span is None or span > len(people):
        return {batches[-1][0]: list(people)}
    found = {}
    for t, (name, _) in enumerate(batches):
        first = 0 if form == "moment" else t
        while first > 0 and _people(batches[first : t + 1]) < span:
            first -= 1
        if _people(batches[first : t + 1]) >= span:
            found[name] = [person for _, members in batches[first : t + 1] for person in members]
    return found


def _people(batches: Sequence[tuple[str, list[Person]]]) -> int:
    return sum(len(members) for _, members in batches)


def answer(question: Question, form: str, people: Sequence[Person], span: int | None = None) -> Answer:
    """What a claim of form pooled, moment or window comes to: its collections stand for the batches of 9.3."""
    collected = collections(form, people, span)
    moved = [replace(person, batch=name) for name, members in collected.items() for person in members]
    found = metric.answer(question, moved)
    if span is not None and span > len(people):
        for row in found.rows:
            row.verdict = "UNDECIDED" if row.verdict == "PASS" else row.verdict
        found.verdict = "UNDECIDED" if found.verdict == "PASS" else found.verdict
    return found


# ------------------------------------------------------------------------------------------------ averages, skipped
@dataclass(frozen=True)
class Average:
    """One row over the batches that hold somebody of each of its cells; `total` = Σ people × difference."""

    row: str
    counted: int
    people: int
    total: Fraction
    gaps: tuple[Fraction | None, ...]
    """In every batch, None where the row does not count."""

    @property
    def value(self) -> Fraction | None:
        return self.total / self.people if self.counted else None


def averages(question: Question, people: Sequence[Person]) -> list[Average]:
    """Of every row."""
    batches = list(batches_of(people).values())
    found = []
    for row in metric.rows(question):
        gaps = tuple(gap_of(question, row, members) for members in batches)
        pairs = [(len(members), gap) for members, gap in zip(batches, gaps, strict=True) if gap is not None]
        total = sum((b * gap for b, gap in pairs), Fraction(0))
        found.append(Average(row.name, len(pairs), sum(b for b, _ in pairs), total, gaps))
    return found


def gap_of(question: Question, row: Row, people: Sequence[Person]) -> Fraction | None:
    """|mean(a) − mean(b)| of a batch; None without anybody in one of the cells."""
    found = [metric.figures(question, people, cell) for cell in row.cells]
    if any(item.n == 0 for item in found):
        return None
    a, b = (item.total / item.n for item in found)
    return abs(a - b)


def skipped(question: Question, people: Sequence[Person]) -> list[dict[str, Any]]:
    """`witness.rows` of form `skipped`."""
    total = len(batches_of(people))
    return [
        {"row": row.row, "batches": total - row.counted, "people": len(people) - row.people}
        for row in averages(question, people)
    ]


# ------------------------------------------------------------------------------------------------------- dual steps
@dataclass(frozen=True)
class Record:
    """What the log says of one person in the columns of the algorithm."""

    person: Person
    step: int
    eta: float
    multipliers: tuple[float, ...]


@dataclass(frozen=True)
class Steps:
    """`wrong`: the batches that do not follow from the one before, in order. `multipliers` (K, T + 1), computed."""

    wrong: list[str]
    rows: list[Average]
    eta: list[float]
    multipliers: list[list[float]]


def question_of(algorithm: Mapping[str, Any]) -> Question:
    """The rows of a header's algorithm, over what was served."""
    return Question(
        metric=algorithm["metric"],
        features=tuple(algorithm["sensitiveFeatures"]),
        declared=algorithm["values"],
        threshold=Fraction(algorithm["epsilon"]),
        intersectional=algorithm["intersectional"],
        condition=algorithm["condition"],
    )


def nearest(value: Fraction) -> float:
    """The float64 nearest to it, ties to even; infinite where rounding would go beyond the largest."""
    largest = Fraction((2**53 - 1) * 2**971)
    if abs(value) >= largest + Fraction(2**970):
        return math.inf if value > 0 else -math.inf
    found = float(value)
    around = [found, math.nextafter(found, -math.inf), math.nextafter(found, math.inf)]
    return min((x for x in around if math.isfinite(x)), key=lambda x: (abs(Fraction(x) - value), _is_odd(x)))


def _is_odd(value: float) -> bool:
    mantissa = abs(Fraction(value)) / Fraction(2) ** max(math.frexp(value)[1] - 53, -1074)
    return mantissa.numerator % 2 == 1


def steps(algorithm: Mapping[str, Any], records: Sequence[Record]) -> Steps:
    """12.4, batch by batch, each from the logged one before."""
    epsilon, eta0 = nearest(Fraction(algorithm["epsilon"])), nearest(Fraction(algorithm["eta0"]))
    batches = batches_of([record.person for record in records])
    rows = averages(question_of(algorithm), [record.person for record in records])
    step = algorithm["start"]["step"] + 1
    lambdas = [float.fromhex(text) for text in algorithm["start"]["multipliers"]]
    computed = [[value] for value in lambdas]
    wrong, etas, at = [], [], 0
    for t, (name, members) in enumerate(batches.items()):
        logged = records[at : at + len(members)]
        at += len(members)
        said = {(record.step, record.eta, record.multipliers) for record in logged}
        first = logged[0]
        follows = first.step == step and first.eta == eta0 / math.sqrt(float(max(first.step, 1)))
        if len(said) > 1 or not follows or list(first.multipliers) != lambdas:
            wrong.append(name)
        etas.append(first.eta)
        lambdas = [
            after(value, first.eta, len(members), row.gaps[t], epsilon)
            for value, row in zip(first.multipliers, rows, strict=True)
        ]
        for line, value in zip(computed, lambdas, strict=True):
            line.append(value)
        step = first.step + (1 if any(row.gaps[t] is not None for row in rows) else 0)
    return Steps(wrong, rows, etas, computed)


def after(multiplier: float, eta: float, people: int, gap: Fraction | None, epsilon: float) -> float:
    """The multiplier of the next batch; `skip`: one that does not count stays."""
    if gap is None:
        return multiplier
    weighted = float(people) * (nearest(gap) - epsilon)
    moved = multiplier + eta * weighted
    return moved if moved > 0.0 else 0.0


# ------------------------------------------------------------------------------------------------------------ bound
PROMISED = ("last", "eta", "rounding", "promise", "prior")


def bound(algorithm: Mapping[str, Any], records: Sequence[Record]) -> list[dict[str, Any]]:
    """`witness.rows` of form `bound`, but for `lower` and `upper`, which may lie further apart than need be."""
    found = steps(algorithm, records)
    scores = [record.person.score for record in records]
    sizes = [len(members) for members in batches_of([record.person for record in records]).values()]
    rows = []
    for k, row in enumerate(found.rows):
        promised: dict[str, str | None] = dict.fromkeys(PROMISED)
        if row.counted and not found.wrong and math.isfinite(found.multipliers[k][-1]):
            promised = _promised(algorithm, found, k, sizes)
        if promised["promise"] is not None and len(found.rows) == 1:
            promised["prior"] = _prior(algorithm, found, sizes, scores, Fraction(promised["rounding"] or 0))
        rows.append({"row": row.row, "counted": row.counted, "people": row.people, **promised})
    return rows


def _promised(algorithm: Mapping[str, Any], found: Steps, k: int, sizes: Sequence[int]) -> dict[str, str | None]:
    epsilon, row, line = Fraction(algorithm["epsilon"]), found.rows[k], found.multipliers[k]
    counted = [t for t, gap in enumerate(row.gaps) if gap is not None]
    last = decimal_text(Fraction(line[-1]), 12, up=True)
    eta = decimal_text(Fraction(found.eta[counted[-1]]), 12, up=False)
    assert last is not None
    assert eta is not None
    if Fraction(eta) == 0:
        return dict.fromkeys(PROMISED)
    total = Fraction(0)
    for t in counted:
        gap = row.gaps[t]
        assert gap is not None
        moved = Fraction(line[t + 1]) - Fraction(line[t])
        total += max(Fraction(0), sizes[t] * (gap - epsilon) - moved / Fraction(found.eta[t]))
    rounding = decimal_text(total, 12, up=True)
    assert rounding is not None
    promise = epsilon + (Fraction(last) / Fraction(eta) + Fraction(rounding)) / row.people
    return {
        "last": last,
        "eta": eta,
        "rounding": rounding,
        "promise": decimal_text(promise, 12, up=True),
        "prior": None,
    }


def _prior(
    algorithm: Mapping[str, Any],
    found: Steps,
    sizes: Sequence[int],
    scores: Sequence[Fraction | None],
    rounding: Fraction,
) -> str | None:
    lower, upper, eta0 = (Fraction(algorithm[key]) for key in ("lower", "upper", "eta0"))
    if any(score is None or not lower <= score <= upper for score in scores):
        return None
    epsilon, row, line = Fraction(algorithm["epsilon"]), found.rows[0], found.multipliers[0]
    counted = [t for t, gap in enumerate(row.gaps) if gap is not None]
    width, most = upper - lower, max(sizes[t] for t in counted)
    largest = max(Fraction(line[0]), width / 2, eta0 * most * (width - epsilon)) * (1 + Fraction(1, 10**9))
    if any(Fraction(value) > largest for value in line):
        return None
    return decimal_text(epsilon + (largest / Fraction(found.eta[counted[-1]]) + rounding) / row.people, 12, up=True)
