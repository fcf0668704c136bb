"""First-order enclosures of f over many boxes at once, in float64, and what roundings may add to them.

The mathematics is that of the checker's enclosure, without its rigour: a proposal needs none, only a margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

import numpy as np

from certifair.individual.bounds import UNIT, rounding
from certifair.individual.engines.base import Array
from certifair.spec.layers import Layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOAT32: Final = 2.0**-24
WIDER: Final = 1.01
"""Times an estimated rounding error: the checker's is a bound."""


@final
@dataclass(frozen=True, eq=False)
class Enclosure:
    """Over each box |f(x) − (centre + slope·(x − middle))| ≤ error and |∂f/∂x − slope| ≤ spread.

    Shapes (boxes,), and (boxes, free) for slope and spread of the inputs that move. exactly, computed (boxes,): how far
    the numbers that decide may be from f, at the levels "real" and "float32".
    """

    centre: Array
    slope: Array
    error: Array
    spread: Array
    exactly: Array
    computed: Array


def enclose(layers: Layers, low: Array, high: Array, free: NDArray[np.intp], off: Array) -> Enclosure:
    """Of boxes (boxes, inputs) that have a width only in the inputs `free`; off (inputs,): from float32 numbers.

    Each neuron gets the chord λ over its range [l, u], act(z) = λz + μ ± ε, so a layer is C·(x − middle) + c ± e, from
    which the next ranges follow. From the output down, B_k is its row at layer k; with τ the largest |act' − λ| and y_k
    the coefficients of paths that met a τ above, spread = Σ_k (|B_k| + y_k) τ_k |C_k|.
    """
    middle, radius = (low + high) / 2, (high - low)[:, free] / 2
    lines, others = list[_Line](), list[Array]()
    slants, reached = [layers.layers[0].weight[None][:, :, free]], [np.maximum(np.abs(low), np.abs(high))]
    centre = middle @ layers.layers[0].weight.T + layers.layers[0].bias
    for layer, above in zip(layers.layers, layers.layers[1:], strict=False):
        reach = _across(slants[-1], radius)
        for line, other in zip(lines, others, strict=True):
            reach = reach + _across(other, line.error)
        lines.append(_line(centre - reach, centre + reach, layer.slope))
        reached.append(_largest(centre - reach, centre + reach, layer.slope))
        others = [above.weight @ (lines[-1].slope[:, :, None] * other) for other in others]
        others.append(above.weight[None])
        slants.append(above.weight @ (lines[-1].slope[:, :, None] * slants[-1]))
        centre = (lines[-1].slope * centre + lines[-1].shift) @ above.weight.T + above.bias
    return _downwards(layers, lines, slants, centre[:, 0], (reached, radius, off))


def _downwards(
    layers: Layers, lines: list[_Line], slants: list[Array], centre: Array, about: tuple[list[Array], Array, Array]
) -> Enclosure:
    """The error and the spread, from the output down."""
    reached, radius, off = about
    row, error = np.broadcast_to(layers.layers[-1].weight, (len(centre), layers.layers[-1].weight.shape[1])), 0 * centre
    spread, y = np.zeros_like(radius), np.zeros_like(row)
    slope = np.broadcast_to(slants[-1][:, 0], radius.shape)
    for line, slant, layer in zip(reversed(lines), reversed(slants[:-1]), reversed(layers.layers[:-1]), strict=True):
        error = error + (np.abs(row) * line.error).sum(axis=1)
        bent = (np.abs(row) + y) * line.bend
        spread = spread + (bent[:, None, :] @ np.abs(slant))[:, 0]
        y = (np.abs(row) * line.bend + y * (np.abs(line.slope) + line.bend)) @ np.abs(layer.weight)
        row = (row * line.slope) @ layer.weight
    scale = np.abs(centre) + 2 * (np.abs(slope) * radius).sum(axis=1)
    slop = 8 * rounding(layers, reached[0], UNIT) + scale * 2.0**-36 * (1 + len(off) / 64)
    exactly, computed = slop, np.full_like(slop, np.inf)
    if not layers.exact:
        exactly = slop + _drift(layers, reached, 0.0, 0 * off)
    if layers.float32:
        computed = slop + _drift(layers, reached, FLOAT32, off)
    return Enclosure(centre, slope, error, spread, exactly, computed)


def _drift(layers: Layers, reached: list[Array], unit: float, off: Array) -> Array:
    """How far arithmetic with this unit may be from f, (boxes,); reached: the largest |h| below each layer.

    E_z = |W| E + γ (|W|(|h| + E) + size), γ = n·unit/(1 − n·unit) + relative; a slope that is neither 0 nor 1 rounds.
    """
    error = np.broadcast_to(off, reached[0].shape)
    for layer, h in zip(layers.layers, reached, strict=True):
        weight = np.abs(layer.weight).T
        gamma = layer.rounds * unit / (1 - layer.rounds * unit) + layer.relative
        z = h @ weight + np.maximum(layer.size, np.abs(layer.bias))
        error = error @ weight + gamma * (z + error @ weight) + (layer.rounds * unit > 0) * 2.0**-140
        error = error * np.maximum(1.0, np.abs(layer.slope)) + unit * z * ~np.isin(layer.slope, (0.0, 1.0))
    found: Array = error[:, 0] * WIDER
    return found


@final
@dataclass(frozen=True, eq=False)
class _Line:
    """act(z) = slope·z + shift ± error, and act' = slope ± bend; each (boxes, neurons)."""

    slope: Array
    shift: Array
    error: Array
    bend: Array


def _line(low: Array, high: Array, slope: Array) -> _Line:
    """The chord over [low, high]. act − chord is 0 at both ends and goes straight to the kink at 0."""
    bent = (low < 0) & (high > 0) & (slope != 1)
    width = np.where(bent, high - low, 1.0)
    chord = np.where(bent, (high - slope * low) / width, np.where(low >= 0, 1.0, slope))
    shift = np.where(bent, (1 - slope) * high * -low / width / 2, 0.0)
    bend = np.where(bent, np.maximum(np.abs(1 - chord), np.abs(chord - slope)), 0.0)
    return _Line(chord, shift, np.abs(shift), bend)


def _largest(low: Array, high: Array, slope: Array) -> Array:
    """The largest |act(z)| for z in [low, high]."""
    ends = (np.abs(np.where(z < 0, slope * z, z)) for z in (low, high))
    return np.maximum(*ends)


def _across(block: Array, width: Array) -> Array:
    """Σ_j |block_ij| width_j for block (1 or boxes, i, j) and width (boxes, j)."""
    size = np.abs(block)
    found: Array = width @ size[0].T if len(size) == 1 else (size @ width[:, :, None])[:, :, 0]
    return found
