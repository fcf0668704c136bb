"""What an audit of the layer's derivative found: see `gradient_audit`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction
from typing import Final, final

from certifair.evidence.bundle import GRADIENTS
from certifair.exact.decimals import round_down, round_up
from certifair.spec import Json

PLACES: Final = 24
"""Digits after the point: errors in float64 are around 10⁻¹⁷."""


@final
@dataclass(frozen=True)
class Comparison:
    """With cvxpylayers, on `people` of the batch. `difference` is None where there is none, for the `reason`."""

    people: int = 0
    difference: Fraction | None = None
    tolerance: str = ""
    reason: str = ""


@final
@dataclass(frozen=True)
class BatchAudit:
    """The batch of this index in its epoch: `rows` are demanded, `active` of them have a multiplier.

    `clipped` people are served an end of the box. `step`: the least |e|; `delta`, `difference`, `bound`: the largest
    over the `directions` that could be audited, None if none could. `kink`: how many could not, and why, or "".
    """

    batch: int
    people: int
    rows: int = 0
    active: int = 0
    clipped: int = 0
    directions: int = 0
    step: Fraction | None = None
    delta: Fraction | None = None
    difference: Fraction | None = None
    bound: Fraction | None = None
    kink: str = ""
    cvxpylayers: Comparison = Comparison()

    def to_json(self) -> Json:
        """Every number that is not whole as a decimal text, bounds rounded upwards and the step downwards."""
        other = self.cvxpylayers
        return {
            "batch": self.batch,
            "people": self.people,
            "rows": self.rows,
            "active": self.active,
            "clipped": self.clipped,
            "directions": self.directions,
            "step": None if self.step is None else round_down(self.step, PLACES),
            "delta": _text(self.delta),
            "difference": _text(self.difference),
            "bound": _text(self.bound),
            "kink": self.kink or None,
            "cvxpylayers": {
                "people": other.people,
                "difference": _text(other.difference),
                "tolerance": other.tolerance or None,
                "reason": other.reason or None,
            },
        }


@final
@dataclass(frozen=True)
class GradientAudit:
    """All batches audited; `dtype` is that of the network, in which the layer's derivative is passed on."""

    seed: int
    dtype: str
    batches: tuple[BatchAudit, ...]

    @property
    def bound(self) -> Fraction | None:
        """The largest proven error, None if there is none."""
        return max((item.bound for item in self.batches if item.bound is not None), default=None)

    @property
    def compared(self) -> Fraction | None:
        """The largest difference to cvxpylayers, None if there is none."""
        found = (item.cvxpylayers.difference for item in self.batches)
        return max((value for value in found if value is not None), default=None)

    def to_json(self) -> Json:
        """What the bundle's training/gradients.json holds."""
        return {
            "format": GRADIENTS,
            "seed": self.seed,
            "dtype": self.dtype,
            "batches": [item.to_json() for item in self.batches],
        }

    def summary(self) -> str:
        """One line for people."""
        count = sum(item.bound is not None for item in self.batches)
        text = f"gradients: {count} {'batch' if count == 1 else 'batches'} audited"
        if self.bound is not None:
            text += f", error at most {_shown(self.bound)} (proven)"
        if self.compared is not None:
            text += f", cvxpylayers within {_shown(self.compared)}"
        kinks = [item.kink for item in self.batches if item.kink]
        others = [item.cvxpylayers.reason for item in self.batches if item.cvxpylayers.reason]
        text += f"; {len(kinks)} not or partly audited ({kinks[0]})" if kinks else ""
        return text + (f"; {len(others)} not compared with cvxpylayers ({others[0]})" if others else "")


def _text(value: Fraction | None) -> str | None:
    return None if value is None else round_up(value, PLACES)


def _shown(value: Fraction) -> str:
    """Two digits, rounded upwards, of what is recorded."""
    with localcontext(prec=2, rounding=ROUND_CEILING):
        return f"{+Decimal(round_up(value, PLACES)):.1e}"
