"""Lipschitz bounds of the networks under shared/models against each other and against attacks, as a Markdown table.

Inputs are in units of their ranges in the domain. `norms` is the product of ℓ2 norms; `tightness` is the best pair that
an attack found, by the bound: over all inputs, and over the domain's box with the bound over that box. Every bound is
the checker's, every pair's ratio too. Called by bench.py; also runs by itself, with names of models as arguments.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from certifair.checks._stability.networks import Lipschitz, lipschitz
from certifair.evidence.domain import box_of, units_of
from certifair.individual.networks import network_of
from certifair.spec.domain import Domain
from certifair.spec.domain_file import load_domain
from certifair.spec.lipschitz import Witness
from certifair.spec.network import Network
from certifair.stability import Proposal, propose
from certifair.stability.attack import attack

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
BY_CVXPY = ("adult/AC-1",)
RANDOM, SOUGHT = 10_000, 1_000
COLUMNS = (
    "network",
    "widths",
    "norms",
    "ℓ1, ℓ∞",
    "absolute",
    "sequential",
    "optimum",
    "norms/optimum",
    "s",
    "check s",
    "random pair",
    "sought pair",
    "tightness",
    "in the box: bound",
    "pair",
    "tightness",
    "attack s",
)


def networks(chosen: list[str]) -> Iterator[tuple[str, Network, Domain]]:
    """Every network with its domain, or those that are named."""
    for path in sorted(MODELS.glob("*/*.onnx")):
        name = f"{path.parent.name}/{path.stem}"
        domain = path.parent.name
        if domain == "prof":
            domain = "prof_bank" if path.stem.startswith("bank") else path.stem.split("-")[0]
        if not chosen or name in chosen:
            yield name, network_of(path), load_domain(MODELS / "domains" / f"{domain}.toml").domain


def attacked(network: Network, box: Any, units: Any, proposal: Proposal) -> tuple[Lipschitz, float, float, float]:
    """(what the checker proves with the pair, the best random pair, the best sought one, seconds of the attack)."""
    found = attack(network, box, units, random=RANDOM, climbs=SOUGHT)
    pair = None if found.pair is None else tuple(floats(point) for point in found.pair)
    assert proposal.witness is not None, proposal.reason
    checked = lipschitz(network, Witness(proposal.witness.bound, proposal.witness.multipliers, pair), box, units)
    assert checked.bound is not None
    lower = float(checked.lower or 0)
    assert lower <= checked.bound, "a pair beats a bound"
    assert found.ratio <= float(checked.bound) * (1 + 1e-9), "a pair beats a bound"
    return checked, found.random_ratio, lower, found.seconds


def floats(point: Any) -> Any:
    return array("d", point.tolist())


def row(name: str, network: Network, domain: Domain) -> list[str]:
    box, units = box_of(domain.features), units_of(domain.features)
    started = time.monotonic()
    proposal = propose(network, None, units)
    took = time.monotonic() - started
    started = time.monotonic()
    checked = lipschitz(network, proposal.witness, None, units)
    checking = time.monotonic() - started
    checked, random, sought, spent = attacked(network, None, units, proposal)
    inside, _, lower, more = attacked(network, box, units, propose(network, box, units))
    bounds = [float(checked.of(method) or 0) for method in ("norms", "l1_linf", "absolute")]
    bounds += [rung.witness.bound for rung in proposal.rungs[:2]]
    assert checked.bound is not None
    assert inside.bound is not None
    ladder = [f"{bound:.4g}" for bound in bounds]
    widths = "-".join(str(width) for width in network.widths[:-1:2])
    return [
        name,
        widths,
        *ladder,
        f"{bounds[0] / bounds[-1]:.2f}",
        f"{took:.2f}",
        f"{checking:.2f}",
        f"{random:.4g}",
        f"{sought:.4g}",
        f"{sought / float(checked.bound):.3f}",
        f"{float(inside.bound):.4g}",
        f"{lower:.4g}",
        f"{lower / float(inside.bound):.3f}",
        f"{spent + more:.1f}",
    ]


def beside(names: tuple[str, ...]) -> None:
    """The same optimum by Clarabel."""
    for name, network, domain in networks(list(names)):
        for engine in ("interior", "cvxpy"):
            started = time.monotonic()
            found = propose(network, None, units_of(domain.features), engine=engine, seconds=300)
            bound = "no bound" if found.witness is None else f"{found.witness.bound:.6g}"
            print(f"{name}, {engine}: {bound} in {time.monotonic() - started:.2f} s", flush=True)


def main(*chosen: str) -> None:
    print(f"Lipschitz bounds in units of the domain's ranges; {RANDOM} random and {SOUGHT} sought pairs")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for item in networks(list(chosen)):
        print("| " + " | ".join(row(*item)) + " |", flush=True)
    beside(BY_CVXPY)


if __name__ == "__main__":
    main(*sys.argv[1:])
