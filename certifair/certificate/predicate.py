"""The predicate: what the verifying steps need to know of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from certifair.checks.base import Context
from certifair.spec import Json

PREDICATE_TYPE = "urn:certifair:certificate:v0"


def context_of(system: Mapping[str, Any], n: int, multiplicity: int) -> Context:
    """What claims need to know of their certificate."""
    return Context(n=n, multiplicity=multiplicity, frozen_holdout=system["frozen"] and system["heldOut"])


def digest_of(materials: list[Json], role: str) -> str:
    """The SHA-256 of the material of that role."""
    return next(str(item["sha256"]) for item in materials if item["role"] == role)
