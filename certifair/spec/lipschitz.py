"""A Lipschitz bound as a producer proposes it: a number, and the multipliers that prove it (see `spec.chain`)."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from certifair.spec import Json

FORMAT: Final = "certifair-lipschitz/0"


@final
@dataclass(frozen=True)
class Witness:
    """bound: of |Δf| for |u| = 1; multipliers: of each curve of the chain, one for each neuron or one for tied ones.

    It proves what it proves and claims nothing: `certifair.checks._stability.networks` decides.
    Errors: ValueError for numbers that are negative or not finite.
    """

    bound: float
    multipliers: tuple[array[float], ...]

    def __post_init__(self) -> None:
        numbers = [self.bound, *(t for part in self.multipliers for t in part)]
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError("a bound or a multiplier is negative or not finite")


def witness_to_json(witness: Witness) -> Json:
    """Floats as their 8 bytes, little-endian, in base64; the bound as text, exactly."""
    parts = [base64.b64encode(_little(part).tobytes()).decode() for part in witness.multipliers]
    return {"format": FORMAT, "bound": witness.bound.hex(), "multipliers": list(parts)}


def witness_from_json(document: Any) -> Witness:
    """The inverse of `witness_to_json`. Errors: ValueError for anything that is not such a document."""
    if not isinstance(document, Mapping) or set(document) != {"format", "bound", "multipliers"}:
        raise ValueError("has not the fields of a Lipschitz witness")
    if document["format"] != FORMAT or not isinstance(document["multipliers"], list):
        raise ValueError(f"its format is not {FORMAT!r}")
    try:
        bound = float.fromhex(document["bound"])
        return Witness(bound, tuple(_unpacked(text) for text in document["multipliers"]))
    except (TypeError, OverflowError, binascii.Error) as error:
        raise ValueError(f"is no Lipschitz witness: {error}") from None


def _unpacked(text: Any) -> array[float]:
    if not isinstance(text, str):
        raise ValueError("multipliers are a text in base64")
    raw = base64.b64decode(text, validate=True)
    if len(raw) % 8:
        raise ValueError("multipliers are not a whole number of float64")
    found = array("d")
    found.frombytes(raw)
    return _little(found)


def _little(values: array[float]) -> array[float]:
    """Swapped on a big-endian machine."""
    if sys.byteorder == "little":
        return values
    swapped = array("d", values)
    swapped.byteswap()
    return swapped
