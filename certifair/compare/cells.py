"""From runs to one cell for each method, data set and property: means over seeds, their intervals, the worst ends.

Two uncertainties are kept apart. How much seeds differ is the ± of a mean. What is not known of a single run are its
ends; where these are apart and the property is shown by them, the cell says "a to b" without a ±, from the least lower
to the largest upper end, rounded outwards: what is proven of each run lies within, and what holds for each run with
some confidence within its own ends does so within these. No ± is shown of a mean of equal figures, as of one: a sample
without spread tells nothing of it. A mean that leaves runs out is one of those that went well, and says so.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from certifair.compare.table import CONFIDENCE, Basis, Cell, Figure, Property, Run, Table

LARGE: Final = 1e6
"""From here on numbers are shown by four digits and an exponent."""
LONGEST: Final = 200
"""Characters of a reason in a cell; the run has all of it."""
MOST: Final = 3
"""Kinds of reasons in a cell, and seeds named for each."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
Ends = tuple[float | None, float | None]


def table_of(
    runs: Sequence[Run],
    sets: Sequence[str],
    methods: Sequence[str],
    properties: Sequence[Property],
    about: Mapping[str, str],
) -> Table:
    """One cell for each, also where there is nothing: then it says why."""
    behind: dict[tuple[str, str], list[Run]] = {(data, method): [] for data in sets for method in methods}
    for run in runs:
        behind.setdefault((run.data, run.method), []).append(run)
    cells = [
        cell_of(data, method, item, behind[data, method]) for data in sets for method in methods for item in properties
    ]
    return Table(sets, methods, properties, cells, runs, about)


def cell_of(data: str, method: str, item: Property, runs: Sequence[Run]) -> Cell:
    """Of these runs, all of this method on this data set."""
    figures = [run.figure(item.name) for run in runs]
    known = [figure for figure in figures if _is_known(figure)]
    values = [figure.value for figure in known if figure.value is not None]
    mean, half = (statistics.mean(values) if values else None), half_width(values)
    ends, basis = _worst(known), _basis(item, known)
    shown = ends if item.ends and ends != (None, None) and _apart(known, item.digits) else None
    return Cell(
        data=data,
        method=method,
        property=item.name,
        n=len(known),
        mean=mean,
        half=half,
        lower=ends[0],
        upper=ends[1],
        basis=basis,
        rank=_rank(item, mean, shown),
        text=_text(item, values, half, shown, len(runs)) if values else _nothing(figures, runs),
        reason="; ".join(_reasons(figures, runs, "" if basis == item.basis else "measured, no claim")),
        cautious=any(run.caution for run in runs),
        runs=tuple(run.folder for run in runs),
    )


def half_width(values: Sequence[float]) -> float | None:
    """Of the t-interval of the mean; None for fewer than two values, or where it is beyond all numbers.

    The mean of n independent normal values lies within t·s/√n of what is expected, with this confidence.
    """
    if len(values) < 2:
        return None
    from scipy.stats import t

    spread = statistics.stdev(values) / math.sqrt(len(values))
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread
    return half if math.isfinite(half) else None


def _is_known(figure: Figure) -> bool:
    """What is infinite or not a number is no figure: no mean can be taken of it."""
    return figure.value is not None and math.isfinite(figure.value)


def _basis(item: Property, known: Sequence[Figure]) -> Basis:
    """The weakest over the runs: a figure without a claim is measured, whatever others of its column are."""
    return "measured" if any(figure.claim is None for figure in known) else item.basis


def _worst(known: Sequence[Figure]) -> Ends:
    """The least lower and the largest upper end, None where any run has none."""
    lower = [None if figure.lower is None else float(figure.lower) for figure in known]
    upper = [None if figure.upper is None else float(figure.upper) for figure in known]
    return (
        min((end for end in lower if end is not None), default=None) if None not in lower else None,
        max((end for end in upper if end is not None), default=None) if None not in upper else None,
    )


def _apart(known: Sequence[Figure], digits: int) -> bool:
    """Whether any run's ends are, to the digits shown; one that is not known is."""
    return any(
        figure.lower is None or figure.upper is None or float(figure.upper) - float(figure.lower) > 0.5 * 10.0**-digits
        for figure in known
    )


def _rank(item: Property, mean: float | None, shown: Ends | None) -> float | None:
    """The mean, or of ends that are shown the one on the bad side: what is not decided is not to anybody's credit."""
    if shown is None or not item.better:
        return mean
    return shown[0] if item.better == "higher" else shown[1]


def _text(item: Property, values: Sequence[float], half: float | None, shown: Ends | None, runs: int) -> str:
    """shown: ends in place of the mean. runs: how many, with those that have no figure."""
    part = f"{len(values)} of {runs} runs" if len(values) < runs else ""
    if shown is not None:
        text = _between(shown, item.digits)
    else:
        text = rounded(statistics.mean(values), item.digits, ROUND_HALF_EVEN)
        if half:
            text += f" ± {rounded(half, item.digits, ROUND_CEILING)}"
        elif len(values) > 1 and len(set(values)) == 1:
            part = f"same in {part or f'{runs} runs'}"
    return " ".join(filter(None, [text, item.unit, part and f"({part})"]))


def _between(ends: Ends, digits: int) -> str:
    """Rounded outwards: what is shown is never more than what is known."""
    lower, upper = ends
    low = "" if lower is None else rounded(lower, digits, ROUND_FLOOR)
    high = "" if upper is None else rounded(upper, digits, ROUND_CEILING)
    if low and high:
        return low if low == high else f"{low} to {high}"
    return f"at least {low}" if low else f"at most {high}"


def rounded(value: float, digits: int, rounding: str) -> str:
    """A finite number with so many digits after its point, or four digits in all where it is large."""
    exact = Decimal(repr(float(value)))
    if abs(value) >= LARGE:
        return f"{Context(prec=4, rounding=rounding).create_decimal(exact):.3e}"
    return f"{exact.quantize(Decimal(1).scaleb(-digits), context=Context(prec=400, rounding=rounding)):f}"


def _nothing(figures: Sequence[Figure], runs: Sequence[Run]) -> str:
    """What a cell without a figure says."""
    words = dict.fromkeys(_lack(figure, run) for figure, run in zip(figures, runs, strict=True))
    return ", ".join(words) or "not run"


def _lack(figure: Figure, run: Run) -> str:
    if run.status != "done":
        return run.status
    if figure.value is not None:
        return "not finite"
    if figure.verdict == "measured":
        return "undefined"
    return "undecided" if figure.claim is not None else "not claimed"


def _reasons(figures: Sequence[Figure], runs: Sequence[Run], note: str) -> Iterator[str]:
    """What to know of the cell, each reason once, with its seeds where it is not that of all.

    Reasons that differ in numbers only are told once, with the first one's: no solver stops at one time twice.
    """
    known = sum(map(_is_known, figures))
    if 0 < known < len(figures):
        yield f"from {known} of {len(figures)} runs only: those left out might have been better or worse"
    if note:
        yield note
    same: dict[str, list[tuple[int, str]]] = {}
    for figure, run in zip(figures, runs, strict=True):
        if text := _why(figure, run):
            same.setdefault(_NUMBER.sub("#", text), []).append((run.seed, text))
    for said in list(same.values())[:MOST]:
        yield _told(said, of_all=len(said) == len(runs))
    if len(same) > MOST:
        yield f"and {len(same) - MOST} other reasons"


def _why(figure: Figure, run: Run) -> str:
    if run.status != "done":
        return f"{run.status}: {run.reason}" if run.reason else run.status
    if figure.value is not None and not math.isfinite(figure.value):
        return f"the figure is {figure.value}, which no mean can be taken of"
    if figure.value is None and not figure.reason and figure.claim is None:
        return "the run's policy claims nothing of it"
    return "; ".join(filter(None, [run.caution, figure.reason]))


def _told(said: Sequence[tuple[int, str]], *, of_all: bool) -> str:
    """One reason, by its first text; said: seeds and texts."""
    text = said[0][1]
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    if any(other != said[0][1] for _, other in said):
        text += f" (numbers of seed {said[0][0]})"
    if of_all:
        return text
    seeds = ", ".join(str(seed) for seed, _ in said[:MOST])
    more = f" and {len(said) - MOST} more" if len(said) > MOST else ""
    return f"{'seed' if len(said) == 1 else 'seeds'} {seeds}{more}: {text}"
