"""Aggregate: the difference between two groups' means over everybody served, at every moment, in every window.

Why a PASS is true: as for feasibility (its rules judge these claims), with other collections of people than batches.
That a collection is a run of consecutive batches, and which ones there are, follows from the order of the rows and the
batch of each, nothing else; their sums are differences of exact running totals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, final

from certifair.checks.base import AS_IT_STANDS, Check, Context, Judgement, Measured, require
from certifair.checks.feasibility import COLLECTED, check_witness, has_decision_gap, judge_witness
from certifair.spec import Json
from certifair.spec.terms import Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

IN_ORDER = "the rows of the evidence stand in the order in which people were served"


@final
class Aggregate(Check):
    """Claims about collections of people that consecutive batches make up."""

    kind = "aggregate"
    forms = COLLECTED

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        return (AS_IT_STANDS,) if terms.form == "pooled" else (AS_IT_STANDS, IN_ORDER)

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _tally

        return _tally.measure(terms, evidence)

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.10."""
        check_witness(terms, witness, context.n)
        batches = witness["batches"]
        require(witness["bounds"] is None, "a claim about a stream has no box")
        require(terms.form != "pooled" or batches["total"] == 1, "everybody is one collection")
        require(terms.span is None or terms.span <= context.n or batches["total"] == 1, "too few people for two")
        for entry in batches["listed"]:
            _check_collection(terms, entry["cells"], context.n)

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        found = judge_witness(terms, witness, context.n)
        if terms.span is None or terms.span <= context.n or not found.verdict:
            return found
        rows = tuple(row._replace(verdict=Verdict.UNDECIDED) if row.verdict else row for row in found.rows)
        reason = f"there are {context.n} people, and never {terms.span}"
        return replace(found, verdict=Verdict.UNDECIDED, rows=rows, reason=reason)

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return has_decision_gap(terms) and witness["batches"]["total"] > 1

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        return bool(claimed == measured)


def _check_collection(terms: Terms, cells: list[Json], n: int) -> None:
    """Every partition splits the same people, of whom there are enough."""
    people = [
        sum(cell["n"] for cell in cells if cell["partition"] == partition) for partition in range(len(terms.partitions))
    ]
    require(len(set(people)) == 1, "partitions split different people")
    require(terms.span is None or people[0] >= min(terms.span, n), "a collection of too few people")
