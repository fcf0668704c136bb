"""The served system as `system.json` describes it: what a certificate is about."""

from __future__ import annotations

from certifair.exact.decimals import format_decimal
from certifair.spec import Json
from certifair.spec.policy import Policy


def system_of(policy: Policy, model: Json | None, preprocessing: str | None) -> Json:
    """Everything the policy says of the system, and the digests of its files (which are digested, not copied)."""
    system = policy.system
    return {
        "name": system.name,
        "version": system.version,
        "model": model,
        "preprocessing": preprocessing,
        "layer": _layer(policy),
        "box": None
        if policy.layer is None
        else {"lower": format_decimal(policy.layer.lower), "upper": format_decimal(policy.layer.upper)},
        "batch": policy.serve.batch,
        "online": _online(policy),
        "threshold": format_decimal(policy.serve.threshold),
        "frozen": system.frozen,
        "heldOut": system.held_out,
    }


def _layer(policy: Policy) -> Json | None:
    layer = policy.layer
    if layer is None or policy.served_metric is None or layer.epsilon is None:
        return None
    return {
        "metric": policy.served_metric,
        "sensitiveFeatures": list(layer.sensitive_features),
        "intersectional": layer.intersectional,
        "condition": layer.condition,
        "epsilon": format_decimal(layer.epsilon),
    }


def _online(policy: Policy) -> Json | None:
    serve = policy.serve
    if serve.online is None:
        return None
    return {"algorithm": serve.online, "eta0": None if serve.eta0 is None else format_decimal(serve.eta0)}
