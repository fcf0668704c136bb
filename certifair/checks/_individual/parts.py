"""What a first-order enclosure F of f over boxes of units is made of: for `counting` and `bands`."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.enclosures import Enclosure
from certifair.checks._individual.floats import OMEGA, SLACK, Array

DOWN: Final = 1 - 2.0**-20


def error_of(box: Enclosure) -> Array:
    """(boxes,) The enclosure's, and `slop`."""
    scale = np.abs(box.centre) + 2 * (np.abs(box.slope) * (box.radius + np.abs(box.middle) * 2.0**-10)).sum(axis=1)
    found: Array = box.error + scale * (2.0**-38 * (1 + box.slope.shape[1] / 64)) + OMEGA
    return found


def choices_of(frame: Frame, box: Enclosure, i: int, low: Array, high: Array) -> tuple[Array, NDArray[np.bool_]]:
    """What each position of a one-hot feature adds to F, (boxes, positions), and which are in the box.

    Those that are not get the value of one that is.
    """
    columns = list(frame.domain.columns[i])
    slope, place = box.slope[:, columns], np.arange(len(columns))
    there = (low[:, i, None] <= place) & (place <= high[:, i, None])
    value = slope - (slope * box.middle[:, columns]).sum(axis=1, keepdims=True)
    one = np.take_along_axis(value, low[:, i, None].astype(np.intp), axis=1)
    return np.where(there, value, one), there


def sensitive_part(frame: Frame, low: Array, high: Array, box: Enclosure) -> tuple[Array, Array, Array, Array]:
    """(boxes,) The extremes of F's sensitive part over A; D and G of (4) and (5) without relaxed inputs.

    Both of G's points minimise F's sensitive part, but for the features where the other maximises it, and gains.
    """
    least, most, apart, gain = np.zeros((4, len(low)))
    for i in frame.sensitive.tolist():
        columns = list(frame.domain.columns[i])
        if frame.domain.features[i].kind != "one_hot":
            slope, spread = np.abs(box.slope[:, columns[0]]), box.spread[:, columns[0]]
            reach, width = slope * box.radius[:, columns[0]], high[:, i] - low[:, i]
            least, most = least - reach, most + reach
            apart = apart + np.where(width > 0, (slope + spread) * width * SLACK, 0.0)
            gain = gain + np.maximum(0.0, np.where(width > 0, (slope - spread) * width * DOWN, 0.0))
            continue
        value, there = choices_of(frame, box, i, low, high)
        spread = np.where(there, box.spread[:, columns], 0.0)
        many = there.sum(axis=1) > 1
        bottom, top = value.argmin(axis=1), value.argmax(axis=1)
        rows = np.arange(len(low))
        difference = value[rows, top] - value[rows, bottom]
        least, most = least + value[rows, bottom], most + value[rows, top]
        two = np.sort(spread, axis=1)[:, -2:].sum(axis=1)
        apart = apart + np.where(many, (difference + two) * SLACK, 0.0)
        unsure = box.spread[rows, np.array(columns)[top]] + box.spread[rows, np.array(columns)[bottom]]
        gain = gain + np.where(many, np.maximum(0.0, (difference - unsure) * DOWN), 0.0)
    return least, most, apart, gain
