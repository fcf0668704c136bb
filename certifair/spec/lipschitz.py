"""A Lipschitz bound as a producer proposes it: a number, and the multipliers that prove it (see `spec.chain`).

With it, if the producer has one, a pair of inputs whose outputs are far apart: no bound can be smaller than its ratio.
"""

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
Pair = tuple["array[float]", "array[float]"]
"""Two persons' inputs."""


@final
@dataclass(frozen=True)
class Witness:
    """bound: of |Δf| for |u| = 1; multipliers: of each curve of the chain, one for each neuron or one for tied ones.

    It proves what it proves and claims nothing: `certifair.checks._stability.networks` decides. So a pair alone comes
    with a bound of 0 and no multipliers.
    Errors: ValueError for numbers that are not finite, a negative bound or multiplier, or a pair of unequal lengths.
    """

    bound: float
    multipliers: tuple[array[float], ...]
    pair: Pair | None = None

    def __post_init__(self) -> None:
        numbers = [self.bound, *(t for part in self.multipliers for t in part)]
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError("a bound or a multiplier is negative or not finite")
        first, second = self.pair or (array("d"), array("d"))
        if len(first) != len(second) or not all(map(math.isfinite, (*first, *second))):
            raise ValueError("the points of the pair are of unequal lengths or not finite")


def witness_to_json(witness: Witness) -> Json:
    """Floats as their 8 bytes, little-endian, in base64; the bound as text, exactly."""
    return {
        "format": FORMAT,
        "bound": witness.bound.hex(),
        "multipliers": [_packed(part) for part in witness.multipliers],
        "pair": None if witness.pair is None else [_packed(point) for point in witness.pair],
    }


def witness_from_json(document: Any) -> Witness:
    """The inverse of `witness_to_json`. Errors: ValueError for anything that is not such a document."""
    if not isinstance(document, Mapping) or set(document) != {"format", "bound", "multipliers", "pair"}:
        raise ValueError("has not the fields of a Lipschitz witness")
    if document["format"] != FORMAT or not isinstance(document["multipliers"], list):
        raise ValueError(f"its format is not {FORMAT!r}")
    try:
        bound = float.fromhex(document["bound"])
        return Witness(bound, tuple(_unpacked(text) for text in document["multipliers"]), _pair(document["pair"]))
    except (TypeError, OverflowError, binascii.Error) as error:
        raise ValueError(f"is no Lipschitz witness: {error}") from None


def _pair(document: Any) -> Pair | None:
    if document is None:
        return None
    if not isinstance(document, list) or len(document) != 2:
        raise ValueError("its pair is neither null nor two points")
    return _unpacked(document[0]), _unpacked(document[1])


def _packed(values: array[float]) -> str:
    return base64.b64encode(_little(values).tobytes()).decode()


def _unpacked(text: Any) -> array[float]:
    if not isinstance(text, str):
        raise ValueError("float64 are a text in base64")
    raw = base64.b64decode(text, validate=True)
    if len(raw) % 8:
        raise ValueError("a text in base64 is no whole number of float64")
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
