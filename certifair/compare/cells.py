"""From runs to one cell for each method, data set and property: means over seeds, their intervals, the worst ends."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from certifair.compare.table import CONFIDENCE, Cell, Figure, Property, Run, Table

ENDS = ("population_gap", "flip_rows", "flip_domain")
"""Properties that are shown by their ends where these are apart."""


def table_of(
    runs: Sequence[Run],
    sets: Sequence[str],
    methods: Sequence[str],
    properties: Sequence[Property],
    about: Mapping[str, str],
) -> Table:
    """One cell for each, also where there is nothing: then it says why."""
    cells = [
        _cell(data, method, item, [run for run in runs if (run.data, run.method) == (data, method)])
        for data in sets
        for method in methods
        for item in properties
    ]
    return Table(sets, methods, properties, cells, runs, about)


def _cell(data: str, method: str, item: Property, runs: Sequence[Run]) -> Cell:
    figures = [next(figure for figure in run.figures if figure.property == item.name) for run in runs]
    values = [figure.value for figure in figures if figure.value is not None]
    mean = statistics.fmean(values) if values else None
    half = half_width(values)
    lower, upper = _worst(figures)
    return Cell(
        data=data,
        method=method,
        property=item.name,
        n=len(values),
        mean=mean,
        half=half,
        lower=lower,
        upper=upper,
        text=_text(item, figures, runs, mean, half),
        reason="; ".join(dict.fromkeys(_reasons(figures, runs))),
        runs=tuple(run.folder for run in runs),
    )


def half_width(values: Sequence[float]) -> float | None:
    """Of the t-interval of the mean; None for fewer than two values.

    The mean of n independent normal values lies within t·s/√n of what is expected, with this confidence.
    """
    if len(values) < 2:
        return None
    from scipy.stats import t

    spread = statistics.stdev(values) / math.sqrt(len(values))
    return float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread


def _worst(figures: Sequence[Figure]) -> tuple[float | None, float | None]:
    """The least lower and the largest upper end, None where any run has none."""
    known = [figure for figure in figures if figure.value is not None]
    lower = [figure.lower for figure in known]
    upper = [figure.upper for figure in known]
    return (
        min(float(end) for end in lower if end is not None) if lower and None not in lower else None,
        max(float(end) for end in upper if end is not None) if upper and None not in upper else None,
    )


def _text(
    item: Property, figures: Sequence[Figure], runs: Sequence[Run], mean: float | None, half: float | None
) -> str:
    if mean is None:
        words = dict.fromkeys(run.status if run.status != "done" else "not claimed" for run in runs)
        return ", ".join(words) or "not run"
    ends = _mean_ends(figures) if item.name in ENDS else None
    if ends is not None and ends[1] - ends[0] > 10.0**-item.digits:
        text = f"{ends[0]:.{item.digits}f} to {ends[1]:.{item.digits}f}"
    elif half is None:
        text = f"{mean:.{item.digits}f}"
    else:
        text = f"{mean:.{item.digits}f} ± {half:.{item.digits}f}"
    known = sum(figure.value is not None for figure in figures)
    part = "" if known == len(figures) else f" ({known} of {len(figures)} runs)"
    return text + (f" {item.unit}" if item.unit else "") + part


def _mean_ends(figures: Sequence[Figure]) -> tuple[float, float] | None:
    pairs = [(figure.lower, figure.upper) for figure in figures if figure.value is not None]
    if any(low is None or high is None for low, high in pairs):
        return None
    return statistics.fmean(float(low or 0) for low, _ in pairs), statistics.fmean(
        float(high or 0) for _, high in pairs
    )


def _reasons(figures: Sequence[Figure], runs: Sequence[Run]) -> Iterator[str]:
    for figure, run in zip(figures, runs, strict=True):
        if run.status != "done":
            yield f"{run.status}: {run.reason}"
        elif figure.reason:
            yield figure.reason
