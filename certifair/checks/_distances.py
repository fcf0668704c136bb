"""How far each score lies from the network's value: outward-rounded bounds, from the evidence."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from certifair.checks._forward import evaluate
from certifair.checks.replay import BOUND_PLACES
from certifair.errors import InputError
from certifair.evidence.onnx_reader import read_network
from certifair.exact.decimals import round_down, round_up
from certifair.spec import Json
from certifair.spec.terms import Terms

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence
    from certifair.spec.network import Network

Array = NDArray[np.float64]


def measure(terms: Terms, evidence: Evidence, margin: float) -> Json:
    """The witness of a replay claim (certificates/README.md 9.9), with `margin` times the proven radius."""
    scores, inputs = evidence.scores, evidence.inputs
    if evidence.model is None or inputs is None:
        advice = "a replay needs model.onnx and preprocessing.json in the bundle; training writes both"
        raise InputError(f"claim {terms.id!r} speaks of a network that the bundle does not hold", advice=advice)
    if scores is None:
        raise InputError("has no column 'score', which a replay needs", where="predictions.parquet")
    ball = evaluate(_network(evidence.model, inputs.shape[1]), inputs)
    return _witness(evidence, *distances(scores, ball.mid[:, 0], ball.rad[:, 0], margin))


def distances(scores: Array, mid: Array, rad: Array, margin: float = 1.0) -> tuple[Array, Array]:
    """lo ≤ |s − m| − r and hi ≥ |s − m| + r, elementwise, lo ≥ 0; hi is no finite number where there is no bound.

    `margin` ≥ 1 is a power of two, times which r is taken: a product without rounding, unless it overflows.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite end is an end, nan is none
        rad = margin * rad
        gap = np.abs(scores - mid)  # 0 only if s = m: float64 has subnormal numbers
        least = np.where(gap == 0, 0.0, np.nextafter(gap, 0.0))
        most = np.where(gap == 0, 0.0, np.nextafter(gap, np.inf))
        low = np.maximum(np.nextafter(least - rad, -np.inf), 0.0)
        high = np.where(rad == 0, most, np.where(most == 0, rad, np.nextafter(most + rad, np.inf)))
        return low, high


def _network(content: bytes, width: int) -> Network:
    network = read_network(content, "model.onnx")
    if network.inputs != width:
        what = f"has {network.inputs} inputs, but preprocessing.json gives {width}"
        raise InputError(what, where="model.onnx", advice="both must come from the same training")
    if network.outputs != 1:
        raise InputError(f"has {network.outputs} outputs: a score is one number", where="model.onnx")
    return network


def _witness(evidence: Evidence, low: Array, high: Array) -> Json:
    bounded = np.isfinite(high)
    counted = int(bounded.sum())
    certain, worst = None, None
    if counted:
        at = int(np.argmax(np.where(bounded, high, -1.0)))
        certain = round_down(Fraction(float(low[bounded].max())), BOUND_PLACES)
        worst = {"row": evidence.row_id(at), "upper": round_up(Fraction(float(high[at])), BOUND_PLACES)}
    digests = {item["role"]: item["sha256"] for item in evidence.materials}
    return {
        "model": digests["model"],
        "preprocessing": digests["preprocessing"],
        "counted": counted,
        "undecided": evidence.n - counted,
        "certain": certain,
        "worst": worst,
    }
