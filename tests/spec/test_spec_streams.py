"""Demands of a stream: the keys of kind `aggregate`, [serve] online and eta0, and what a claim says in words."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import pytest

from certifair.errors import PolicyError
from certifair.spec.policy import Policy, log_property, stream_property
from certifair.spec.terms import Terms, statement, terms_of

FORMS = ("pooled", "moment", "window", "weighted", "skipped", "bound")
SPANS = {"moment": "after", "window": "window"}
HEAD = """
[data]
sensitive_features = ["sex", "race"]
[data.values]
sex = ["f", "m"]
race = ["a", "b", "c"]
town = ["x", "y"]
"""
LAYER = '[layer]\nmetric = "demographic_parity"\nsensitive_features = "sex"\nepsilon = 0.02\n'
ODDS, RESIDUALS = (LAYER.replace("demographic_parity", name) for name in ("equalized_odds", "equalized_residuals"))


def demand(form: str | None = None, **keys: Any) -> str:
    """A `[[property]]` of kind aggregate; keys given as TOML, None takes one out."""
    found = {
        "id": '"x"',
        "kind": '"aggregate"',
        "metric": '"demographic_parity"',
        "sensitive_features": '"sex"',
        "epsilon": "0.1",
    }
    found |= {} if form is None else {"form": f'"{form}"'}
    found |= {SPANS[form]: "30"} if form in SPANS else {}
    found |= keys
    return "[[property]]\n" + "".join(f"{key} = {value}\n" for key, value in found.items() if value is not None)


def parse(text: str) -> Policy:
    return Policy.parse((HEAD + text).encode(), "p.toml")


def refused(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("p.toml")
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


# --------------------------------------------------------------------------------------------------- [[property]]
@pytest.mark.parametrize("form", FORMS)
def test_what_a_demand_says_by_default(form: str) -> None:
    (found,) = parse(demand(form)).properties
    assert (found.kind, found.form, found.metric, found.map) == ("aggregate", form, "demographic_parity", "served")
    assert (found.threshold, found.tau, found.confidence, found.method) == (Fraction(1, 10), 0, None, "")
    assert found.span == (30 if form in SPANS else None)
    collected = form in ("pooled", "moment", "window")
    assert found.min_group_size == (10 if collected else 1)
    assert found.decision_threshold == (Fraction(1, 2) if collected else 0)


def test_everybody_at_once_is_what_is_meant_without_a_form() -> None:
    assert parse(demand()).properties == parse(demand("pooled")).properties


def test_every_key_is_read() -> None:
    text = demand(
        "window",
        metric='"conditional_parity"',
        condition='"town"',
        sensitive_features='["sex", "race"]',
        intersectional="true",
        tau="0.001",
        threshold="0.7",
        map='"decisions"',
        min_group_size="3",
        window="500",
    )
    (found,) = parse(text).properties
    assert (found.sensitive_features, found.intersectional, found.condition) == (("sex", "race"), True, "town")
    assert (found.tau, found.decision_threshold, found.map) == (Fraction(1, 1000), Fraction(7, 10), "decisions")
    assert (found.min_group_size, found.span) == (3, 500)


def test_an_average_is_of_decisions_only_where_they_are_meant() -> None:
    for mapped, threshold in (("served", 0), ("scores", 0), ("decisions", Fraction(7, 10))):
        (found,) = parse(demand("weighted", map=f'"{mapped}"', threshold="0.7", min_group_size="25")).properties
        assert (found.map, found.decision_threshold, found.min_group_size) == (mapped, threshold, 1)


@pytest.mark.parametrize("form", ["chain", "steps"])
def test_demands_of_a_log_as_such(form: str) -> None:
    (found,) = parse(f'[[property]]\nid = "x"\nkind = "aggregate"\nform = "{form}"\n').properties
    assert found == log_property(form, "x")
    assert (found.metric, found.sensitive_features, found.threshold, found.span) == ("", (), 0, None)
    assert found.about is found.condition_on is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (demand("everybody"), ["form", "'everybody'", "pooled"]),
        (demand("moment", after=None), ["after", "missing"]),
        (demand("window", window=None), ["window", "missing"]),
        (demand("moment", after="0"), ["after", "0"]),
        (demand("moment", after="-3"), ["after", "-3"]),
        (demand("moment", after="2.5"), ["after", "2.5"]),
        (demand("moment", after="true"), ["after", "True"]),
        (demand("moment", window="30"), ["window"]),
        (demand("window", after="30"), ["after"]),
        (demand("pooled", after="30"), ["after"]),
        (demand("weighted", window="30"), ["window"]),
        (demand("pooled", epsilon=None), ["epsilon", "missing"]),
        (demand("pooled", epsilon="-0.1"), ["epsilon", "-0.1"]),
        (demand("pooled", epsilon=None, ratio="0.8"), ["epsilon", "missing"]),
        (demand("pooled", ratio="0.8"), ["ratio"]),
        (demand("pooled", confidence="0.95"), ["confidence"]),
        (demand("pooled", method='"beta_mixture"'), ["method"]),
        (demand("pooled", tau="-0.1"), ["tau"]),
        (demand("pooled", map='"everything"'), ["map", "everything"]),
        (demand("pooled", metric='"equalized_odds"'), ["metric", "labels", "feasibility"]),
        (demand("pooled", metric='"equal_opportunity"'), ["metric", "labels"]),
        (demand("moment", metric='"equalized_residuals"'), ["metric", "labels"]),
        (demand("pooled", metric='"conditional_parity"'), ["condition", "missing"]),
        (demand("pooled", condition='"town"'), ["condition", "does not belong"]),
        (demand("skipped", tau="0.1"), ["skipped", "tau = 0"]),
        (demand("skipped", map='"scores"'), ["skipped", "map = 'served'"]),
        (demand("bound", tau="0.1"), ["bound", "tau = 0"]),
        (demand("bound", map='"decisions"'), ["bound", "map = 'served'"]),
        (demand("chain"), ["metric", "does not belong to form = 'chain'", "id, kind and form"]),
        (demand("steps", metric=None, sensitive_features=None), ["epsilon", "does not belong to form = 'steps'"]),
        (demand("projection"), ["form", "projection"]),
        (demand("pooled", id=None), ["id", "missing"]),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, words: list[str]) -> None:
    message = refused(text)
    assert all(word in message for word in words), message


def test_two_demands_need_two_ids() -> None:
    assert "two properties have the id 'x'" in refused(demand("pooled") + demand("weighted"))


# --------------------------------------------------------------------------------------------------------- [serve]
def test_serving_by_the_papers_algorithm() -> None:
    serve = parse(LAYER + '[serve]\nbatch = 16\nonline = "paper"\n').serve
    assert (serve.online, serve.eta0, serve.batch) == ("paper", Fraction(1, 2), 16)
    assert parse(LAYER + '[serve]\nonline = "paper"\neta0 = 0.3\n').serve.eta0 == Fraction(3, 10)
    pooled = parse(LAYER + '[serve]\nonline = "pooled"\n').serve
    assert (pooled.online, pooled.eta0) == ("pooled", None)
    assert parse("").serve.online is parse("").serve.eta0 is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAYER + '[serve]\nonline = "newest"\n', ["online", "'newest'", "paper"]),
        (LAYER + '[serve]\nonline = "paper"\neta0 = 0\n', ["eta0", "0"]),
        (LAYER + '[serve]\nonline = "paper"\neta0 = -0.5\n', ["eta0", "-0.5"]),
        (LAYER + '[serve]\nonline = "pooled"\neta0 = 0.5\n', ["eta0", "online = 'paper'"]),
        (LAYER + "[serve]\neta0 = 0.5\n", ["eta0", "online = 'paper'"]),
        ('[serve]\nonline = "paper"\n', ["online", "layer"]),
        ('[layer]\nlower = 0\nupper = 1\n[serve]\nonline = "pooled"\n', ["online", "layer"]),
        (
            ODDS + '[serve]\nonline = "paper"\n',
            ["labels are not known"],
        ),
        (RESIDUALS + '[serve]\nonline = "pooled"\n', ["labels"]),
    ],
)
def test_what_cannot_serve_a_stream_is_refused(text: str, words: list[str]) -> None:
    message = refused(text)
    assert all(word in message for word in words), message


def test_what_the_algorithm_keeps_is_the_layers() -> None:
    policy = parse(LAYER)
    assert policy.layer is not None
    found = stream_property(policy.layer)
    assert (found.kind, found.form, found.threshold, found.min_group_size) == (
        "aggregate",
        "weighted",
        Fraction(1, 50),
        1,
    )
    assert (found.metric, found.sensitive_features) == ("demographic_parity", ("sex",))


# ------------------------------------------------------------------------------------------------------ statements
SEX = '"sex"'
DIFFERENCE = "the largest difference between two groups' mean"
AVERAGE = "average of a batch's difference between two groups' mean"
HELD = "over the batches of the log that hold both groups"


def said(text: str) -> str:
    policy = parse(text)
    terms = terms_of(policy.properties[0], policy.declared())
    assert Terms.from_json(terms.to_json()) == dataclasses.replace(terms, box=None)
    return statement(terms)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (demand("pooled"), f"{DIFFERENCE} prediction over {SEX}, over everybody in the log, is at most 0.1"),
        (
            demand("pooled", map='"decisions"', threshold="0.7", tau="0.001"),
            f"{DIFFERENCE} decision (score > 0.7) over {SEX}, over everybody in the log, is at most 0.1 "
            "(solver tolerance 0.001)",
        ),
        (
            demand("moment", map='"scores"'),
            f"{DIFFERENCE} score over {SEX}, at the end of every batch, over everybody so far, from 30 people on, "
            "is at most 0.1",
        ),
        (
            demand("window"),
            f"{DIFFERENCE} prediction over {SEX}, at the end of every batch, over the fewest latest batches with at "
            "least 30 people, is at most 0.1",
        ),
        (
            demand("weighted", sensitive_features='["sex", "race"]'),
            f'the largest {AVERAGE} prediction, weighted by its people, over "sex" and "race", {HELD}, is at most 0.1',
        ),
        (
            demand("weighted", metric='"conditional_parity"', condition='"town"'),
            f'the largest {AVERAGE} prediction, weighted by its people, over {SEX}, within each "town", {HELD}, '
            "is at most 0.1",
        ),
        (
            demand("skipped", sensitive_features='["sex", "race"]', intersectional="true"),
            "the largest share of people who were served in a batch without one of two groups, "
            'over "sex" × "race", in the log, is at most 0.1',
        ),
        (
            demand("bound"),
            f"the largest bound that a last multiplier gives on the {AVERAGE} prediction, weighted by its people, "
            f"over {SEX}, {HELD}, is at most 0.1",
        ),
        (
            '[[property]]\nid = "x"\nkind = "aggregate"\nform = "steps"\n',
            "every multiplier and step size in the log follows from the predictions before it",
        ),
        (
            '[[property]]\nid = "x"\nkind = "aggregate"\nform = "chain"\n',
            "the log's records are those that its head commits to, in their order, none changed, missing or added",
        ),
    ],
)
def test_a_claim_in_words(text: str, words: str) -> None:
    """Word by word what certificates/README.md 9.8 and 9.10 say."""
    assert said(text) == words


@pytest.mark.parametrize("form", [*FORMS, "steps", "chain"])
def test_terms_as_a_certificate_writes_them(form: str) -> None:
    text = f'[[property]]\nid = "x"\nkind = "aggregate"\nform = "{form}"\n' if form not in FORMS else demand(form)
    policy = parse(text)
    written = terms_of(policy.properties[0], policy.declared()).to_json()
    assert (written["scope"], written["method"], written["confidence"]) == ("log", "exact", None)
    assert written["span"] == (30 if form in SPANS else None)
    assert (written["metric"] is None) == (form not in FORMS)
    assert written["comparator"] == "<="
