"""Reading a policy: from TOML to `Policy`, every table and key checked, every error naming its place."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from certifair.errors import PolicyError
from certifair.spec import metrics
from certifair.spec import toml_reader as read
from certifair.spec.domain import LARGEST
from certifair.spec.groups import MISSING
from certifair.spec.policy import (
    DataSpec,
    GateSpec,
    LayerSpec,
    Policy,
    PredictionsSpec,
    Property,
    ServeSpec,
    SystemSpec,
)
from certifair.spec.property_file import check_condition, metric_name, parse_property
from certifair.spec.ranges import Range
from certifair.spec.terms import LOG_FORMS
from certifair.spec.toml_reader import Table
from certifair.spec.training import fractions, model_spec, training_spec

TABLES = {"data", "predictions", "system", "model", "training", "layer", "serve", "gate", "domain", "property"}
MOST_ROWS = 50_000
"""Pairs of groups that one property may compare: about 300 groups."""
ONLINE = ("paper", "pooled")
_NONE: tuple[str, ...] = ()


def parse_policy(content: bytes, where: str) -> Policy:
    """From the bytes of a TOML file; `where` names it in errors. Raises PolicyError."""
    table = Table(_toml(content, where), where)
    layer = _layer(table.table("layer"))
    serve = _serve(table.table("serve"))
    trains = table.has("model") or table.has("training")
    policy = Policy(
        data=_data(table.table("data")),
        predictions=_predictions(table.table("predictions")),
        system=_system(table.table("system")),
        layer=layer,
        serve=serve,
        gate=_gate(table.table("gate")),
        properties=tuple(parse_property(item, serve.threshold, layer) for item in table.tables("property")),
        domain=_ranges(table.table("domain")),
        model=model_spec(table.table("model")) if trains else None,
        training=training_spec(table.table("training")) if trains else None,
    )
    table.finish()
    _check_ids(policy, where)
    _check_online(policy, where)
    for item in policy.properties:
        _check_size(policy, item, where)
    return policy


def _toml(content: bytes, where: str) -> dict[str, object]:
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise PolicyError("starts with a byte-order mark", where=where, advice="save it as UTF-8 without one")
    try:
        loaded = tomllib.loads(content.decode("utf-8"), parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise PolicyError(f"is not UTF-8 (byte {error.start})", where=where) from None
    except ArithmeticError:
        raise PolicyError("holds a number that no decimal can be", where=where) from None
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"is not TOML: {error}", where=where) from None
    tool = loaded.get("tool")
    if not isinstance(tool, dict) or "certifair" not in tool:
        return loaded
    if beside := sorted(TABLES & set(loaded)):
        raise PolicyError(f"has [tool.certifair] and [{beside[0]}] beside it", where=where, advice="keep one of them")
    table: dict[str, object] = tool["certifair"]
    return table


def _data(table: Table) -> DataSpec:
    values = {key: read.group_values(value) for key, value in _checked_values(table.table("values"))}
    split = table.take("split", _split, None)
    spec = DataSpec(
        id=table.take("id", read.optional_text, None),
        label=table.take("label", read.optional_text, None),
        sensitive_features=table.take("sensitive_features", read.texts, _NONE),
        values=values,
        missing=table.take("missing", read.one_of("error", "group"), "error"),
        split=split if isinstance(split, str) else None,
        fractions=split if isinstance(split, tuple) else (),
        certify=table.take("certify", read.texts, ("test",)),
        train=table.take("train", read.texts, ("train",)),
        inputs=table.take("inputs", read.texts, None),
        window=table.take("window", read.pair_of_texts, None),
    )
    table.finish()
    return spec


def _split(value: object) -> str | tuple[tuple[str, Fraction], ...] | None:
    return read.text(value) if isinstance(value, str) else fractions(value)


def _checked_values(table: Table) -> list[tuple[str, object]]:
    items = table.items()
    for key, value in items:
        try:
            if MISSING in read.group_values(value):
                raise ValueError(f"free of {MISSING!r}, which names missing values")
        except ValueError as error:
            raise table.error(key, f"= {read.shown(value)} is not {error}") from None
    return items


def _predictions(table: Table) -> PredictionsSpec:
    spec = PredictionsSpec(*(table.take(key, read.optional_text, None) for key in ("score", "prediction", "batch")))
    table.finish()
    return spec


def _system(table: Table) -> SystemSpec:
    spec = SystemSpec(
        name=table.take("name", read.text, "unnamed system"),
        version=table.take("version", read.text, "unversioned"),
        model=table.take("model", read.optional_text, None),
        preprocessing=table.take("preprocessing", read.optional_text, None),
        frozen=table.take("frozen", read.flag, default=False),
        held_out=table.take("held_out", read.flag, default=False),
    )
    table.finish()
    return spec


def _layer(table: Table) -> LayerSpec | None:
    metric = table.take("metric", metric_name, None)
    features: tuple[str, ...] = table.take("sensitive_features", read.texts, _NONE)
    intersectional = table.take("intersectional", read.flag, default=False)
    condition = table.take("condition", read.optional_text, None)
    epsilon = table.take("epsilon", read.non_negative, None)
    lower = table.take("lower", read.optional_decimal, None)
    upper = table.take("upper", read.optional_decimal, None)
    table.finish()
    if metric is None and epsilon is None:
        if features or intersectional or condition:
            raise table.error("metric", "is missing", f"known: {', '.join(metrics.names())}")
        if lower is None and upper is None:
            return None
    elif metric is None or epsilon is None or not features:
        raise table.error("metric, sensitive_features and epsilon", "belong together")
    if metric is not None:
        check_condition(table, metric, condition)
    lower, upper = Fraction(0) if lower is None else lower, Fraction(1) if upper is None else upper
    if lower >= upper:
        raise table.error("lower", "must be below upper")
    return LayerSpec(metric, features, intersectional, condition, epsilon, lower, upper)


def _serve(table: Table) -> ServeSpec:
    spec = ServeSpec(
        batch=table.take("batch", read.count, 0),
        threshold=table.take("threshold", read.decimal, Fraction(1, 2)),
        labels_known=table.take("labels_known", read.flag, default=False),
        online=table.take("online", _online, None),
        eta0=table.take("eta0", read.positive, None),
    )
    table.finish()
    if spec.eta0 is not None and spec.online != "paper":
        raise table.error("eta0", "is the step size of online = 'paper'")
    return replace(spec, eta0=spec.eta0 or Fraction(1, 2)) if spec.online == "paper" else spec


def _online(value: object) -> str | None:
    return read.one_of(*ONLINE)(value)


def _gate(table: Table) -> GateSpec:
    spec = GateSpec(
        max_age_days=table.take("max_age_days", read.count, None),
        require_registration=table.take("require_registration", read.flag, default=False),
        max_excluded_share=table.take("max_excluded_share", read.share, None),
    )
    table.finish()
    return spec


def _ranges(table: Table) -> tuple[Range, ...]:
    """`[domain]`: age = { kind = "integer", low = 17, high = 90 }. Raises PolicyError naming the key."""
    return tuple(_range(table.table(name), name) for name in table.names())


def _range(table: Table, column: str) -> Range:
    kind = table.take("kind", read.one_of("integer", "continuous"))
    low, high = table.take("low", read.decimal), table.take("high", read.decimal)
    table.finish()
    if low > high:
        raise table.error("low", "is above high")
    if kind == "integer" and (low.denominator, high.denominator) != (1, 1):
        raise table.error("low and high", "of kind = 'integer' are whole numbers")
    if kind == "integer" and max(abs(low), abs(high)) > LARGEST:
        raise table.error("low and high", f"of kind = 'integer' lie within ±{LARGEST}, which float32 holds exactly")
    return Range(column, kind, low, high)


def _check_online(policy: Policy, where: str) -> None:
    """An algorithm that serves a stream keeps the layer's metric, which it must be able to see while serving."""
    if policy.serve.online is None:
        return
    metric = None if policy.layer is None else policy.layer.metric
    if metric is None:
        advice = "write [layer] metric, sensitive_features and epsilon"
        raise PolicyError("[serve] online serves by the layer's metric, and there is none", where=where, advice=advice)
    if metrics.get(metric).needs_label or not metrics.get(metric).has_ratio:
        advice = "use demographic_parity or conditional_parity"
        raise PolicyError(f"[serve] online cannot keep {metric}: labels are not known yet", where=where, advice=advice)


def _check_ids(policy: Policy, where: str) -> None:
    ids = [item.id for item in policy.properties]
    for name in ids:
        if ids.count(name) > 1:
            raise PolicyError(f"two properties have the id {name!r}", where=where, advice="ids must differ")
    for form in LOG_FORMS:
        if sum(item.form == form for item in policy.properties) > 1:
            raise PolicyError(f"two properties have the form {form!r}", where=where, advice="a log has one of them")


def _check_size(policy: Policy, item: Property, where: str) -> None:
    """Not more rows than a certificate can list, and at least one. Undeclared values are the owner's concern."""
    if item.about is None:
        return
    values, missing = policy.data.values, int(policy.data.missing == "group")
    columns = [*item.sensitive_features, *([item.condition] if item.condition else [])]
    if any(column not in values for column in columns):
        return
    sizes = [len(values[name]) + missing for name in item.sensitive_features]
    groups = [math.prod(sizes)] if item.intersectional else sizes
    conditions = len(values[item.condition]) + missing if item.condition else 1
    rows = conditions * sum(n * (n - 1) // 2 if item.about.has_ratio else n for n in groups)
    if not 1 <= rows <= MOST_ROWS:
        what = f"property {item.id!r} compares {rows} pairs of groups"
        raise PolicyError(what, where=where, advice=f"declare values that make 1 to {MOST_ROWS}")
