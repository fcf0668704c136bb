"""JSON for programs."""

from __future__ import annotations

import json
from typing import final

from certifair.gate.evaluate import GateResult, PropertyResult
from certifair.gate.outputs.base import Output
from certifair.spec import Json


@final
class JsonOutput(Output):
    """One object. ASCII only, so that no encoding of a stream can spoil it; figures are decimals in texts."""

    name = "json"

    def render(self, result: GateResult, policy_path: str, policy_text: str) -> str:
        content = {
            "verdict": result.verdict.value,
            "subject": result.subject,
            "serial": result.serial,
            "properties": [_property(item) for item in result.properties],
        }
        return json.dumps(content, indent=2) + "\n"


def _property(item: PropertyResult) -> Json:
    return {
        "id": item.id,
        "verdict": item.verdict.value,
        "statement": item.statement,
        "reason": item.reason,
        "claim": item.claim,
        "threshold": item.threshold,
        "estimate": item.estimate,
        "lower": item.lower,
        "upper": item.upper,
        "groups": [
            {"name": group.name, "verdict": group.verdict.value, "reason": group.reason} for group in item.groups
        ],
    }
