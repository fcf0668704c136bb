"""Reading one `[[property]]` of a policy: by its kind and form, which decide what else belongs to it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from certifair.spec import metrics
from certifair.spec import toml_reader as read
from certifair.spec.policy import (
    SPANS,
    STABILITY,
    LayerSpec,
    Property,
    log_property,
    replay_property,
    stability_property,
)
from certifair.spec.terms import LOG_FORMS
from certifair.spec.toml_reader import Table, nearest

KINDS = ("replay", "feasibility", "stability", "aggregate", "individual", "population")
METHODS = ("clopper_pearson", "beta_mixture", "empirical_bernstein")
STREAM_FORMS = ("pooled", "moment", "window", "weighted", "skipped", "bound", *LOG_FORMS)


def metric_name(value: object) -> str | None:
    """A known metric's name; ValueError with the nearest one."""
    if value not in metrics.names():
        raise ValueError(f"a known metric ({nearest(str(value), metrics.names())})")
    return str(value)


def check_condition(table: Table, metric: str, condition: str | None) -> None:
    """A condition is there exactly where the metric needs one."""
    if metrics.get(metric).needs_condition != (condition is not None):
        if condition is None:
            raise table.error("condition", "is missing", f"{metric} needs the column to condition on")
        raise table.error("condition", f"does not belong to {metric}")


def _threshold(table: Table, *, has_ratio: bool) -> tuple[str, Fraction]:
    """(form, threshold): exactly one of epsilon and ratio."""
    form = table.take("form", read.one_of("difference", "ratio", "projection"), "")
    epsilon = table.take("epsilon", read.non_negative, None)
    ratio = table.take("ratio", read.non_negative, None)
    if epsilon is None and ratio is None:
        raise table.missing("epsilon", "or ratio must be given, one of them")
    if epsilon is not None and ratio is not None:
        raise table.error("epsilon or ratio", "must be given, one of them")
    if ratio is None:
        assert epsilon is not None
        if form == "ratio":
            raise table.error("form", "= 'ratio' needs ratio, not epsilon")
        return form or "difference", epsilon
    if form not in ("", "ratio"):
        raise table.error("form", f"= {form!r} needs epsilon, not ratio")
    if not has_ratio:
        raise table.error("ratio", "is not defined for this metric", "use epsilon")
    return "ratio", ratio


def parse_property(table: Table, threshold: Fraction, layer: LayerSpec | None = None) -> Property:
    """One demand; `threshold` is the system's of a decision, `layer` its layer. Raises PolicyError naming the key."""
    kind = table.take("kind", read.one_of(*KINDS))
    if kind == "replay":
        return _replay(table)
    if kind == "aggregate":
        return _aggregate(table, threshold)
    if kind == "individual":
        return _individual(table, threshold)
    if kind == "stability":
        return _stability(table, layer)
    metric = table.take("metric", metric_name)
    assert metric is not None
    form, limit = _threshold(table, has_ratio=metrics.get(metric).has_ratio)
    population = kind == "population"
    default_map = "decisions" if population else "served"
    found = Property(
        id=table.take("id", read.text),
        kind=kind,
        form=form,
        metric=metric,
        sensitive_features=table.take("sensitive_features", read.texts),
        intersectional=table.take("intersectional", read.flag, default=False),
        condition=table.take("condition", read.optional_text, None),
        threshold=limit,
        tau=table.take("tau", read.non_negative, Fraction(0)),
        decision_threshold=table.take("threshold", read.decimal, threshold),
        confidence=table.take("confidence", read.open_unit, Fraction(19, 20) if population else None),
        map=table.take("map", read.one_of("scores", "decisions", "served"), default_map),
        method=table.take("method", read.one_of(*METHODS), "") if population else "",
        min_group_size=table.take("min_group_size", read.count, 10),
    )
    table.finish()
    check_condition(table, metric, found.condition)
    return _with_method(table, found) if population else _checked_feasibility(table, found)


def _replay(table: Table) -> Property:
    """Everybody's score against the network's value: there is nothing to choose but how near."""
    found = replay_property(table.take("epsilon", read.non_negative), table.take("id", read.text))
    for key, _ in table.items():
        raise table.error(key, "does not belong to kind = 'replay'", "it has id, kind and epsilon, and nothing else")
    return found


def _checked_feasibility(table: Table, found: Property) -> Property:
    if found.confidence is not None:
        raise table.error("confidence", f"belongs to kind = 'population', not to {found.kind!r}")
    if found.form == "projection" and (found.map != "served" or found.tau):
        raise table.error("form = 'projection'", "speaks of map = 'served', with tau = 0")
    return found


def _with_method(table: Table, found: Property) -> Property:
    """The interval's method, by default the one that fits the map; what has no theorem is refused."""
    if found.map == "served":
        advice = "use map = 'scores' or 'decisions' of a frozen per-person score, or kind = 'feasibility'"
        raise table.error("map", "= 'served' has no interval: served predictions depend on each other", advice)
    if found.form == "projection":
        raise table.error("form", "= 'projection' belongs to kind = 'feasibility'")
    fitting = ("empirical_bernstein",) if found.map == "scores" else ("clopper_pearson", "beta_mixture")
    if found.map == "decisions" and not metrics.get(found.metric).has_ratio:
        raise table.error("map", f"= 'decisions' does not go with {found.metric}", "use map = 'scores'")
    method = found.method or fitting[0]
    if method not in fitting:
        raise table.error("method", f"= {method!r} does not go with map = {found.map!r}", f"use {' or '.join(fitting)}")
    return Property(**{**found.__dict__, "method": method})


def _aggregate(table: Table, threshold: Fraction) -> Property:
    """A demand of a whole stream (certificates/README.md 9.10)."""
    form = table.take("form", read.one_of(*STREAM_FORMS), "pooled")
    if form in LOG_FORMS:
        found = log_property(form, table.take("id", read.text))
        for key, _ in table.items():
            raise table.error(key, f"does not belong to form = {form!r}", "it has id, kind and form, and nothing else")
        return found
    metric = table.take("metric", metric_name)
    assert metric is not None
    found = Property(
        id=table.take("id", read.text),
        kind="aggregate",
        form=form,
        metric=metric,
        sensitive_features=table.take("sensitive_features", read.texts),
        intersectional=table.take("intersectional", read.flag, default=False),
        condition=table.take("condition", read.optional_text, None),
        threshold=table.take("epsilon", read.non_negative),
        tau=table.take("tau", read.non_negative, Fraction(0)),
        decision_threshold=table.take("threshold", read.decimal, threshold),
        confidence=None,
        map=table.take("map", read.one_of("scores", "decisions", "served"), "served"),
        method="",
        min_group_size=table.take("min_group_size", read.count, 10),
        span=_span(table, form),
    )
    table.finish()
    check_condition(table, metric, found.condition)
    if metrics.get(metric).needs_label or not metrics.get(metric).has_ratio:
        raise table.error(
            "metric", f"= {metric!r} needs labels, which a stream does not know", "use kind = 'feasibility'"
        )
    if form in ("skipped", "bound") and (found.map != "served" or found.tau):
        raise table.error(f"form = {form!r}", "speaks of map = 'served', with tau = 0")
    if form in ("pooled", *SPANS):
        return found
    # a batch of a stream counts with one person of each group; nothing is said of decisions unless they are meant
    threshold_of = found.decision_threshold if found.map == "decisions" else Fraction(0)
    return replace(found, min_group_size=1, decision_threshold=threshold_of)


def _individual(table: Table, threshold: Fraction) -> Property:
    """The least share of people whose decision does not depend on some inputs (certificates/README.md 9.11)."""
    relaxed = table.table("relaxed")
    found = Property(
        id=table.take("id", read.text),
        kind="individual",
        form=table.take("form", read.one_of("rows", "domain"), "rows"),
        metric="",
        sensitive_features=table.take("sensitive_features", read.texts),
        intersectional=False,
        condition=None,
        threshold=table.take("share", read.unit),
        tau=Fraction(0),
        decision_threshold=table.take("threshold", read.decimal, threshold),
        confidence=None,
        map=table.take("map", read.one_of("decisions", "served"), "decisions"),
        method=table.take("method", read.one_of("real", "float32"), "real"),
        min_group_size=1,
        relaxed=tuple((name, relaxed.take(name, read.positive)) for name in sorted(relaxed.names())),
    )
    table.finish()
    for name, _ in found.relaxed:
        if name in found.sensitive_features:
            raise table.error("relaxed", f"names {name!r}, which is sensitive and free anyway")
    return found


def _stability(table: Table, layer: LayerSpec | None) -> Property:
    """How far outputs can move: of a layer, that of the policy if it has one, or of the network.

    certificates/README.md 9.12.
    """
    name = table.take("id", read.text)
    given = [key for key in STABILITY if table.has(key)]
    if len(given) != 1:
        raise table.error(" or ".join(STABILITY), "must be given, one of them")
    form = STABILITY[given[0]]
    threshold = table.take(given[0], read.unit if form == "differentiable" else read.non_negative)
    if form != "lipschitz" and (layer is None or layer.metric is None):
        layer = _another_layer(table, given[0])
    found = stability_property(layer, form, threshold, name)
    if form == "lipschitz":
        over = table.take("inputs", read.one_of("everywhere", "domain", "ranges"), "everywhere")
        found = replace(found, map=table.take("map", read.one_of("scores", "served"), "scores"), method=over)
    table.finish()
    return found


def _another_layer(table: Table, key: str) -> LayerSpec:
    """A layer that this policy does not describe under [layer], as a relying party's need not: what it equalises."""
    metric = table.take("metric", metric_name, None)
    if metric is None:
        advice = "describe it under [layer], or name its metric and sensitive_features here"
        raise table.error(key, "speaks of a layer", advice)
    found = LayerSpec(
        metric=metric,
        sensitive_features=table.take("sensitive_features", read.texts),
        intersectional=table.take("intersectional", read.flag, default=False),
        condition=table.take("condition", read.optional_text, None),
        epsilon=None,
        lower=Fraction(0),
        upper=Fraction(1),
    )
    check_condition(table, metric, found.condition)
    return found


def _span(table: Table, form: str) -> int | None:
    """`after`: from how many people on a moment counts; `window`: people of a window."""
    key = SPANS.get(form)
    return None if key is None else table.take(key, read.positive_count)
