"""Runs about stability: a layer that is differentiable, one that is not, two features, conditions; networks."""

from __future__ import annotations

from tests.golden.cases import LAYER, NETWORKED, Case, Columns, changed, head, people, projected, scored
from tests.golden.individual_cases import FINITE, applicants
from tests.golden.network import CREDIT, SMALL

CONDITIONED = LAYER.replace('"demographic_parity"', '"conditional_parity"\ncondition = "region"')


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
