"""What every output is, and the words that they share. Names and reasons come from strangers: none is trusted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from certifair.gate.evaluate import GateResult, PropertyResult
from certifair.spec.printable import printable
from certifair.spec.verdict import Verdict

__all__ = ["Output", "figure", "printable", "shorten", "worst_first"]


class Output(ABC):
    """A form of the gate's result. Pure: `render` makes a text, `deliver` writes it."""

    name: ClassVar[str]

    @abstractmethod
    def render(self, result: GateResult, policy_path: str, policy_text: str) -> str:
        """The whole text, ending with a newline unless it is empty."""


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
