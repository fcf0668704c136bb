"""History: the log as such. It is whole (`chain`), and its dual steps follow from what was served (`steps`).

Why a PASS of `chain` is true: the head, which the certificate commits to, is computed from all records, each segment's
Merkle root and link in their order (certificates/README.md 12.2); no other sequence of records has it unless SHA-256
collides. A log that breaks a rule of 12 is refused before any claim is made, and the rest of the evidence is compared
with its records one by one.

Why a PASS of `steps` is true: every multiplier of every batch is computed again from the one before and from the exact
sums of the predictions, with the operations of 12.4, which IEEE 754 defines to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from certifair.checks.base import Check, Context, Judgement, Measured, require
from certifair.spec import Json
from certifair.spec.terms import LOG_FORMS, Terms
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence


@final
class History(Check):
    """Claims that nothing in a log was changed, and that nothing was made up."""

    kind = "aggregate"
    forms = LOG_FORMS

    def assumptions(self, terms: Terms) -> tuple[str, ...]:
        if terms.form == "steps":
            return ("the algorithm is the one that the log's header describes",)
        return ("SHA-256 is free of collisions", "the records were true when they were written")

    def measure(self, terms: Terms, evidence: Evidence, context: Context) -> Measured:
        from certifair.checks import _history

        return Measured(_history.measure(terms, evidence), {})

    def consistent(self, terms: Terms, witness: Json, context: Context) -> None:
        """Steps of certificates/README.md 9.10."""
        require(terms.condition_on is None and not terms.conditions, "a log has no condition")
        require(not terms.intersectional and terms.min_group_size == 1, "a log as such has no groups")
        require(terms.threshold == terms.tau == terms.decision_threshold == 0, "a log as such has no threshold")
        if terms.form == "chain":
            require(witness["segments"] <= witness["records"] == context.n, "other records than people")
            return
        faults = witness["faults"]
        require((witness["first"] is None) == (faults == 0), "a first fault of none, or none of some")
        require(faults <= witness["batches"] <= context.n, "more batches than people, or more faults than batches")

    def judge(self, terms: Terms, witness: Json, context: Context) -> Judgement:
        if terms.form == "chain" or not witness["faults"]:
            return Judgement(Verdict.PASS, "", sample_size=context.n)
        first, more = witness["first"], witness["faults"] - 1
        reason = f"batch {first['batch']}: {first['what']}" + (f" (and {more} more batches)" if more else "")
        return Judgement(Verdict.FAIL, reason, sample_size=context.n)

    def needed(self, terms: Terms, witness: Json, context: Context) -> int | None:
        return None

    def gap_needs_evidence(self, terms: Terms, witness: Json) -> bool:
        return False

    def contains(self, terms: Terms, claimed: Json, measured: Json, evidence: Evidence) -> bool:
        return bool(claimed == measured)
