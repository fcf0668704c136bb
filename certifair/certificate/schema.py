"""Step 5: the shape of the predicate, by the JSON schema that is also the public one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs

_PATH = Path(__file__).parent / "certificate-v0.schema.json"


def check_shape(predicate: Any) -> None:
    """Raise ValueError naming the first member that does not match."""
    validator = jsonschema_rs.validator_for(json.loads(_PATH.read_bytes()))
    try:
        validator.validate(predicate)
    except jsonschema_rs.ValidationError as error:
        path = "/".join(str(part) for part in error.instance_path) or "predicate"
        raise ValueError(f"{path}: {error.message[:200]}") from None
