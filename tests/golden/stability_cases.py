"""Runs about stability: a layer that is differentiable, one that is not, two features, conditions; networks."""

from __future__ import annotations

from array import array

from certifair.evidence.canonical import canonical
from certifair.spec.lipschitz import Pair, Witness
from tests.golden.cases import LAYER, NETWORKED, Case, Columns, changed, head, people, projected, scored
from tests.golden.individual_cases import FINITE, applicants
from tests.golden.network import CREDIT, SMALL

CONDITIONED = LAYER.replace('"demographic_parity"', '"conditional_parity"\ncondition = "region"')

# Found once by certifair.stability.propose, then rounded: the bounds up, which only makes them easier to prove.
MULTIPLIERS = {"all": [0.7726, 1.3721], "ranges": [0.7434, 1.6062]}
BOUNDS = {"all": 1.3516, "ranges": 4.97}
POINTS = {
    "all": ([-2.92, -1.94, 2.6, 3.76], [-0.7, -2.26, 0.7, 5.75]),
    "here": ([0.08, 0.77, 1.13, 1.4], [0.42, 0.49, 0.77, 1.78]),
    "ranges": ([0.16, 0.87, 1.48, 1.61], [0.19, 0.85, 0.44, 1.88]),
}
# A record of a training that never was: what it says is nobody's business but its format.
RECORD = canonical({
    "format": "certifair-gradients/0", "seed": 1, "dtype": "float32", "batches": [{
        "batch": 0, "people": 20, "rows": 1, "active": 1, "clipped": 0, "directions": 2, "step": "0.001",
        "delta": "0.000000000001", "difference": "0.000000002", "bound": "0.000000003", "kink": None,
        "cvxpylayers": {"people": 0, "difference": None, "tolerance": None, "reason": "not installed"},
    }],
})  # fmt: skip


def proofs() -> dict[str, Witness]:
    """A bound of the network over all inputs, one over their ranges, and two points apart for each of three claims."""
    found = {}
    for name, ends in POINTS.items():
        first, second = (array("d", end) for end in ends)
        pair: Pair = (first, second)
        parts = (array("d", MULTIPLIERS[name]),) if name in BOUNDS else ()
        found[name] = Witness(BOUNDS.get(name, 0.0), parts, pair)
    return found


def asked(name: str, text: str) -> str:
    return f'[[property]]\nid = "{name}"\nkind = "stability"\n{text}\n'


def clipped(columns: Columns) -> Columns:
    """Somebody whom nothing holds exactly at the upper end of the box: there is no derivative."""
    return changed(columns, score=lambda row, k: 2.0 if k == 0 else row["score"])


def served_as_scored(columns: Columns) -> Columns:
    return changed(columns, served=lambda row, k: row["score"])


def stability_cases() -> list[Case]:
    served, multipliers = projected(61, 40, 2, 0.05)
    all_forms = (
        asked("unlike", "max_treatment_difference = 0.5")
        + asked("smooth", "share_differentiable = 1")
        + asked("far", "min_radius = 0.0001")
        + asked("moved", "max_change = 0.5")
    )
    strict = (
        asked("unlike", "max_treatment_difference = 0.01")
        + asked("smooth", "share_differentiable = 0.9")
        + asked("far", "min_radius = 0.1")
        + asked("moved", "max_change = 0.0001")
    )
    held = served_as_scored(clipped(people(62, 40, 2, gap=0.0)))
    networked = head(system=NETWORKED)
    layered = head(system=NETWORKED, box=LAYER.replace("epsilon = 0.05", "epsilon = 2"))
    return [
        Case("stability", head(box=LAYER) + all_forms, served, "PASS", multipliers=multipliers),
        Case("stability-fail", head(box=LAYER) + strict, served, "FAIL", multipliers=multipliers),
        Case(
            "stability-kink",
            head(box=LAYER.replace("0.05", "1"))
            + asked("smooth", "share_differentiable = 0.5")
            + asked("far", "min_radius = 0"),
            held,
            "PASS",
        ),
        Case(
            "stability-conditions",
            head(box=CONDITIONED.replace("0.05", "1")) + all_forms,
            served_as_scored(people(63, 40)),
            "PASS",
        ),
        Case(
            "lipschitz",
            networked
            + FINITE
            + asked("all", "max_lipschitz = 9")
            + asked("here", 'max_lipschitz = 9\ninputs = "domain"')
            + asked("ranges", 'max_lipschitz = 9\ninputs = "ranges"'),
            applicants(64, 20),
            "PASS",
            network=CREDIT,
        ),
        Case(
            "stability-undecided",
            head(box=LAYER) + all_forms,
            changed(served, served=lambda row, k: 2.5 if k == 3 else row["served"]),
            "UNDECIDED",
            multipliers=multipliers,
        ),
        Case(
            "stability-joint",
            head('"sex", "age"', box=LAYER.replace('["sex"]', '["sex", "age"]').replace("0.05", "0.02")) + all_forms,
            served_as_scored(people(68, 20)),
            "PASS",
        ),
        *(
            Case(
                name,
                networked
                + FINITE
                + asked("all", f"max_lipschitz = {limits[0]}")
                + asked("here", f'max_lipschitz = {limits[1]}\ninputs = "domain"')
                + asked("ranges", f'max_lipschitz = {limits[2]}\ninputs = "ranges"'),
                applicants(67, 20),
                verdict,
                network=CREDIT,
                proofs=proofs(),
                gradients=RECORD if verdict == "PASS" else None,
            )
            for name, limits, verdict in (
                ("lipschitz-proven", ("1.36", "1.41", "4.98"), "PASS"),
                ("lipschitz-fail", ("1.3", "1.2", "4.98"), "FAIL"),
            )
        ),
        Case(
            "lipschitz-undecided",
            networked + asked("all", "max_lipschitz = 0.0001"),
            scored(65, 20),
            "UNDECIDED",
            network=SMALL,
        ),
        Case(
            "lipschitz-served",
            layered + asked("whole", 'max_lipschitz = 9\nmap = "served"'),
            scored(66, 20),
            "PASS",
            network=SMALL,
        ),
    ]
