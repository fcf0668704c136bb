"""The picture of a comparison: methods in the plane of two properties, and shares that were proved of them.

Returns the bytes of a PNG, the same for the same numbers: no display, no global state, no date. Needs matplotlib, the
extra `report`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.errors import InputError
from certifair.report.plots import COLOURS
from certifair.spec.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h", "d")
"""As many as there are methods before a pair of colour and marker comes again: 8 × 13."""
UNFAIR, OPEN, FAIR = COLOURS[1], "#E3E3E3", COLOURS[4]
"""Told apart by colour-blind people, and in print without colours by their lightness."""
_GREY = "#666666"
_NAME = 34
_WIDTH, _LINE = 8.0, 0.23  # inches


@final
@dataclass(frozen=True)
class Spot:
    """One method in the plane. dx, dy: half its intervals. x or y None: `text` stands in its place, beside the name."""

    name: str
    x: float | None
    y: float | None
    dx: float = 0.0
    dy: float = 0.0
    text: str = ""

    @property
    def drawn(self) -> bool:
        """Whether it has a place in the plane."""
        return all(value is not None and abs(value) < 1e300 for value in (self.x, self.y))


@final
@dataclass(frozen=True)
class Shares:
    """What was proved of one method: `falsified` and `certified` of all, the rest undecided. None: `text` says why."""

    name: str
    falsified: float | None
    certified: float | None
    text: str = ""


def plot_comparison(
    title: str, axes: tuple[str, str], spots: Sequence[Spot], shares: Mapping[str, Sequence[Shares]]
) -> bytes:
    """Above, the spots in the plane of `axes` (x, y); below, a panel of bars for each of `shares`, by title.

    Either may be empty. The panels of bars have the same methods in the same order. Raises InputError if nothing can be
    drawn.
    """
    rows = max((len(part) for part in shares.values()), default=0)
    heights = [max(3.2, 0.6 + _LINE * len(spots))] * bool(spots) + [1.2 + _LINE * rows] * bool(rows)
    if not heights:
        raise InputError("there is nothing to draw", advice="leave the picture out")
    figure = _figure(sum(heights))
    figure.suptitle(_plain(title), fontsize=12)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel().tolist()
    if spots:
        _plane(parts[0], axes, spots)
    if rows:
        _bars(parts[-1], shares)
    return _save(figure)


def _plane(part: SubFigure, titles: tuple[str, str], spots: Sequence[Spot]) -> None:
    """Names stand in a column beside the plane, each tied to its spot: never over data, however close the spots."""
    axis = part.subplots()
    _clean(axis)
    drawn = [spot for spot in spots if spot.drawn]
    x, y = (np.array([getattr(spot, name) for spot in drawn], dtype=np.float64) for name in ("x", "y"))
    dx, dy = (np.array([getattr(spot, name) for spot in drawn], dtype=np.float64) for name in ("dx", "dy"))
    axis.set_xlim(*_limits(x, dx))
    axis.set_ylim(*_limits(y, dy))
    axis.grid(color="#EEEEEE", linewidth=0.8)
    axis.set_axisbelow(True)
    low, high = axis.get_ylim()
    wanted = iter((y - low) / (high - low))
    heights = _spread(np.array([next(wanted) if spot.drawn else 0.0 for spot in spots]))
    for k, (spot, height) in enumerate(zip(spots, heights.tolist(), strict=True)):
        _spot(axis, spot, height, COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)])
    axis.set_xlabel(_plain(titles[0]))
    axis.set_ylabel(_plain(titles[1]))


def _spot(axis: Axes, spot: Spot, height: float, colour: str, marker: str) -> None:
    beside, name = axis.transAxes, _plain(spot.name)
    if not spot.drawn:
        words = f"{name}: {_plain(spot.text)}"
        axis.text(1.1, height, words, transform=beside, va="center", fontsize=8, color=_GREY, style="italic")
        return
    assert spot.x is not None
    assert spot.y is not None
    ends = (spot.dy or None, spot.dx or None)
    axis.errorbar(spot.x, spot.y, *ends, marker=marker, color=colour, markersize=7, elinewidth=1, capsize=2, zorder=3)
    line = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "linestyle": ":", "shrinkA": 0, "shrinkB": 4}
    axis.annotate("", (spot.x, spot.y), (1.07, height), textcoords="axes fraction", arrowprops=line)
    axis.plot([1.08], [height], marker=marker, color=colour, markersize=6, transform=beside, clip_on=False)
    axis.text(1.1, height, name, transform=beside, va="center", fontsize=8)


def _limits(values: NDArray[np.float64], half: NDArray[np.float64]) -> tuple[float, float]:
    """Room for all spots, and for intervals as far as they do not dwarf what the spots tell apart."""
    if not len(values):
        return 0.0, 1.0
    span = float(np.ptp(values)) or float(half.max()) or abs(float(values[0])) or 1.0
    shown = np.minimum(half, span)
    low, high = float((values - shown).min()), float((values + shown).max())
    return low - 0.05 * (high - low or span), high + 0.05 * (high - low or span)


def _spread(wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Heights in [0, 1] with room for a line between any two, in their order, the nearest such in the least squares.

    With z_k = height_k + k·gap from the top, the order asks that z does not increase: an isotonic regression; clipping
    its solution to bounds on z gives the one within them.
    """
    from scipy.optimize import isotonic_regression

    gap = min(0.062, 1 / max(1, len(wanted) - 1))
    order = np.argsort(-wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    placed = isotonic_regression(wanted[order] + steps, increasing=False).x.clip(steps[-1], 1) - steps
    heights: NDArray[np.float64] = np.empty_like(wanted)
    heights[order] = placed
    return heights


def _bars(part: SubFigure, shares: Mapping[str, Sequence[Shares]]) -> None:
    panels = part.subplots(1, len(shares), sharey=True, squeeze=False).ravel().tolist()
    for axis, (title, items) in zip(panels, shares.items(), strict=True):
        _clean(axis)
        axis.set_title(_plain(title), fontsize=9, loc="left")
        axis.set_xlim(0, 100)
        axis.set_yticks(range(len(items)), [_plain(item.name) for item in items], fontsize=8)
        axis.tick_params(axis="y", length=0)
        for row, item in enumerate(items):
            _bar(axis, row, item)
    part.supxlabel("% of all, mean over the runs; beside the bars: unfair", fontsize=10)
    panels[0].set_ylim(max(len(items) for items in shares.values()) - 0.4, -0.6)
    handles = [_patch(colour, name) for colour, name in ((UNFAIR, "unfair"), (OPEN, "undecided"), (FAIR, "fair"))]
    part.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=8)


def _bar(axis: Axes, row: int, item: Shares) -> None:
    beside = axis.get_yaxis_transform()
    if item.falsified is None or item.certified is None:
        axis.text(0.01, row, _plain(item.text), transform=beside, va="center", fontsize=8, color=_GREY, style="italic")
        return
    unfair, fair = 100 * item.falsified, 100 * item.certified
    left = 0.0
    for width, colour in ((unfair, UNFAIR), (max(0.0, 100 - unfair - fair), OPEN), (fair, FAIR)):
        axis.barh(row, width, 0.72, left, color=colour)
        left += width
    low, high = f"{unfair:.2f}", f"{max(unfair, 100 - fair):.2f}"
    axis.text(1.02, row, low if low == high else f"{low}–{high}", transform=beside, va="center", fontsize=8)


def _patch(colour: str, name: str) -> object:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=f"proven {name}" if name != "undecided" else name)


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _plain(text: str) -> str:
    """Nothing but text: no formula, no control character, and short enough."""
    shown = printable(text)
    return (shown if len(shown) <= _NAME else f"{shown[: _NAME - 1]}…").replace("$", r"\$")


def _figure(height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise InputError("plots need matplotlib", advice="pip install 'certifair[report]'") from None
    return Figure(figsize=(_WIDTH, height), dpi=150, layout="constrained")


def _save(figure: Figure) -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name in a script that the font lacks
        figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()
