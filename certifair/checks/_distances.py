"""How far each score lies from the network's value: outward-rounded bounds, from the evidence."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._forward import evaluate, rows_at_once
from certifair.checks.replay import BOUND_PLACES
from certifair.errors import InputError
from certifair.evidence.bundle import PATHS
from certifair.evidence.onnx_reader import read_network
from certifair.exact.decimals import round_down, round_up
from certifair.spec import Json
from certifair.spec.network import Affine
from certifair.spec.terms import Terms

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence
    from certifair.spec.network import Network

Array = NDArray[np.float64]
MOST_PRODUCTS: Final = 10**12
MOST_NUMBERS: Final = 5 * 10**9
"""What a replay computes takes minutes at most, whoever made the bundle."""
_OVERHEAD: Final = 1000
# One step of one block takes as long as that many numbers, however few it has.


def measure(terms: Terms, evidence: Evidence, margin: float) -> Json:
    """The witness of a replay claim (certificates/README.md 9.9), with `margin` times the proven radius."""
    scores, inputs = evidence.scores, evidence.preprocessing
    if evidence.model is None or inputs is None:
        advice = "a replay needs model.onnx and preprocessing.json in the bundle; training writes both"
        raise InputError(f"claim {terms.id!r} speaks of a network that the bundle does not hold", advice=advice)
    if scores is None:
        raise InputError("has no column 'score', which a replay needs", where="predictions.parquet")
    network = _network(evidence.model, inputs.width)
    check_work(network, evidence.n)
    mid, rad = np.empty((2, evidence.n))
    for rows, x in inputs.blocks(evidence.people, PATHS["data"]):
        ball = evaluate(network, x)
        mid[rows], rad[rows] = ball.mid[:, 0], ball.rad[:, 0]
    return _witness(evidence, *distances(scores, mid, rad, margin))


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


def check_work(network: Network, people: int) -> None:
    """Raises InputError for more work than is done, before any memory is taken for it."""
    weights = sum(step.weight.size for step in network.steps if isinstance(step, Affine))
    blocks = -(-people // rows_at_once(network))
    numbers = people * sum(network.widths) + blocks * len(network.steps) * _OVERHEAD
    for count, most, what in ((people * weights, MOST_PRODUCTS, "products"), (numbers, MOST_NUMBERS, "numbers")):
        if count > most:
            raise InputError(
                f"takes about {count:.0e} {what} for {people} people; a replay computes at most {most:.0e}",
                where="model.onnx",
                advice="certify fewer people at once, or a smaller network",
            )


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
