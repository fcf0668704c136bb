"""What every output is, and the words that they share. Names and reasons come from strangers: none is trusted."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar

from certifair.gate.evaluate import GateResult, PropertyResult
from certifair.spec.verdict import Verdict

# Control characters, line separators, bidirectional marks, lone surrogates, byte-order mark and the noncharacters:
# what moves a terminal's cursor, starts a line of its own, reorders a line, or has no place in XML 1.0 (2.2 Char).
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


class Output(ABC):
    """A form of the gate's result. Pure: `render` makes a text, `deliver` writes it."""

    name: ClassVar[str]

    @abstractmethod
    def render(self, result: GateResult, policy_path: str, policy_text: str) -> str:
        """The whole text, ending with a newline unless it is empty."""


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with every unprintable character, but those in `keep`, shown as its escape.

    >>> print(printable("two\nlines\x1b[2J"))
    two\nlines\x1b[2J
    """
    return _UNPRINTABLE.sub(lambda m: m[0] if m[0] in keep else m[0].encode("unicode_escape").decode("ascii"), text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def figure(item: PropertyResult) -> str:
    """The estimate and its bounds, `0.04 [0.03, 0.05]`; empty if there is none, a question mark for one missing."""
    bounds = "" if item.lower is None and item.upper is None else f"[{item.lower or '?'}, {item.upper or '?'}]"
    return " ".join(part for part in (item.estimate or "", bounds) if part)


def worst_first(result: GateResult) -> list[PropertyResult]:
    """The properties, violations before undecided before passed, each kind in the policy's order."""
    order = [Verdict.FAIL, Verdict.UNDECIDED, Verdict.PASS]
    return sorted(result.properties, key=lambda item: order.index(item.verdict))
