"""certifair: certificates of fairness that a stranger can check.

Start at `FairnessLayer` and `FairModel`, at `ingest`, `certify` and `verify`, at `certifair.gate.judge`, or at `prove`,
`lipschitz` and `repaired`. Each is imported when it is first used, so that a verifier loads nothing but what verifies.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certifair.certificate.api import certify, verify
    from certifair.checks._stability.networks import Lipschitz
    from certifair.evidence.ingest import ingest
    from certifair.individual import Proof
    from certifair.layer.fairness_layer import FairnessLayer
    from certifair.repair.api import Outcome
    from certifair.spec.policy import Policy
    from certifair.training.model import FairModel

__version__ = "0.1.0"
__all__ = [
    "FairModel",
    "FairnessLayer",
    "Policy",
    "__version__",
    "certify",
    "ingest",
    "lipschitz",
    "prove",
    "repaired",
    "verify",
]

_HOMES = {
    "FairModel": "certifair.training.model",
    "FairnessLayer": "certifair.layer.fairness_layer",
    "Policy": "certifair.spec.policy",
    "certify": "certifair.certificate.api",
    "ingest": "certifair.evidence.ingest",
    "verify": "certifair.certificate.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'certifair' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def prove(*args: Any, **options: Any) -> Proof:
    """`certifair.individual.prove`, the witness checked by `certifair.checks`: what it says is proven."""
    from certifair.checks._individual.check import check_witness
    from certifair.individual import prove as propose

    return propose(*args, check=check_witness, **options)


def repaired(*args: Any, **options: Any) -> Outcome:
    """`certifair.repair.api.repair`, both networks checked by `certifair.checks`: what it says of them is proven."""
    from certifair.checks._individual.check import check_witness
    from certifair.repair.api import repair

    return repair(*args, check=check_witness, **options)


def lipschitz(model: Any, domain: Any = None, *, units: str = "inputs", seconds: float = 10.0) -> Lipschitz:
    """How far a model's output can move for each unit of its inputs, Euclidean: bounds proven by `certifair.checks`.

    model: as of `prove`; domain: a TOML file or a `Domain`, None for all inputs; units: "inputs", or the domain's
    "ranges". `bound` and `lower` of the result lie around the constant; `reason` says why there is no bound.
    """
    from pathlib import Path

    from certifair.checks._stability.networks import lipschitz as check
    from certifair.errors import InputError
    from certifair.evidence.domain import place_of
    from certifair.individual.networks import network_of
    from certifair.spec.domain_file import load_domain
    from certifair.stability import propose

    network = network_of(model)
    if units not in ("inputs", "ranges") or (units == "ranges" and domain is None):
        raise InputError(f"= {units!r}", where="units", advice="use 'inputs', or 'ranges' with a domain")
    found = load_domain(Path(domain)).domain if isinstance(domain, str | Path) else domain
    method = "everywhere" if found is None else "ranges" if units == "ranges" else "domain"
    place = place_of(() if found is None else found.features, method)
    return check(network, propose(network, *place, seconds=seconds).witness, *place)
