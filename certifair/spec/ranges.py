"""What each column that a network reads may be: the policy's `[domain]`, and the domain of an individual claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

from certifair.exact.decimals import format_decimal, parse_decimal
from certifair.spec import Json


@final
@dataclass(frozen=True)
class Range:
    """One column: an integer or continuous (low ≤ high) number, a category (one of its values), or just a number, of
    which nobody has declared the range. eps > 0: relaxed, it may move by ±eps.
    """

    column: str
    kind: str
    low: Fraction | None = None
    high: Fraction | None = None
    values: tuple[str, ...] = ()
    eps: Fraction = Fraction(0)

    def to_json(self) -> Json:
        """A member of a claim's `domain` (certificates/README.md 9.11)."""
        return {
            "column": self.column,
            "kind": self.kind,
            "low": None if self.low is None else format_decimal(self.low),
            "high": None if self.high is None else format_decimal(self.high),
            "values": list(self.values),
            "eps": format_decimal(self.eps),
        }

    @staticmethod
    def from_json(item: Mapping[str, Any]) -> Range:
        """Inverse of `to_json`, for what matches the schema."""
        low, high = (None if item[key] is None else parse_decimal(item[key]) for key in ("low", "high"))
        return Range(item["column"], item["kind"], low, high, tuple(item["values"]), parse_decimal(item["eps"]))
