from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from certifair.errors import InputError, PolicyError
from certifair.spec.domain import LARGEST, Domain, Feature
from certifair.spec.domain_file import load_domain, read_domain, with_relaxed, with_sensitive

AGE = Feature("age", "integer", 17, 20, sensitive=True)
HOURS = Feature("hours", "integer", 0, 9, eps=2)
WAGE = Feature("wage", "continuous", -0.5, 2.0)
JOB = Feature("job", "one_hot", values=("a", "b", "c"))


def test_a_domain_of_all_kinds() -> None:
    domain = Domain("people", (AGE, JOB, WAGE, HOURS))
    assert domain.inputs == 6
    assert domain.columns == ((0,), (1, 2, 3), (4,), (5,))
    assert domain.sensitive == (0,)
    assert domain.flips == 4
    assert domain.units == 3 * Fraction(5, 2) * 10
    assert [feature.levels for feature in domain.features] == [4, 3, None, 10]
    assert all(type(end) is float for f in domain.features for end in (f.low, f.high, f.eps))


def test_units_and_flips_are_counted_as_they_are_listed() -> None:
    job = Feature("job", "one_hot", values=("x", "y"), sensitive=True)
    domain = Domain("d", (AGE, job, Feature("n", "integer", -1, 3), Feature("s", "one_hot", values=("p", "q"))))
    listed = list(itertools.product(*(feature.points() for feature in domain.features)))
    assert domain.flips is not None
    assert len(listed) == domain.units * domain.flips == 4 * 2 * 5 * 2
    for person in listed:
        assert all(feature.contains(value) for feature, value in zip(domain.features, person, strict=True))
    assert len(set(listed)) == len(listed)


def test_a_continuous_sensitive_feature_has_no_number_of_flips() -> None:
    free = Feature("age", "continuous", 17, 90, sensitive=True)
    assert Domain("d", (free, HOURS)).flips is None
    with pytest.raises(ValueError, match="age has no finite number"):
        free.points()
    fixed = Feature("age", "continuous", 0.5, 0.5, sensitive=True)
    assert Domain("d", (fixed, Feature("n", "integer", 1, 4, sensitive=True))).flips == 4
    assert list(fixed.points()) == [(0.5,)]
    assert fixed.size == 1


@pytest.mark.parametrize(
    ("feature", "inside", "outside"),
    [
        (AGE, [(17,), (20.0,)], [(16,), (21,), (17.5,), (math.nan,), (math.inf,)]),
        (WAGE, [(-0.5,), (2.0,), (0.1,)], [(-0.6,), (math.nextafter(2.0, 3),), (math.nan,)]),
        (JOB, [(1, 0, 0), (0.0, 0.0, 1.0)], [(0, 0, 0), (1, 1, 0), (0.5, 0.5, 0), (2, -1, 0), (math.nan, 0, 1)]),
    ],
)
def test_what_a_feature_contains(feature: Feature, inside: list[Any], outside: list[Any]) -> None:
    assert all(feature.contains(value) for value in inside)
    assert not any(feature.contains(value) for value in outside)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"kind": "number"}, "none of integer, continuous, one_hot"),
        ({"kind": "integer", "low": 3, "high": 2}, "empty"),
        ({"kind": "continuous", "low": math.nan}, "not finite"),
        ({"kind": "continuous", "high": math.inf}, "not finite"),
        ({"kind": "integer", "low": 0.5}, "integers from 0.5"),
        ({"kind": "integer", "high": LARGEST + 1}, "2\\^24"),
        ({"kind": "one_hot"}, "one or more different values"),
        ({"kind": "one_hot", "values": ("a", "a")}, "different"),
        ({"kind": "one_hot", "values": ("a",), "high": 2}, "no range"),
        ({"kind": "integer", "values": ("a",)}, "belong to one_hot"),
        ({"kind": "integer", "eps": -1}, "±eps"),
        ({"kind": "integer", "eps": 0.5}, "whole number"),
        ({"kind": "continuous", "eps": math.nan}, "±eps"),
        ({"kind": "continuous", "eps": math.inf}, "±eps"),
        ({"kind": "integer", "eps": 1, "sensitive": True}, "not sensitive"),
        ({"kind": "one_hot", "values": ("a", "b"), "eps": 1}, "belongs to numbers"),
    ],
)
def test_features_that_are_none(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Feature("it", **given)


@pytest.mark.parametrize(
    ("features", "why"),
    [
        ((), "0 features"),
        ((AGE, AGE), "two features have the name 'age'"),
        ((WAGE, JOB), "no feature is sensitive or relaxed"),
        (tuple(Feature(str(k), "integer", sensitive=True) for k in range(1001)), "1001 features"),
    ],
)
def test_domains_that_are_none(features: tuple[Feature, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Domain("d", features)


TEXT = """
name = "people"
rows = "people.csv"
label = "income"
sensitive = ["sex"]
relaxed = { hours = 2, wage = 0.1 }

[[feature]]
name = "hours"
kind = "integer"
low = 1
high = 100

[[feature]]
name = "sex"
kind = "one_hot"
values = ["f", "m"]

[[feature]]
name = "wage"
kind = "continuous"
low = 0.1
high = 0.7
"""


def test_a_file() -> None:
    found = read_domain(TEXT.encode(), "people.toml")
    assert (found.rows, found.label) == ("people.csv", "income")
    hours, sex, wage = found.domain.features
    assert hours == Feature("hours", "integer", 1, 100, eps=2)
    assert sex == Feature("sex", "one_hot", values=("f", "m"), sensitive=True)
    assert Fraction(wage.low) <= Fraction(1, 10) < Fraction(math.nextafter(wage.low, 1))
    assert Fraction(wage.high) >= Fraction(7, 10) > Fraction(math.nextafter(wage.high, 0))
    assert Fraction(wage.eps) >= Fraction(1, 10)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[[feature]]", "[[feature", "is no TOML"),
        ('sensitive = ["sex"]', 'sensitive = ["sxe"]', "sensitive names 'sxe', which is no feature; .*'sex'"),
        ("hours = 2", "hour = 2", "relaxed names 'hour', which is no feature; .*'hours'"),
        ("hours = 2", "hours = 0", r"\[relaxed\].*hours = 0 is not"),
        ("hours = 2", "hours = 0.5", "hours: ±eps of an integer is a whole number"),
        ("hours = 2", "sex = 1", "sex: ±eps is finite, and belongs to numbers"),
        ('sensitive = ["sex"]', 'sensitive = ["wage"]', "wage: ±eps .* not sensitive"),
        ('kind = "integer"', 'kind = "int"', "kind = 'int' is not"),
        ("low = 1\n", "", "low is missing"),
        ("low = 1\n", "low = 101\n", "hours: the range"),
        ("low = 1\n", "low = 1.5\n", "hours: integers from 1.5"),
        ("low = 1\n", "low = 1\nvalues = [1]\n", "unknown key 'values'"),
        ("high = 0.7", "high = 0.7\nlw = 3", "unknown key 'lw'"),
        ('"hours"', '"sex"', "two features have the name 'sex'"),
        ('name = "people"', 'nam = "people"', "unknown key 'nam'"),
        ('values = ["f", "m"]', 'values = ["f", "f"]', "sex: .*different|values"),
    ],
)
def test_files_that_are_no_domain(old: str, new: str, why: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    if old == '"hours"':
        text = text.replace("hours = 2, ", "")
    with pytest.raises(PolicyError, match=why) as caught:
        read_domain(text.encode(), "people.toml")
    assert str(caught.value).startswith("people.toml")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(PolicyError, match="is no TOML"):
        read_domain(b"\xff\xfe", "people.toml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_domain(tmp_path / "none.toml")


def test_other_sensitive_and_relaxed_features() -> None:
    domain = read_domain(TEXT.encode(), "people.toml").domain
    plain = Domain("d", (AGE, JOB, WAGE))
    assert with_sensitive(plain, ["job", "wage"]).sensitive == (1, 2)
    assert with_sensitive(plain, ["job"]).features[0].sensitive is False
    assert with_relaxed(plain, "wage", "0.25").features[2].eps == 0.25
    with pytest.raises(InputError, match=r"'jbo' is no feature of the domain; .*'job'"):
        with_sensitive(plain, ["jbo"])
    with pytest.raises(InputError, match=r"people: .*±eps"):
        with_sensitive(domain, ["hours"])
    with pytest.raises(InputError, match=r"d: ±1 of age: .*not sensitive"):
        with_relaxed(plain, "age", "1")
    with pytest.raises(InputError, match="±x of wage"):
        with_relaxed(plain, "wage", "x")
    with pytest.raises(InputError, match="'wages' is no feature"):
        with_relaxed(plain, "wages", "1")


def test_the_public_domains(shared: Path) -> None:
    units = {}
    for file in sorted((shared / "models" / "domains").glob("*.toml")):
        found = load_domain(file)
        units[file.stem] = (found.domain.units, found.domain.flips)
        assert found.rows is None or (file.parent / found.rows).is_file()
    assert units["prof_bank"] == (58_392_576, 4)
    assert units["compas"] == (2 * 39 * 2, 8)
    assert len(units) >= 7
