"""Three verdicts. Only PASS is truthy: what was not checked never passes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import final


@final
class Verdict(Enum):
    """The outcome of a check, of a claim, or of a gate."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"

    def __bool__(self) -> bool:
        return self is Verdict.PASS

    @property
    def exit_code(self) -> int:
        """0 pass, 1 a proven violation, 3 undecided (the command line's contract)."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNDECIDED: 3}[self]

    @staticmethod
    def all(verdicts: Iterable[Verdict]) -> Verdict:
        """The conjunction: one FAIL fails, else one UNDECIDED (or nothing at all) is UNDECIDED.

        >>> Verdict.all([]).name, Verdict.all([Verdict.PASS, Verdict.UNDECIDED]).name
        ('UNDECIDED', 'UNDECIDED')
        """
        seen = set(verdicts)
        if Verdict.FAIL in seen:
            return Verdict.FAIL
        return Verdict.PASS if seen == {Verdict.PASS} else Verdict.UNDECIDED
