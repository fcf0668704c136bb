"""Mutations of individual claims: every member of their witnesses and domains, alone or with what must follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from certifair.exact.decimals import format_rational, parse_rational
from tests.golden.mutate_streams import Draws, Json, any_member

MADE_UP = ("0", "1", "-1", "7", "2.5", "16777216", "16777217", "1000000000000000", "1000000000000001", "0.1", "2.0")


def mutated_individual(mutator: Draws, predicate: Json) -> None:
    """One mutation; LookupError or TypeError where there is nothing to mutate."""
    kinds: list[Callable[[Draws, Json], None]] = [
        _member,
        _member,
        _shares,
        _shares,
        _range,
        _range,
        _column,
        _features,
    ]
    kinds += [_example, _example, _examples, _digest, _units, _demand]
    mutator.draw.choice(kinds)(mutator, predicate)


def _claim(mutator: Draws, predicate: Json) -> Json:
    found: Json = mutator.draw.choice([claim for claim in predicate["claims"] if claim["kind"] == "individual"])
    return found


def _member(mutator: Draws, predicate: Json) -> None:
    """Any one number or text of a witness or domain."""
    claim = _claim(mutator, predicate)
    any_member(mutator, {"witness": claim["witness"], "domain": claim["domain"]})


def _shares(mutator: Draws, predicate: Json) -> None:
    """Units change sides, with or without the examples that belong to them."""
    draw, witness = mutator.draw, _claim(mutator, predicate)["witness"]
    step = parse_rational(draw.choice(["1", "-1", "2", "1/2", "1/1024", "-1/1024", "5", "-5"]))
    names = draw.choice([("certified",), ("falsified",), ("certified", "falsified"), ("falsified", "certified")])
    for name, sign in zip(names, (1, -1), strict=False):
        witness[name] = format_rational(parse_rational(witness[name]) + sign * step)
    if draw.random() < 0.3:
        witness["outside"] += draw.choice([1, -1])
    if draw.random() < 0.8:
        del witness["examples"][max(0, min(3, int(parse_rational(witness["falsified"])))) :]


def _range(mutator: Draws, predicate: Json) -> None:
    """Another end, tolerance, kind or list of values, in one claim or in all."""
    draw, claim = mutator.draw, _claim(mutator, predicate)
    k = draw.randrange(len(claim["domain"]))
    key = draw.choice(["low", "high", "eps", "kind", "values"])
    new: Any = draw.choice([*MADE_UP, None])
    if key == "kind":
        new = draw.choice(["integer", "continuous", "category", "number"])
    elif key == "values":
        new = draw.choice([[], ["f"], ["m", "f"], ["f", "m", "x"], ["f", "f"]])
    for one in predicate["claims"] if draw.random() < 0.3 else [claim]:
        if one["domain"]:
            one["domain"][k][key] = new
            if key == "kind" and draw.random() < 0.7:
                ended = new in ("integer", "continuous")
                one["domain"][k].update(low="0" if ended else None, high="6" if ended else None)


def _column(mutator: Draws, predicate: Json) -> None:
    """A column goes, comes twice, changes its place or its name."""
    domain = _claim(mutator, predicate)["domain"]
    k, action = mutator.draw.randrange(len(domain)), mutator.draw.choice(["drop", "twice", "first", "name"])
    if action == "name":
        domain[k]["column"] = mutator.draw.choice(["sex", "age", "hours", "income", "Hours", ""])
    elif action == "drop":
        domain.pop(k)
    else:
        domain.insert(0, dict(domain[k]) if action == "twice" else domain.pop(k))


def _features(mutator: Draws, predicate: Json) -> None:
    """Other features; where they are no inputs, everybody is certified or not."""
    claim = _claim(mutator, predicate)
    listed = mutator.draw.choice(
        [["age"], ["sex"], ["sex", "hours"], ["income"], ["sex", "sex"], [], ["age", "region"]]
    )
    claim["sensitiveFeatures"] = listed
    if mutator.draw.random() < 0.5:
        claim["witness"].update(certified=claim["witness"]["units"], falsified="0", outside=0, examples=[])


def _example(mutator: Draws, predicate: Json) -> None:
    """A value of an example, its row, or the order of its columns."""
    draw, claim = mutator.draw, _claim(mutator, predicate)
    example = draw.choice(claim["witness"]["examples"])
    entry = draw.choice(example["inputs"])
    action = draw.choice(["value", "value", "equal", "turn", "row", "drop", "order"])
    if action == "value":
        key = draw.choice(["positive", "negative"])
        entry[key] = draw.choice([*MADE_UP, "f", "m", mutator.nudged(entry[key]), entry[key] + "0"])
    elif action == "equal":
        for one in example["inputs"]:
            one["positive"] = one["negative"]
    elif action == "turn":
        for one in example["inputs"]:
            one["positive"], one["negative"] = one["negative"], one["positive"]
    elif action == "row":
        example["row"] = draw.choice([None, "1", "2", "30", "", "nobody"])
    elif action == "drop":
        example["inputs"].remove(entry)
    else:
        example["inputs"].reverse()


def _examples(mutator: Draws, predicate: Json) -> None:
    """Fewer examples, the same one again, or in another order."""
    examples = _claim(mutator, predicate)["witness"]["examples"]
    action = mutator.draw.choice(["drop", "again", "reverse"])
    if action == "drop":
        examples.pop()
    elif action == "again":
        examples[-1] = examples[0]
    else:
        examples.reverse()


def _digest(mutator: Draws, predicate: Json) -> None:
    """Another proof, model or preprocessing, or none; sometimes the material goes along."""
    draw, claim = mutator.draw, _claim(mutator, predicate)
    key = draw.choice(["proof", "proof", "model", "preprocessing"])
    new = draw.choice([None, "0" * 64, *(item["sha256"] for item in predicate["materials"])])
    role = "witness" if key == "proof" else key
    for one in [claim] if draw.random() < 0.4 else [c for c in predicate["claims"] if c["kind"] == "individual"]:
        one["witness"][key] = new
    if draw.random() < 0.4 and new is not None:
        for item in predicate["materials"]:
            item["sha256"] = new if item["role"] == role else item["sha256"]
    elif draw.random() < 0.3:
        predicate["materials"] = [item for item in predicate["materials"] if item["role"] != role]


def _units(mutator: Draws, predicate: Json) -> None:
    """More or fewer units, by a range of the domain that has as many, or not."""
    draw, claim = mutator.draw, _claim(mutator, predicate)
    witness = claim["witness"]
    if claim["form"] == "domain" and draw.random() < 0.6:
        item = draw.choice([one for one in claim["domain"] if one["kind"] == "integer"])
        size = int(item["high"]) - int(item["low"]) + 1
        item["high"] = str(int(item["high"]) + size)
        witness["units"] = format_rational(2 * parse_rational(witness["units"]))
    else:
        witness["units"] = draw.choice(["0", "1", "28", "29", "30", "31", mutator.nudged(witness["units"])])


def _demand(mutator: Draws, predicate: Json) -> None:
    """Another share, method, map or threshold of the decision."""
    claim = _claim(mutator, predicate)
    key = mutator.draw.choice(["threshold", "threshold", "method", "map", "decisionThreshold", "form"])
    claim[key] = mutator.draw.choice(
        {
            "threshold": ["0", "1", "1.1", "-0.1", "0.75", claim["lower"], claim["upper"]],
            "method": ["real", "float32", "exact"],
            "map": ["decisions", "served", "scores"],
            "decisionThreshold": ["0", "0.5", "0.4"],
            "form": ["rows", "domain"],
        }[key]
    )
    if key == "form":
        claim["scope"] = "domain" if claim[key] == "domain" else "batch"
    if claim["map"] == "served" and mutator.draw.random() < 0.7:
        claim["witness"].update(certified="0", falsified="0", outside=0, examples=[])


def fewer_shares(ours: Json, theirs: Json) -> bool:
    """Whether of two witnesses the second claims no more. Examples are true, or both verifiers would have refused."""
    pairs = [(parse_rational(theirs[key]), parse_rational(ours[key])) for key in ("certified", "falsified")]
    return all(less <= more for less, more in pairs)


def bare_shares(claim: Json) -> None:
    """Without the shares, and what follows from them."""
    for key in ("reason", "verdict", "estimate", "lower", "upper"):
        claim.pop(key)
    for key in ("certified", "falsified", "examples"):
        claim["witness"].pop(key)
