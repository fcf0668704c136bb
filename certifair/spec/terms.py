"""The terms of a claim: everything it says before anybody measured anything. From a policy, or from a certificate."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, final

from certifair.exact.decimals import format_decimal, parse_decimal
from certifair.spec import Json, metrics
from certifair.spec.groups import Cell, Partition, cells_of, partitions_of
from certifair.spec.metrics.base import Metric, Row
from certifair.spec.ranges import Range

if TYPE_CHECKING:
    from certifair.spec.policy import Property


LOG_FORMS = ("steps", "chain")
"""Forms of kind `aggregate` that speak of the log as such, not of groups."""
AT_LEAST = ("ratio", "rows", "domain", "differentiable", "radius")
"""Forms whose figure must be at least the threshold."""
OF_THE_LAYER = ("projection", "treatment", "differentiable", "radius", "sensitivity")
"""Forms about a layer, which is described in their witness."""
_SCOPES = {"population": "population", "aggregate": "log", "domain": "domain", "lipschitz": "domain"}
_WHAT = {"served": "prediction", "scores": "score"}


@final
@dataclass(frozen=True)
class Terms:
    """What a claim says. Thresholds are exact; groups and conditions are the declared ones.

    A replay speaks of no groups, nor does a log as such: the metric's name is empty (null in a certificate), and so are
    the lists. `span` is the number of people of a moment or window. An individual claim names inputs of the network as
    sensitive, and `domain` says what every input may be; so does that of a Lipschitz claim, unless it is about all.
    """

    id: str
    kind: str
    form: str
    map: str
    metric_name: str
    sensitive_features: tuple[str, ...]
    intersectional: bool
    condition_on: str | None
    conditions: tuple[str, ...]
    partitions: tuple[Partition, ...]
    threshold: Fraction
    tau: Fraction
    decision_threshold: Fraction
    min_group_size: int
    confidence: Fraction | None
    method: str
    span: int | None = None
    domain: tuple[Range, ...] | None = None
    box: tuple[Fraction, Fraction] | None = None
    """A relying party's own bounds of what is served; None takes those of the witness. Not part of a claim."""

    @property
    def metric(self) -> Metric:
        return metrics.get(self.metric_name)

    @property
    def comparator(self) -> str:
        return ">=" if self.form in AT_LEAST else "<="

    @functools.cached_property
    def rows(self) -> tuple[Row, ...]:
        """All rows, in order; of one condition-and-partition after the other."""
        return self.metric.rows(self.partitions, self.conditions, self.condition_on)

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        return cells_of(self.partitions, self.conditions)

    @property
    def least(self) -> int:
        """The fewest people that a cell must hold to be spoken of: never 0."""
        return max(1, self.min_group_size)

    def holds(self, value: Fraction) -> bool:
        """Whether a row of this value keeps the threshold, the solver tolerance granted."""
        if self.form in AT_LEAST:
            return value >= self.threshold - self.tau
        return value <= self.threshold + self.tau

    def worse(self, a: Fraction, b: Fraction) -> bool:
        """Whether a is a strictly worse value than b."""
        return a < b if self.form in AT_LEAST else a > b

    def to_json(self) -> Json:
        """The members of a claim that are terms (certificates/README.md 9.2)."""
        return {
            "id": self.id,
            "kind": self.kind,
            "form": self.form,
            "map": self.map,
            "scope": _SCOPES.get(self.kind) or _SCOPES.get(self.form, "batch"),
            "metric": self.metric_name or None,
            "sensitiveFeatures": list(self.sensitive_features),
            "intersectional": self.intersectional,
            "conditionOn": self.condition_on,
            "conditions": list(self.conditions),
            "partitions": [
                {"features": list(p.features), "groups": [list(group) for group in p.groups]} for p in self.partitions
            ],
            "comparator": self.comparator,
            "threshold": format_decimal(self.threshold),
            "tau": format_decimal(self.tau),
            "decisionThreshold": format_decimal(self.decision_threshold),
            "minGroupSize": self.min_group_size,
            "span": self.span,
            "confidence": None if self.confidence is None else format_decimal(self.confidence),
            "method": self.method,
            "domain": None if self.domain is None else [item.to_json() for item in self.domain],
        }

    @staticmethod
    def from_json(claim: Mapping[str, Any]) -> Terms:
        """The terms of a claim that matches the schema. Inverse of `to_json` on the members read here."""
        return Terms(
            id=claim["id"],
            kind=claim["kind"],
            form=claim["form"],
            map=claim["map"],
            metric_name=claim["metric"] or "",
            sensitive_features=tuple(claim["sensitiveFeatures"]),
            intersectional=claim["intersectional"],
            condition_on=claim["conditionOn"],
            conditions=tuple(claim["conditions"]),
            partitions=tuple(
                Partition(tuple(p["features"]), tuple(tuple(group) for group in p["groups"]))
                for p in claim["partitions"]
            ),
            threshold=parse_decimal(claim["threshold"]),
            tau=parse_decimal(claim["tau"]),
            decision_threshold=parse_decimal(claim["decisionThreshold"]),
            min_group_size=claim["minGroupSize"],
            confidence=None if claim["confidence"] is None else parse_decimal(claim["confidence"]),
            method=claim["method"],
            span=claim["span"],
            domain=None if claim["domain"] is None else tuple(map(Range.from_json, claim["domain"])),
        )

    def what(self) -> str:
        """The thing whose mean is compared."""
        return _WHAT.get(self.map) or f"decision (score > {format_decimal(self.decision_threshold)})"


def terms_of(item: Property, values: Mapping[str, Sequence[str]], domain: tuple[Range, ...] | None = None) -> Terms:
    """The terms of a policy's property, its groups and conditions spelled out from the declared values.

    domain: that of an individual or a Lipschitz property.
    """
    conditions = tuple(values[item.condition]) if item.condition else ()
    exact_method = "duality" if item.form == "projection" else "exact"
    return Terms(
        id=item.id,
        kind=item.kind,
        form=item.form,
        map=item.map,
        metric_name=item.metric,
        sensitive_features=item.sensitive_features,
        intersectional=item.intersectional,
        condition_on=item.condition_on,
        conditions=conditions if item.about is None else item.about.label_conditions or conditions,
        partitions=()
        if not item.metric
        else partitions_of(item.sensitive_features, values, intersectional=item.intersectional),
        threshold=item.threshold,
        tau=item.tau,
        decision_threshold=item.decision_threshold,
        min_group_size=1 if item.form in OF_THE_LAYER else item.min_group_size,
        confidence=item.confidence,
        method=item.method or exact_method,
        span=item.span,
        domain=domain,
    )


def quoted(name: str) -> str:
    """A name that cannot be read as part of the sentence around it."""
    return json.dumps(name, ensure_ascii=False)


_AVERAGE = "average of a batch's difference between two groups' mean {what}, weighted by its people,"
_PROJECTION = "projection of the scores onto {metric} at most {epsilon} in [{lower}, {upper}]"
_QUANTITIES = {
    "network": "the largest difference between a logged score and the value of the network over the reals",
    "projection": ("the root mean square distance between served predictions and the exact " + _PROJECTION),
    "treatment": (
        "the largest difference between what two people of unequal groups are served whose scores are equal, or of "
        "whom the better served has the lower one,"
    ),
    "differentiable": "the share of batches at whose scores the exact " + _PROJECTION + " is differentiable,",
    "radius": "the least distance of a batch's scores from where the derivative of the exact "
    + _PROJECTION
    + " changes,",
    "sensitivity": (
        "the largest change of anybody else's value of the exact " + _PROJECTION + " where one person joins a batch, "
        "leaves it, or changes group,"
    ),
    "ratio": "the smallest ratio between two groups' mean {what}",
    "weighted": "the largest " + _AVERAGE,
    "bound": "the largest bound that a last multiplier gives on the " + _AVERAGE,
    "skipped": "the largest share of people who were served in a batch without one of two groups,",
    "steps": "every multiplier and step size in the log follows from the predictions before it",
    "chain": "the log's records are those that its head commits to, in their order, none changed, missing or added",
}
_COUNTED = "over the batches of the log that hold both groups"
_EXTENTS = {
    "pooled": "over everybody in the log",
    "moment": "at the end of every batch, over everybody so far, from {span} people on",
    "window": "at the end of every batch, over the fewest latest batches with at least {span} people",
    "weighted": _COUNTED,
    "bound": _COUNTED,
    "skipped": "in the log",
    "differentiable": "in the evidence",
}


def statement(terms: Terms, layer: Mapping[str, str] | None = None) -> str:
    """The claim in words, derived from the terms alone (certificates/README.md 9.8 to 9.10)."""
    quantity = _QUANTITIES.get(terms.form) or (terms.metric.quantity if terms.metric_name else "")
    quantity = quantity.format(what=terms.what(), metric=terms.metric_name, **(layer or {}))
    bound = "at least" if terms.form in AT_LEAST else "at most"
    tolerance = f" (solver tolerance {format_decimal(terms.tau)})" if terms.tau else ""
    limit = f"{bound} {format_decimal(terms.threshold)}{tolerance}"
    if terms.kind == "individual":
        return f"{_whose(terms)} is {limit}"
    if terms.form == "lipschitz":
        return f"{_LIPSCHITZ[terms.map]}, {_OVER[terms.method]}, is {limit}"
    if terms.form == "network":
        return f"{quantity}, for everybody in the evidence, is {limit}"
    if terms.form in LOG_FORMS:
        return quantity
    within = f", within each {quoted(terms.condition_on)}" if terms.condition_on else ""
    groups = " and ".join(" × ".join(map(quoted, partition.features)) for partition in terms.partitions)
    return f"{quantity} over {groups}{within}, {_extent(terms)}, is {limit}"


_LIPSCHITZ = {
    "scores": "the Lipschitz constant of the network's score, Euclidean",
    "served": (
        "the Lipschitz constant of a batch's predictions, exactly projected, as a function of its people's inputs, "
        "Euclidean, groups fixed"
    ),
}
_OVER = {
    "everywhere": "over all inputs, in their units",
    "domain": "over the domain, in the units of the inputs",
    "ranges": "over the domain, each input in units of its range",
}
_ARITHMETIC = {"real": "over the reals", "float32": "in every float32 evaluation"}
_WHO = {"rows": "the people in the evidence", "domain": "all people of the domain"}


def _whose(terms: Terms) -> str:
    """The share that an individual claim speaks of."""
    limit = format_decimal(terms.decision_threshold)
    decision = f"decision ({'prediction' if terms.map == 'served' else 'score'} > {limit})"
    flipped = ", ".join(map(quoted, terms.sensitive_features))
    moved = [f"{quoted(item.column)} by {format_decimal(item.eps)}" for item in terms.domain or () if item.eps]
    relaxed = f" while others may move ({', '.join(moved)})" if moved else ""
    arithmetic = _ARITHMETIC[terms.method]
    return f"the share of {_WHO[terms.form]} whose {decision} does not depend on {flipped}{relaxed}, {arithmetic},"


def _extent(terms: Terms) -> str:
    if terms.confidence is not None:
        return f"in the population with confidence {format_decimal(terms.confidence)}"
    return _EXTENTS.get(terms.form, "in every batch").format(span=terms.span)
