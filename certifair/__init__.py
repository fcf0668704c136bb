"""certifair: certificates of fairness that a stranger can check.

Start at `FairnessLayer` and `FairModel`, or at `ingest`, `certify` and `verify`, and `certifair.gate.judge`. Each is
imported when it is first used, so that a verifier loads nothing but what verifies.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certifair.certificate.api import certify, verify
    from certifair.evidence.ingest import ingest
    from certifair.layer.fairness_layer import FairnessLayer
    from certifair.spec.policy import Policy
    from certifair.training.model import FairModel

__version__ = "0.1.0"
__all__ = ["FairModel", "FairnessLayer", "Policy", "__version__", "certify", "ingest", "verify"]

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
