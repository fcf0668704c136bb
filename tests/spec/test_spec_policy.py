from __future__ import annotations

import inspect
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certifair.errors import PolicyError
from certifair.spec import toml_reader
from certifair.spec.policy import Policy, replay_property
from certifair.spec.toml_reader import nearest

COMPLETE = """
[data]
id = "person"
label = "repaid"
sensitive_features = ["sex", "age"]
missing = "group"
split = "part"
certify = ["test", "late"]
train = ["fit"]
inputs = ["income", "debt"]
window = ["2025-01-01", "2025-06-30"]

[data.values]
sex = ["f", "m"]
age = [1, 2, "3+"]
town = ["big", "small"]

[predictions]
score = "s"
prediction = "p"
batch = "b"

[system]
name = "lending"
version = "7"
model = "model.onnx"
preprocessing = "prep.json"
frozen = true
held_out = true

[model]
factory = "house.nets:small"
hidden = [8, 4]
activation = "tanh"
final = "none"
layer_norm = true
seed = 3

[training]
method = "penalty"
epochs = 7
batch = 64
learning_rate = 0.01
weight_decay = 0.001
patience = 2
validation = 0.2
loss = "mse"
penalty = 1.5
hide_sensitive = true
audit = 2

[layer]
metric = "conditional_parity"
sensitive_features = "sex"
intersectional = true
condition = "town"
epsilon = 0.03
lower = -0.5
upper = 2

[serve]
batch = 256
threshold = 0.4
labels_known = true
online = "paper"
eta0 = 0.25

[gate]
max_age_days = 30
require_registration = true
max_excluded_share = 0.02

[[property]]
id = "one"
kind = "feasibility"
form = "difference"
metric = "conditional_parity"
sensitive_features = ["sex", "age"]
intersectional = true
condition = "town"
epsilon = 0.05
tau = 0.000001
threshold = 0.7
min_group_size = 5
map = "scores"

[[property]]
id = "two"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
ratio = 0.8
confidence = 0.99
method = "beta_mixture"
map = "decisions"
"""


def parse(text: str) -> Policy:
    return Policy.parse(text.encode(), "p.toml")


def refused(text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(PolicyError) as caught:
        Policy.parse(content, "p.toml")
    message = str(caught.value)
    assert message.startswith("p.toml")
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def demand(**keys: Any) -> str:
    """A `[[property]]`; keys given as TOML, None takes one out."""
    found = {
        "id": '"x"',
        "kind": '"feasibility"',
        "metric": '"demographic_parity"',
        "sensitive_features": '"g"',
        "epsilon": "0.1",
    }
    found |= keys
    return "[[property]]\n" + "".join(f"{key} = {value}\n" for key, value in found.items() if value is not None)


# --------------------------------------------------------------------------------------------------- every key
def test_every_key_is_read() -> None:
    policy = parse(COMPLETE)
    data = policy.data
    assert (data.id, data.label, data.sensitive_features) == ("person", "repaid", ("sex", "age"))
    assert (data.missing, data.split, data.certify) == ("group", "part", ("test", "late"))
    assert data.window == ("2025-01-01", "2025-06-30")
    assert data.values == {"sex": ("f", "m"), "age": ("1", "2", "3+"), "town": ("big", "small")}
    assert vars(policy.predictions) == {"score": "s", "prediction": "p", "batch": "b"}
    assert vars(policy.system) == {
        "name": "lending",
        "version": "7",
        "model": "model.onnx",
        "preprocessing": "prep.json",
        "frozen": True,
        "held_out": True,
    }
    assert policy.layer is not None
    assert vars(policy.layer) == {
        "metric": "conditional_parity",
        "sensitive_features": ("sex",),
        "intersectional": True,
        "condition": "town",
        "epsilon": Fraction(3, 100),
        "lower": Fraction(-1, 2),
        "upper": Fraction(2),
    }
    assert vars(policy.serve) == {
        "batch": 256,
        "threshold": Fraction(2, 5),
        "labels_known": True,
        "online": "paper",
        "eta0": Fraction(1, 4),
    }
    assert (data.train, data.inputs, data.fractions) == (("fit",), ("income", "debt"), ())
    assert vars(policy.model) == {
        "factory": "house.nets:small",
        "hidden": (8, 4),
        "activation": "tanh",
        "final": "none",
        "layer_norm": True,
        "seed": 3,
    }
    assert vars(policy.training) == {
        "method": "penalty",
        "epochs": 7,
        "batch": 64,
        "learning_rate": Fraction(1, 100),
        "weight_decay": Fraction(1, 1000),
        "patience": 2,
        "validation": Fraction(1, 5),
        "loss": "mse",
        "penalty": Fraction(3, 2),
        "hide_sensitive": True,
        "audit": 2,
    }
    assert vars(policy.gate) == {
        "max_age_days": 30,
        "require_registration": True,
        "max_excluded_share": Fraction(1, 50),
    }
    one, two = policy.properties
    assert vars(one) == {
        "id": "one",
        "kind": "feasibility",
        "form": "difference",
        "metric": "conditional_parity",
        "sensitive_features": ("sex", "age"),
        "intersectional": True,
        "condition": "town",
        "threshold": Fraction(1, 20),
        "tau": Fraction(1, 10**6),
        "decision_threshold": Fraction(7, 10),
        "confidence": None,
        "method": "",
        "min_group_size": 5,
        "map": "scores",
        "span": None,
        "relaxed": (),
    }
    assert (two.kind, two.form, two.threshold, two.map) == ("population", "ratio", Fraction(4, 5), "decisions")
    assert (two.confidence, two.method, two.min_group_size) == (Fraction(99, 100), "beta_mixture", 10)
    assert two.decision_threshold == Fraction(2, 5)  # that of [serve]


def test_defaults() -> None:
    policy = parse("")
    assert policy.properties == ()
    assert policy.layer is None
    assert (policy.data.missing, policy.data.certify, policy.data.split) == ("error", ("test",), None)
    assert (policy.system.name, policy.system.version) == ("unnamed system", "unversioned")
    assert policy.system.frozen is False
    assert policy.system.held_out is False
    assert (policy.serve.batch, policy.serve.threshold) == (0, Fraction(1, 2))
    assert (policy.gate.max_age_days, policy.gate.require_registration) == (None, False)
    assert policy.gate.max_excluded_share is None
    (item,) = parse(demand()).properties
    assert (item.form, item.tau, item.min_group_size, item.map) == ("difference", 0, 10, "served")
    (item,) = parse(demand(kind='"population"')).properties
    assert (item.map, item.confidence, item.method) == ("decisions", Fraction(19, 20), "clopper_pearson")
    (item,) = parse(demand(kind='"population"', map='"scores"')).properties
    assert item.method == "empirical_bernstein"
    box = parse("[layer]\nupper = 3").layer
    assert box is not None
    assert (box.metric, box.epsilon, box.lower, box.upper) == (None, None, 0, 3)


TABLES = {
    "data": "senstive_features",
    "predictions": "scores",
    "system": "heldout",
    "layer": "epsilom",
    "serve": "batches",
    "gate": "max_age",
}


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_names_the_nearest(table: str) -> None:
    expected = {
        "data": "sensitive_features",
        "predictions": "score",
        "system": "held_out",
        "layer": "epsilon",
        "serve": "batch",
        "gate": "max_age_days",
    }[table]
    message = refused(f"[{table}]\n{TABLES[table]} = 1\n")
    assert f"[{table}]" in message
    assert f"unknown key {TABLES[table]!r}; did you mean {expected!r}?" in message


def test_an_unknown_key_of_a_property_or_at_the_top() -> None:
    assert "unknown key 'min_group'; did you mean 'min_group_size'?" in refused(demand(min_group="3"))
    assert "p.toml[[property]] x" in refused(demand(min_group="3"))
    assert "unknown key 'propety'; did you mean 'property'?" in refused("[[propety]]\nid = 'x'")
    assert "unknown key 'zzz'; known: data, domain, gate, layer, predictions, property, serve, system" in refused(
        "zzz = 1"
    )
    # a method is no key of a feasibility claim, nor a feature of [layer]
    assert "unknown key 'method'" in refused(demand(method='"clopper_pearson"'))


def test_nearest_lists_what_is_known_if_nothing_is_near() -> None:
    assert nearest("xyz", ["b", "a"]) == "known: a, b"
    assert nearest("xyz", []) == "known: none"
    assert nearest("scor", ["score", "other"]) == "did you mean 'score'?"


# ------------------------------------------------------------------------------------------------------- decimals
@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0.05", Fraction(1, 20)),
        ("5e-2", Fraction(1, 20)),
        ('"0.05"', Fraction(1, 20)),
        ("0.1", Fraction(1, 10)),
        ("0.30000000000000000000000000000000000001", Fraction(3 * 10**37 + 1, 10**38)),
        ("1", Fraction(1)),
        ("1e15", Fraction(10**15)),
        ("0.0", Fraction(0)),
        ("-0.0", Fraction(0)),
    ],
)
def test_thresholds_are_the_decimals_that_were_written(written: str, value: Fraction) -> None:
    assert parse(demand(epsilon=written)).properties[0].threshold == value


@given(st.integers(0, 10**15 - 1), st.integers(0, 10**40 - 1))
def test_no_digit_of_a_decimal_is_lost(whole: int, digits: int) -> None:
    written = f"{whole}.{digits:040d}"
    expected = whole + Fraction(digits, 10**40)
    for form in (written, f'"{written}"'):
        assert parse(demand(epsilon=form)).properties[0].threshold == expected
    assert parse(f"[serve]\nthreshold = -{written}").serve.threshold == -expected


@pytest.mark.parametrize(
    "written",
    ["true", "nan", "inf", "-inf", '"five"', '" 0.05"', '"5e-2"', '"+1"', '"1/20"', '"0,05"', "[0.05]", "{}",
     "1e16", "1e-500", "1e500", "1e400000", "2025-01-01", '""', "1000000000000001"],
)  # fmt: skip
@pytest.mark.parametrize("table", ["[serve]\nthreshold = {}", demand(epsilon="{}")])
def test_what_is_no_decimal_is_refused(written: str, table: str) -> None:
    message = refused(table.format(written) if "{}" in table else table)
    assert "is not a" in message or "not TOML" in message


@pytest.mark.parametrize("written", ["1e99999999999999999999", "-1e99999999999999999999", "1e-99999999999999999999"])
def test_exponents_that_no_decimal_holds_are_an_error_of_the_policy(written: str) -> None:
    refused(f"[serve]\nthreshold = {written}")


@pytest.mark.parametrize("key", ["[serve]\nbatch", "[serve]\nthreshold", "[gate]\nmax_age_days", "[data.values]\ng"])
def test_enormous_integers_are_an_error_of_the_policy(key: str) -> None:
    """Beyond 4300 digits Python refuses to print an integer, also in an error message."""
    literal = "0x" + "f" * 5000
    refused(f"{key} = [{literal}]" if "values" in key else f"{key} = {literal}")


def test_negative_tolerances_and_odd_confidences() -> None:
    assert "0 or more" in refused(demand(epsilon="-0.01"))
    assert "0 or more" in refused(demand(epsilon=None, ratio="-0.8"))
    assert "0 or more" in refused(demand(tau="-0.1"))
    for confidence in ("0", "1", "1.5", "-0.5", "true"):
        assert "confidence" in refused(demand(kind='"population"', confidence=confidence))


def test_no_float_is_ever_made() -> None:
    """A policy with a float in it would have rounded a number somebody wrote."""

    def floats(value: Any) -> list[float]:
        if isinstance(value, float):
            return [value]
        children = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else []
        nested = [floats(child) for child in children]
        if hasattr(value, "__dataclass_fields__"):
            nested += [floats(child) for child in vars(value).values()]
        return [item for items in nested for item in items]

    assert floats(parse(COMPLETE)) == []
    assert "float(" not in inspect.getsource(toml_reader)


# ---------------------------------------------------------------------------------------------------------- types
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[serve]\nbatch = true", "batch = True is not a whole number"),
        ("[serve]\nbatch = false", "whole number"),
        ("[serve]\nbatch = -1", "whole number"),
        ("[serve]\nbatch = 1.0", "whole number"),
        ("[serve]\nbatch = 9007199254740992", "whole number"),
        ('[serve]\nbatch = "1"', "whole number"),
        ("[serve]\nthreshold = true", "plain decimal"),
        ("[gate]\nmax_age_days = true", "whole number"),
        ("[gate]\nrequire_registration = 1", "true or false"),
        ('[system]\nfrozen = "yes"', "true or false"),
        ("[system]\nheld_out = 1", "true or false"),
        ("[system]\nname = 5", "text"),
        ('[system]\nname = ""', "text"),
        ('[system]\nname = " x"', "without blanks"),
        ("[data]\nid = ['a']", "text"),
        ("[data]\nsensitive_features = []", "one or more"),
        ("[data]\nsensitive_features = ['a', 'a']", "different"),
        ("[data]\nsensitive_features = ['a', 1]", "text"),
        ("[data]\nsensitive_features = 3", "a list"),
        ("[data]\nmissing = 'ignore'", "one of error, group"),
        ("[data]\nwindow = ['a']", "two texts"),
        ("[data]\nwindow = ['a', 'a']", "different"),
        ("[data]\nwindow = 'a'", "two texts"),
        ("[data]\ncertify = []", "one or more"),
        ("[data]\nvalues = 3", "is not a table"),
        ("data = 3", "is not a table"),
        ("property = 3", "[[property]]"),
        ("[property]\nid = 'x'", "[[property]]"),
        ("property = [3]", "is not a table"),
        (demand(id="5"), "text"),
        (demand(kind='"fairness"'), "one of replay"),
        (demand(metric='"demografic_parity"'), "did you mean 'demographic_parity'?"),
        (demand(metric="5"), "a known metric"),
        (demand(metric="['demographic_parity']"), "a known metric"),
        (demand(intersectional="1"), "true or false"),
        (demand(min_group_size="true"), "whole number"),
        (demand(map='"server"'), "one of scores"),
        (demand(form='"quotient"'), "one of difference"),
        (demand(condition="['a']"), "text"),
        (demand(id=None), "id is missing"),
        (demand(kind=None), "kind is missing"),
        (demand(metric=None), "metric is missing"),
        (demand(sensitive_features=None), "sensitive_features is missing"),
    ],
)
def test_values_of_another_type_are_refused(text: str, words: str) -> None:
    assert words in refused(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("g = []", "one or more"),
        ("g = ['a', 'a']", "different"),
        ("g = [1, '1']", "different"),
        ("g = [true]", "text"),
        ("g = [0.5]", "text"),
        ("g = 'a'", "a list"),
        ("g = ['']", "text"),
        ("g = ['a ']", "blanks"),
        ("g = ['a', '(missing)']", "(missing)"),
    ],
)
def test_declared_values_are_different_texts_or_integers(values: str, words: str) -> None:
    message = refused(f"[data.values]\n{values}")
    assert words in message
    assert "[values]" in message


def test_integers_are_the_texts_that_they_are_written_as() -> None:
    assert parse("[data.values]\ng = [0, -1, 10]").data.values == {"g": ("0", "-1", "10")}


# --------------------------------------------------------------------------------------------- form and threshold
@pytest.mark.parametrize(
    ("keys", "form"),
    [
        ({}, "difference"),
        ({"form": '"difference"'}, "difference"),
        ({"form": '"projection"'}, "projection"),
        ({"epsilon": None, "ratio": "0.8"}, "ratio"),
        ({"epsilon": None, "ratio": "0.8", "form": '"ratio"'}, "ratio"),
    ],
)
def test_forms(keys: dict[str, Any], form: str) -> None:
    assert parse(demand(**keys)).properties[0].form == form


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"ratio": "0.8"}, "epsilon or ratio must be given"),
        ({"epsilon": None}, "epsilon or ratio must be given"),
        ({"form": '"ratio"'}, "needs ratio"),
        ({"form": '"difference"', "epsilon": None, "ratio": "0.8"}, "needs epsilon"),
        ({"form": '"projection"', "epsilon": None, "ratio": "0.8"}, "needs epsilon"),
        ({"metric": '"equalized_residuals"', "epsilon": None, "ratio": "0.8"}, "not defined"),
        ({"form": '"projection"', "tau": "0.1"}, "tau = 0"),
        ({"form": '"projection"', "map": '"scores"'}, "map = 'served'"),
        ({"confidence": "0.9"}, "belongs to kind = 'population'"),
        ({"kind": '"population"', "form": '"projection"'}, "belongs to kind = 'feasibility'"),
        ({"metric": '"conditional_parity"'}, "needs the column"),
        ({"condition": '"town"'}, "does not belong to demographic_parity"),
        ({"kind": '"population"', "map": '"served"'}, "served predictions depend on each other"),
        ({"kind": '"population"', "method": '"exact"'}, "one of clopper_pearson"),
        ({"kind": '"population"', "map": '"decisions"', "metric": '"equalized_residuals"'}, "use map = 'scores'"),
        ({"kind": '"population"', "metric": '"equalized_residuals"'}, "use map = 'scores'"),
    ],
)
def test_combinations_that_mean_nothing(keys: dict[str, Any], words: str) -> None:
    assert words in refused(demand(**keys))


@pytest.mark.parametrize("mapped", ["scores", "decisions"])
@pytest.mark.parametrize("method", ["clopper_pearson", "beta_mixture", "empirical_bernstein"])
def test_methods_fit_their_map(method: str, mapped: str) -> None:
    text = demand(kind='"population"', map=f'"{mapped}"', method=f'"{method}"')
    if (method == "empirical_bernstein") == (mapped == "scores"):
        assert parse(text).properties[0].method == method
    else:
        assert "does not go with map" in refused(text)


def replay(**keys: Any) -> str:
    lines = {"id": '"r"', "kind": '"replay"', "epsilon": '"0.000001"', **keys}
    return "[[property]]\n" + "\n".join(f"{key} = {value}" for key, value in lines.items() if value is not None)


def test_a_replay_has_an_id_and_an_epsilon_and_nothing_else() -> None:
    policy = parse(replay())
    (item,) = policy.properties
    assert item == replay_property(Fraction(1, 10**6), "r")
    assert (item.kind, item.form, item.map, item.method) == ("replay", "network", "scores", "ball")
    assert (item.metric, item.sensitive_features, item.condition_on, item.about) == ("", (), None, None)
    assert policy.columns() == ()
    assert parse(replay(epsilon="0")).properties[0].threshold == 0


@pytest.mark.parametrize(
    "key", ["metric", "sensitive_features", "intersectional", "condition", "ratio", "tau", "threshold", "confidence",
            "map", "method", "min_group_size", "form", "epsilom"]
)  # fmt: skip
def test_a_replay_with_more_is_refused(key: str) -> None:
    value = {"metric": '"demographic_parity"', "sensitive_features": '["g"]'}.get(key, "0")
    assert f"{key} does not belong to kind = 'replay'" in refused(replay(**{key: value}))


def test_a_replay_needs_both() -> None:
    assert "epsilon is missing" in refused(replay(epsilon=None))
    assert "id is missing" in refused(replay(id=None))
    assert "epsilon = -1" in refused(replay(epsilon="-1"))


def test_a_property_compares_somebody_and_not_too_many() -> None:
    def asked(values: int, **keys: Any) -> str:
        return f"[data.values]\ng = {list(range(values))}\n" + demand(**keys)

    assert "compares 0 pairs of groups" in refused(asked(1))
    assert parse(asked(2)).properties
    assert parse(asked(1, metric='"equalized_residuals"')).properties
    assert parse(asked(316)).properties  # 49 770 pairs
    assert "compares 50086 pairs of groups" in refused(asked(317))


def test_ids_differ() -> None:
    assert "two properties have the id 'x'" in refused(demand() + demand())


# ---------------------------------------------------------------------------------------------------------- layer
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metric = 'demographic_parity'", "belong together"),
        ("metric = 'demographic_parity'\nepsilon = 0.1", "belong together"),
        ("metric = 'demographic_parity'\nsensitive_features = 'g'", "belong together"),
        ("sensitive_features = 'g'", "metric"),
        ("epsilon = 0.1", "metric"),
        ("condition = 'g'", "metric"),
        ("intersectional = true", "metric"),
        ("lower = 0\nepsilon = 0.1", "belong together"),
        ("lower = 0\nsensitive_features = 'g'", "metric"),
        ("lower = 0\ncondition = 'g'", "metric"),
        ("lower = 1", "below upper"),
        ("lower = 0.5\nupper = 0.5", "below upper"),
        ("metric = 'conditional_parity'\nsensitive_features = 'g'\nepsilon = 0.1", "needs the column"),
        ("metric = 'demographic_parity'\nsensitive_features = 'g'\nepsilon = 0.1\ncondition = 'c'", "does not belong"),
        ("metric = 'parity'\nsensitive_features = 'g'\nepsilon = 0.1", "known"),
    ],
)
def test_layers_that_mean_nothing(text: str, words: str) -> None:
    assert words in refused("[layer]\n" + text)


# ------------------------------------------------------------------------------------------------ files and tables
def test_a_policy_may_stand_in_pyproject() -> None:
    inside = re.sub(r"^(\[+)(?=\w)", r"\1tool.certifair.", COMPLETE, flags=re.MULTILINE)
    assert parse("[project]\nname = 'x'\n" + inside) == parse(COMPLETE)
    assert "unknown key 'nonsense'" in refused("[tool.certifair]\nnonsense = 1")
    assert "is not a table" in refused("[tool]\ncertifair = 3")
    assert "unknown key 'project'" in refused("[project]\nname = 'x'")
    assert "unknown key 'tool'" in refused("[tool.other]\nname = 'x'")
    assert "[tool.certifair] and [property] beside it" in refused("[tool.certifair]\n" + demand())


def test_bytes_that_are_no_policy() -> None:
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        assert "byte-order mark" in refused(mark + b"[data]\n")
    assert "is not UTF-8 (byte 8)" in refused(b"id = 'ab\xff'")
    assert "is not TOML" in refused("[data\n")
    assert "is not TOML" in refused("[serve]\nbatch = 1\nbatch = 2\n")
    assert "is not TOML" in refused("[serve]\n[serve]\n")
    assert "is not TOML" in refused("a = " + "[" * 100_000 + "]" * 100_000)
    assert "is not TOML" in refused("[serve]\nbatch = " + "9" * 5000)


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "certifair.toml"
    path.write_text(COMPLETE, encoding="utf-8")
    assert Policy.load(path) == parse(COMPLETE)
    with pytest.raises(PolicyError, match=r"absent\.toml: cannot be read \(No such file"):
        Policy.load(tmp_path / "absent.toml")
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load(tmp_path)


def test_columns_and_declared_values() -> None:
    policy = parse(COMPLETE)
    assert policy.columns() == ("sex", "age", "town")
    assert policy.declared() == {
        "sex": ("f", "m", "(missing)"),
        "age": ("1", "2", "3+", "(missing)"),
        "town": ("big", "small", "(missing)"),
    }
    strict = parse(COMPLETE.replace('"group"', '"error"'))
    assert strict.declared()["sex"] == ("f", "m")
    for name in ("sex", "age", "town"):
        lines = [line for line in COMPLETE.splitlines() if not line.startswith(f"{name} =")]
        with pytest.raises(PolicyError, match=f"where: the values of '{name}' are not declared; write under"):
            parse("\n".join(lines)).declared("where")


def test_decimals_of_toml_reach_the_reader_as_decimals() -> None:
    assert toml_reader.decimal(Decimal("0.1")) == Fraction(1, 10)
    with pytest.raises(ValueError, match="plain decimal"):
        toml_reader.decimal(0.1)


# ---------------------------------------------------------------------------------------------------- training
def test_the_parts_of_a_split_add_up() -> None:
    policy = parse("[data]\nsplit = {train = 0.7, test = 0.3}\n")
    assert (policy.data.split, policy.data.fractions) == (None, (("train", Fraction(7, 10)), ("test", Fraction(3, 10))))
    assert "add up to 1" in refused("[data]\nsplit = {train = 0.7, test = 0.2}\n")
    assert "column's name" in refused("[data]\nsplit = 3\n")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[model]\nfactory = 'mlpp'", "module:function"),
        ("[model]\nhidden = [8, 0]", "above 0"),
        ("[model]\nactivation = 'swish'", "one of"),
        ("[training]\nmethod = 'layer'", "one of"),
        ("[training]\nepochs = 0", "1 or more"),
        ("[training]\nlearning_rate = 0", "above 0"),
        ("[training]\nvalidation = 1", "below 1"),
        ("[training]\npenalty = -1", "0 or more"),
        ("[training]\nepoch = 3", "epochs"),
    ],
)
def test_what_cannot_be_trained_is_refused(text: str, word: str) -> None:
    assert word in refused(text + "\n")


LAYER = "[layer]\nmetric = 'equalized_odds'\nsensitive_features = 'sex'\nepsilon = 0.1\n"


@pytest.mark.parametrize(
    ("more", "metric"),
    [
        ("", "equalized_odds"),  # imported predictions: the owner says what served them
        ("[training]\n", None),  # nobody knows the labels of the people to be served
        ("[training]\n[serve]\nlabels_known = true\n", "equalized_odds"),
        ("[training]\nmethod = 'penalty'\n[serve]\nlabels_known = true\n", None),
    ],
)
def test_the_layer_that_serves(more: str, metric: str | None) -> None:
    assert parse(LAYER + more).served_metric == metric


def test_an_individual_property_and_its_domain() -> None:
    policy = parse(
        """
        [[property]]
        id = "same"
        kind = "individual"
        form = "domain"
        sensitive_features = "sex"
        share = 0.95
        method = "float32"
        relaxed = { hours = 2 }
        [domain]
        hours = { kind = "integer", low = 1, high = 100 }
        debt = { kind = "continuous", low = 0, high = 1.5 }
        """
    )
    (item,) = policy.properties
    assert (item.form, item.threshold, item.method, item.map) == ("domain", Fraction(19, 20), "float32", "decisions")
    assert (item.sensitive_features, item.relaxed) == (("sex",), (("hours", Fraction(2)),))
    assert [(one.column, one.kind, one.low, one.high) for one in policy.domain] == [
        ("hours", "integer", 1, 100),
        ("debt", "continuous", 0, Fraction(3, 2)),
    ]
    assert policy.columns() == ()  # inputs of a network need no declared values


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("share = 2", "from 0 to 1"),
        ("share = 0.5\nepsilon = 0.1", "unknown key 'epsilon'"),
        ("share = 0.5\nmap = 'scores'", "decisions, served"),
        ("share = 0.5\nrelaxed = { sex = 1 }", "free anyway"),
        ("share = 0.5\n[domain]\nx = { kind = 'integer', low = 0.5, high = 2 }", "whole numbers"),
        ("share = 0.5\n[domain]\nx = { kind = 'integer', low = 0, high = 20000000 }", "within ±16777216"),
        ("share = 0.5\n[domain]\nx = { kind = 'continuous', low = 2, high = 1 }", "above high"),
        ("share = 0.5\n[domain]\nx = { kind = 'one_hot', low = 2, high = 1 }", "integer, continuous"),
    ],
)
def test_what_no_individual_property_says(more: str, said: str) -> None:
    start = '[[property]]\nid = "same"\nkind = "individual"\nsensitive_features = "sex"\n'
    assert said in refused(start + more)
