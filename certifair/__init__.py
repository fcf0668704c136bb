"""certifair: certificates of fairness that a stranger can check.

Start at `FairnessLayer` and `FairModel`, at `ingest`, `certify` and `verify`, at `certifair.gate.judge`, or at `prove`.
Each is imported when it is first used, so that a verifier loads nothing but what verifies.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certifair.certificate.api import certify, verify
    from certifair.evidence.ingest import ingest
    from certifair.individual import Proof
    from certifair.layer.fairness_layer import FairnessLayer
    from certifair.spec.policy import Policy
    from certifair.training.model import FairModel

__version__ = "0.1.0"
__all__ = ["FairModel", "FairnessLayer", "Policy", "__version__", "certify", "ingest", "prove", "verify"]

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
