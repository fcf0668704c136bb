"""Pictures: how training went, what the layer did to each group, what a smaller tolerance costs, a stream's gap, how
far scores may move before the layer's derivative changes, bounds of a network.

Each function returns the bytes of a PNG or SVG, the same for the same numbers: no display, no global state, no date.
Needs matplotlib, the extra `report`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certifair.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["png", "svg"]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")
"""Okabe and Ito's, which colour-blind people can tell apart."""
_STYLES = ("-", "--", ":", "-.")
_BINS = 40
_DRAWN = 1e300


def plot_history(history: Sequence[Mapping[str, Any]], epsilon: float | None = None, form: Format = "png") -> bytes:
    """Losses and gaps by epoch. `history`: one record an epoch, numbers by name; names that hold `gap` go below.

    `epsilon` is drawn as a line beside the gaps. Raises InputError for an empty history.
    """
    if not history:
        raise InputError("the history holds no epoch", advice="train first")
    names = [name for name in history[0] if isinstance(history[0][name], (int, float)) and name != "epoch"]
    upper = [name for name in names if "loss" in name]
    lower = [name for name in names if "gap" in name]
    figure, axes = _figure(max(1, bool(upper) + bool(lower)))
    epochs = [record.get("epoch", number) for number, record in enumerate(history, 1)]
    for axis, shown, title in zip(axes, [part for part in (upper, lower) if part], ("loss", "gap"), strict=False):
        for k, name in enumerate(shown):
            values = [np.nan if record.get(name) is None else float(record[name]) for record in history]
            axis.plot(epochs, values, _STYLES[k % 4], color=COLOURS[k % 8], label=name.replace("_", " "))
        axis.set_ylabel(title if upper else "gap")
    if lower and epsilon is not None:
        axes[-1].axhline(epsilon, color=COLOURS[7], linewidth=1, label=f"ε = {epsilon:g}")
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
    axes[-1].set_xlabel("epoch")
    return _save(figure, form)


def plot_groups(
    scores: ArrayLike, predictions: ArrayLike, groups: Sequence[str] | NDArray[Any], form: Format = "png"
) -> bytes:
    """Each group's distribution before (scores) and after (predictions) the layer, its mean as a line; (n,) each.

    Raises InputError for different lengths or nobody.
    """
    before, after = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(predictions, dtype=np.float64).ravel()
    names = np.asarray(groups).astype(str)
    if not len(before) == len(after) == len(names) or not len(names):
        raise InputError(
            f"{len(before)} scores, {len(after)} predictions and {len(names)} groups do not belong together"
        )
    figure, axes = _figure(2, share=True)
    edges = np.histogram_bin_edges(np.concatenate([before, after]), _BINS).tolist()
    for axis, values, title in zip(
        axes, (before, after), ("scores, before the layer", "served, after it"), strict=True
    ):
        for k, name in enumerate(np.unique(names)):
            mine = values[names == name]
            colour, style = COLOURS[k % 8], _STYLES[k // 8 % 4]
            label = f"{name}: mean {mine.mean():.4f} ({len(mine)})"
            axis.hist(mine, edges, density=True, histtype="step", color=colour, linestyle=style, label=label)
            axis.axvline(float(mine.mean()), color=colour, linewidth=1, linestyle=style)
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_ylabel("density")
        axis.legend(frameon=False, fontsize=8)
    axes[-1].set_xlabel("prediction")
    return _save(figure, form)


def plot_tradeoff(
    curves: Mapping[str, Sequence[tuple[float, float]]], quality: str = "accuracy", form: Format = "png"
) -> bytes:
    """Quality against ε, one curve a method: (ε, quality) pairs by the method's name. Raises InputError for none."""
    if not any(curves.values()):
        raise InputError("there is no point to draw", advice="give at least one (epsilon, quality) pair")
    figure, axes = _figure(1)
    for k, (name, points) in enumerate(curves.items()):
        found = sorted(points)
        x, y = [point[0] for point in found], [point[1] for point in found]
        axes[0].plot(x, y, _STYLES[k // 8 % 4], marker="o", markersize=3, color=COLOURS[k % 8], label=name)
    axes[0].set_xlabel("tolerance ε")
    axes[0].set_ylabel(quality)
    axes[0].legend(frameon=False, fontsize=8)
    return _save(figure, form)


def plot_stream(
    scores: ArrayLike,
    predictions: ArrayLike,
    compared: Sequence[NDArray[Any]],
    ends: NDArray[np.int64],
    epsilon: float | None = None,
    form: Format = "png",
) -> bytes:
    """The pooled gap over everybody so far, of scores and of what was served, at the end of every batch of a stream.

    `scores`, `predictions` (n,); `compared`: groups as texts (n,), "" for who is in none; the largest difference of two
    of their means is drawn. `ends` (T,): how many people had come by the end of each batch. Raises InputError.
    """
    values = [np.asarray(part, dtype=np.float64).ravel() for part in (scores, predictions)]
    if not len(ends) or not compared or any(len(part) != len(values[0]) for part in (*values, *compared)):
        raise InputError("scores, predictions, groups and batches do not belong together", advice="give one each")
    figure, (axis,) = _figure(1)
    gaps = [np.max([_gaps_so_far(part, groups, ends) for groups in compared], axis=0) for part in values]
    for line, name, colour in zip(gaps, ("scores", "served"), COLOURS, strict=False):
        axis.plot(ends, line, color=colour, linewidth=1, label=f"{name}: at the end {line[-1]:.4f}")
    if epsilon is not None:
        axis.axhline(epsilon, color=COLOURS[7], linewidth=1, label=f"ε = {epsilon:g}")
    # the first few people's scores differ by anything: what counts is seen from there on
    axis.set_ylim(0, 1.2 * max(gaps[0][-1], gaps[1].max(), epsilon or 0.0, 1e-6))
    axis.set_xlabel("people served so far")
    axis.set_ylabel("pooled gap")
    axis.legend(frameon=False, fontsize=8)
    return _save(figure, form)


def plot_radii(decades: Mapping[int, int], zero: int = 0, unlimited: int = 0, form: Format = "png") -> bytes:
    """How many batches have a radius of differentiability in [10^e, 10^(e + 1)), by e; 0, and no limit, at the ends.

    Raises InputError for no batch.
    """
    if not sum(decades.values()) + zero + unlimited:
        raise InputError("there is no batch to draw", advice="certify a bundle with batches")
    figure, (axis,) = _figure(1)
    from matplotlib.ticker import MaxNLocator  # `_figure` has said so if there is none

    exponents = range(min(decades, default=0), max(decades, default=-1) + 1)
    bars = [("0", zero)] * bool(zero) + [(f"$10^{{{e}}}$", decades.get(e, 0)) for e in exponents]
    bars += [("no limit", unlimited)] * bool(unlimited)
    drawn = axis.bar([name for name, _ in bars], [count for _, count in bars], color=COLOURS[0], width=0.9)
    axis.bar_label(drawn, fontsize=8)
    if zero:
        drawn[0].set_color(COLOURS[1])
    axis.set_xlabel("radius: at least, and below ten times as much")
    axis.set_ylabel("batches")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _save(figure, form)


def plot_bounds(bounds: Mapping[str, float], least: float | None = None, form: Format = "png") -> bytes:
    """Upper bounds of one constant by the name of their method, and what is attained, if known; a logarithmic axis.

    Raises InputError for none.
    """
    if not bounds:
        raise InputError("there is no bound to draw", advice="only networks of known layers have one")
    if max(bounds.values()) > _DRAWN:
        raise InputError(f"a bound above {_DRAWN:g} cannot be drawn", advice="leave the picture out")
    figure, (axis,) = _figure(1)
    shown = [*bounds.items(), *([] if not least else [("two points found", least)])]
    colours = [COLOURS[0]] * len(bounds) + [COLOURS[1]]
    drawn = axis.barh([name for name, _ in shown], [value for _, value in shown], color=colours[: len(shown)])
    axis.bar_label(drawn, [f"{value:.4g}" for _, value in shown], fontsize=8, padding=3)
    axis.invert_yaxis()
    positive = [value for _, value in shown if value > 0]
    if positive:
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter("")
        axis.set_xlim(min(positive) / 2, max(positive) * 2)
    axis.set_xlabel("Lipschitz constant: at most")
    return _save(figure, form)


def _gaps_so_far(values: NDArray[np.float64], groups: NDArray[Any], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """The largest difference of two groups' means over everybody up to each end, 0 where there are no two, (T,)."""
    last = ends - 1
    means = []
    for group in np.unique(groups[groups != ""]):
        mine = groups == group
        people = np.cumsum(mine)[last]
        sums = np.cumsum(np.where(mine, values, 0.0))[last]
        means.append(np.where(people > 0, sums / np.maximum(people, 1), np.nan))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # before anybody of any group has come
        found: NDArray[np.float64] = np.nan_to_num(np.nanmax(means, axis=0) - np.nanmin(means, axis=0))
    return found


def _figure(rows: int, *, share: bool = False) -> tuple[Figure, list[Axes]]:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise InputError("plots need matplotlib", advice="pip install 'certifair[report]'") from None
    figure = Figure(figsize=(6.4, 1.4 + 2.2 * rows), dpi=150, layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, sharey=share, squeeze=False).ravel().tolist()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, form: Format) -> bytes:
    sink = io.BytesIO()
    metadata: dict[str, str | None] = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    figure.savefig(sink, format=form, metadata=metadata)
    return sink.getvalue()
