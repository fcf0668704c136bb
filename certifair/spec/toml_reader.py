"""Reads typed keys from a TOML table and refuses what is left over, naming the nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar, final

from certifair.errors import PolicyError
from certifair.exact.decimals import parse_decimal
from certifair.spec.printable import UNPRINTABLE

T = TypeVar("T")
_REQUIRED: Any = object()
LARGEST = 10**15
"""No threshold or bound of a policy is larger."""
DIGITS = 300
"""Nor has it more digits after the point."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice that names the most similar known word, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


@final
class Table:
    """One table of a policy. Each `take_*` removes a key; `finish` refuses what nobody took."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise PolicyError(f"{where} is not a table", where=where)
        self._content = dict(content)
        self._known: set[str] = set()
        self.where = where

    def error(self, key: str, what: str, advice: str = "") -> PolicyError:
        return PolicyError(f"{key} {what}", where=self.where, advice=advice)

    def missing(self, key: str, what: str) -> PolicyError:
        """The error of an absent key; a key that looks like it is probably meant."""
        similar = difflib.get_close_matches(key, self._content, n=1)
        return self.error(key, what, f"did you write {similar[0]!r} for it?" if similar else "")

    def take(self, key: str, convert: Callable[[Any], T], default: T = _REQUIRED) -> T:
        """The converted value of a key. `convert` raises ValueError with what it wanted."""
        self._known.add(key)
        if key not in self._content:
            if default is _REQUIRED:
                raise self.missing(key, "is missing")
            return default
        value = self._content.pop(key)
        try:
            return convert(value)
        except ValueError as error:
            raise self.error(key, f"= {shown(value)} is not {error}") from None

    def has(self, key: str) -> bool:
        """Whether the key was written."""
        return key in self._content

    def table(self, key: str) -> Table:
        self._known.add(key)
        return Table(self._content.pop(key, {}), f"{self.where}[{key}]")

    def tables(self, key: str) -> list[Table]:
        self._known.add(key)
        value = self._content.pop(key, [])
        if not isinstance(value, list):
            raise self.error(key, "must be written [[" + key + "]]")
        return [Table(item, f"{self.where}[[{key}]] {_label(item, number)}") for number, item in enumerate(value, 1)]

    def names(self) -> tuple[str, ...]:
        """The keys that nobody took yet, for a table of the user's own names."""
        return tuple(self._content)

    def items(self) -> list[tuple[str, Any]]:
        """All keys, for a table whose keys are the user's own names."""
        content, self._content = self._content, {}
        return list(content.items())

    def finish(self) -> None:
        for key in self._content:
            raise PolicyError(f"unknown key {key!r}", where=self.where, advice=nearest(key, self._known))


def _label(item: Any, number: int) -> str:
    return str(item["id"]) if isinstance(item, dict) and "id" in item else f"number {number}"


def shown(value: Any) -> str:
    """A value as an error names it."""
    try:
        text = str(value) if isinstance(value, Decimal) else repr(value)
    except ValueError:  # an integer of more than 4 300 digits
        text = "a huge number"
    return text if len(text) <= 80 else f"{text[:80]}…"


def text(value: Any) -> str:
    """A name: not empty, no blanks around it."""
    if not isinstance(value, str) or not value or value != value.strip():
        raise ValueError("a text without blanks around it")
    if UNPRINTABLE.search(value):
        raise ValueError("a text of printable characters")
    return value


def optional_text(value: Any) -> str | None:
    """As `text`, for keys whose default is None."""
    return text(value)


def texts(value: Any) -> tuple[str, ...]:
    """One text, or a list of different ones."""
    found = tuple(text(item) for item in ([value] if isinstance(value, str) else _list(value)))
    if not found or len(set(found)) != len(found):
        raise ValueError("a list of one or more different texts")
    return found


def group_values(value: Any) -> tuple[str, ...]:
    """Declared values: texts or integers (written as text), all different."""
    found = tuple(str(v) if _is_code(v) else text(v) for v in _list(value))
    if not found or len(set(found)) != len(found):
        raise ValueError("a list of one or more different texts or integers")
    return found


def _is_code(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list")
    return value


def flag(value: Any) -> bool:
    """True or false, not 1 or 0."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def count(value: Any) -> int:
    """A whole number that JSON can carry."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError("a whole number, 0 or more")
    return value


def positive_count(value: Any) -> int:
    """As `count`, but not 0."""
    if count(value) == 0:
        raise ValueError("a whole number, 1 or more")
    return int(value)


def decimal(value: Any) -> Fraction:
    """The number that was *written*: `0.05` is 1/20. Decimals and integers of TOML, or the same as a text."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise ValueError("a plain decimal number")
    number = Fraction(value) if isinstance(value, int) else _written(value)
    if abs(number) > LARGEST:
        raise ValueError(f"a decimal number of at most {LARGEST}")
    return number


def _written(value: str | Decimal) -> Fraction:
    """The decimal of a text, or of TOML's own notation, which may have an exponent of a reasonable size."""
    short = isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= DIGITS
    try:
        return parse_decimal(format(value, "f") if short else str(value))
    except ValueError:
        raise ValueError("a plain decimal number such as 0.05") from None


def optional_decimal(value: Any) -> Fraction | None:
    """As `decimal`, for keys whose default is None."""
    return decimal(value)


def non_negative(value: Any) -> Fraction:
    """As `decimal`, for tolerances."""
    number = decimal(value)
    if number < 0:
        raise ValueError("a decimal number, 0 or more")
    return number


def positive(value: Any) -> Fraction:
    """As `decimal`, for rates."""
    number = non_negative(value)
    if number == 0:
        raise ValueError("a decimal number above 0")
    return number


def share(value: Any) -> Fraction | None:
    """As `decimal`, from 0 to 1, for keys whose default is None."""
    return unit(value)


def unit(value: Any) -> Fraction:
    """As `decimal`, from 0 to 1."""
    number = decimal(value)
    if not 0 <= number <= 1:
        raise ValueError("a decimal number from 0 to 1")
    return number


def open_unit(value: Any) -> Fraction:
    """As `decimal`, for a confidence."""
    number = decimal(value)
    if not 0 < number <= 1 - Fraction(1, 10**12):
        raise ValueError("a decimal number between 0 and 1, with at most twelve nines")
    return number


def one_of(*words: str) -> Callable[[Any], str]:
    """A converter that knows only these words."""

    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return convert


def pair_of_texts(value: Any) -> tuple[str, str] | None:
    """From, to."""
    found: Sequence[str] = texts(value)
    if len(found) != 2:
        raise ValueError("a list of two texts")
    return found[0], found[1]
