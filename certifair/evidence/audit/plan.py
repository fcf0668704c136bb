"""What an audit reads and asks, from a policy or from the names that a user gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import final

from certifair.errors import InputError, PolicyError
from certifair.evidence.audit.mapping import FEATURE, Mapping
from certifair.evidence.audit.parts import Inspected
from certifair.evidence.audit.tally import Tally
from certifair.spec.groups import MISSING, partitions_of
from certifair.spec.policy import Policy, Property, Values
from certifair.spec.terms import Terms, terms_of
from certifair.spec.toml_reader import nearest

MOST_ROWS = 50_000
"""Pairs of groups that are compared, as in a policy."""


@final
@dataclass(frozen=True)
class Asked:
    """What the user wrote beside the names of files. `groups` and `condition` are `NAME` or `NAME=EXPRESSION`."""

    prediction: str | None = None
    score: str | None = None
    groups: tuple[str, ...] = ()
    condition: str | None = None
    intersectional: bool = False
    threshold: Fraction | None = None


@final
@dataclass(frozen=True)
class Plan:
    """The mapping, every threshold of a decision, and, with a policy, the properties and the declared values."""

    mapping: Mapping
    thresholds: tuple[Fraction, ...]
    asked: Asked
    properties: tuple[Property, ...] = ()
    declared: Values = field(default_factory=dict)
    ignored: int = 0


def named(text: str) -> tuple[str, str]:
    """(name, expression) of `NAME=EXPRESSION`; an expression alone is its own name.

    >>> named("sex=request:$.sex"), named("sex")
    (('sex', 'request:$.sex'), ('sex', 'sex'))
    """
    name, equals, expression = text.partition("=")
    if equals and (not name or not expression):
        raise InputError(f"{text!r} is not NAME=COLUMN", where="--group")
    return (name, expression) if equals else (text, text)


def plan(files: Sequence[Inspected], asked: Asked, policy: Policy | None, where: str) -> Plan:
    """Raises InputError where names do not suffice, PolicyError where the policy does not."""
    if policy is not None:
        return _by_policy(files, asked, policy, where)
    own = all(file.own for file in files)
    prediction = asked.prediction or ("prediction" if own else None)
    if prediction is None:
        advice = "give --prediction COLUMN, or --policy FILE; only logs of certifair need neither"
        raise InputError("no column of predictions is named", where=files[0].source.path, advice=advice)
    score = asked.score or ("score" if own and asked.prediction is None else None)
    columns = dict(named(text) for text in asked.groups)
    if own and not columns:
        columns = {name.removeprefix(FEATURE): name for name in files[0].names if name.startswith(FEATURE)}
    if asked.condition is not None:
        columns |= dict([named(asked.condition)])
    if len(columns) <= (asked.condition is not None):
        raise InputError(
            "no group is named", where=files[0].source.path, advice="give --group COLUMN, once or more often"
        )
    threshold = Fraction(1, 2) if asked.threshold is None else asked.threshold
    return Plan(Mapping(prediction, score, tuple(columns.items())), (threshold,), asked)


def _by_policy(files: Sequence[Inspected], asked: Asked, policy: Policy, where: str) -> Plan:
    if asked.threshold is not None or asked.intersectional:
        option = "--threshold" if asked.threshold is not None else "--intersectional"
        raise InputError("does not go with --policy, whose properties say it", where=option)
    items = tuple(item for item in policy.properties if item.kind == "aggregate" and item.form == "pooled")
    own = all(file.own for file in files)
    names = policy.predictions
    prediction = asked.prediction or ("prediction" if own else names.prediction or names.score)
    if prediction is None:
        advice = "write [predictions] score = … or prediction = …, the columns of the log"
        raise PolicyError("names neither a score nor a prediction", where=where, advice=advice)
    score = (asked.score or ("score" if own else names.score)) if any(item.map != "served" for item in items) else None
    if score is None and any(item.map != "served" for item in items):
        raise PolicyError("speaks of scores, but names none", where=where, advice="write [predictions] score = …")
    columns = _columns(items, policy)
    if not columns:
        advice = "write a property of kind aggregate, form pooled, or [data] sensitive_features"
        raise PolicyError("names no group that an audit could compare", where=where, advice=advice)
    given = dict(named(text) for text in (*asked.groups, *((asked.condition,) if asked.condition else ())))
    for name in given:
        if name not in columns:
            raise InputError(
                f"{name!r} is no column of the policy's properties", where="--group", advice=nearest(name, columns)
            )
    mapping = Mapping(prediction, score, tuple((name, given.get(name, name)) for name in columns))
    thresholds = tuple(dict.fromkeys(item.decision_threshold for item in items)) or (policy.serve.threshold,)
    ignored = len(policy.properties) - len(items)
    return Plan(mapping, thresholds, asked, items, _declared(columns, policy, where), ignored)


def _columns(items: Iterable[Property], policy: Policy) -> tuple[str, ...]:
    """The columns of the properties; the policy's sensitive features where it has none of ours."""
    used = [
        name for item in items for name in (*item.sensitive_features, *([item.condition] if item.condition else []))
    ]
    return tuple(dict.fromkeys(used or policy.data.sensitive_features))


def _declared(columns: Sequence[str], policy: Policy, where: str) -> Values:
    found: Values = {}
    for column in columns:
        if column not in policy.data.values:
            advice = f'write under [data.values]: {column} = ["…", "…"], every value it can take'
            raise PolicyError(f"the values of {column!r} are not declared", where=where, advice=advice)
        found[column] = policy.data.values[column] + ((MISSING,) if policy.data.missing == "group" else ())
    return found


def unexpected(made: Plan, tally: Tally) -> tuple[str, str, str] | None:
    """(key, value, what is wrong) of a value that the policy does not declare; None if there is none."""
    for key in tally.keys:
        for value in tally.values(key):
            if value in made.declared[key]:
                continue
            n = tally.merged([key])[(value,)].n
            if value == MISSING:
                return key, value, f"{key!r} is missing in {n} rows"
            close = nearest(value, made.declared[key])
            return key, value, f"the value {value!r} of {key!r}, in {n} rows, is not declared ({close})"
    return None


def terms(made: Plan, tally: Tally) -> list[Terms]:
    """What is asked of the tally: the policy's properties, or the parity of all groups that were found."""
    if made.declared:
        return [terms_of(item, made.declared) for item in made.properties]
    return _free_terms(made, tally)


def _free_terms(made: Plan, tally: Tally) -> list[Terms]:
    asked = made.asked
    condition = None if asked.condition is None else named(asked.condition)[0]
    features = tuple(name for name, _ in made.mapping.columns if name != condition)
    values = {key: tally.values(key) for key in tally.keys}
    partitions = partitions_of(features, values, intersectional=asked.intersectional)
    conditions = values[condition] if condition is not None else ()
    pairs = sum(len(p.groups) * (len(p.groups) - 1) // 2 for p in partitions) * max(1, len(conditions))
    if pairs > MOST_ROWS:
        what = f"{pairs} pairs of groups are too many to compare (at most {MOST_ROWS})"
        raise InputError(what, where="--group", advice="choose columns with fewer values")
    maps = ["served", *(["scores"] if made.mapping.score is not None else [])]
    return [
        Terms(
            id={"served": "predictions", "scores": "scores"}[about],
            kind="aggregate",
            form="pooled",
            map=about,
            metric_name="demographic_parity" if condition is None else "conditional_parity",
            sensitive_features=features,
            intersectional=asked.intersectional,
            condition_on=condition,
            conditions=conditions,
            partitions=partitions,
            threshold=Fraction(0),
            tau=Fraction(0),
            decision_threshold=made.thresholds[0],
            min_group_size=1,
            confidence=None,
            method="exact",
        )
        for about in maps
    ]
