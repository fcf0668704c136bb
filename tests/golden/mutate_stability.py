"""Mutations of stability claims: every member of their witnesses, alone or with what must follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from certifair.exact.decimals import format_decimal, format_rational, parse_decimal, parse_rational
from tests.golden.mutate_streams import Draws, Json, any_member

FIGURES = ("0", "1", "0.5", "0.000000000001", "0.0000000000001", "-0.1", "2.9", "3", "3.000000000002", "12")
BATCHES = ("b0", "b1", "b2", "")
METHODS = ("norms", "l1_linf", "absolute", "lipsdp")


def mutated_stability(mutator: Draws, predicate: Json) -> None:
    """One mutation; LookupError or TypeError where there is nothing to mutate."""
    kinds: list[Callable[[Draws, Json], None]] = [_member, _member, _figure, _figure, _counts, _distance, _layer]
    kinds += [_unlike, _unlike, _shown, _share, _ranks, _radius, _radius, _change, _change, _derivative, _null]
    kinds += [_bounds, _bounds, _bounds, _least, _proof, _range, _demand, _demand, _served]
    mutator.draw.choice(kinds)(mutator, predicate)


def _claim(mutator: Draws, predicate: Json, *forms: str) -> Json:
    found: Json = mutator.draw.choice(
        [claim for claim in predicate["claims"] if claim["kind"] == "stability" and claim["form"] in (forms or FORMS)]
    )
    return found


FORMS = ("treatment", "differentiable", "radius", "sensitivity", "lipschitz")


def _moved(mutator: Draws, text: str) -> str:
    """A figure by a little, by a tenth, or another; downwards as often as upwards."""
    action = mutator.draw.choice(["nudged", "nudged", "scaled", "other"])
    if action == "nudged":
        return mutator.nudged(text)
    factor = parse_decimal(mutator.draw.choice(["0.9", "0.999", "1.001", "1.1", "2"]))
    return mutator.draw.choice(FIGURES) if action == "other" else format_decimal(parse_decimal(text) * factor)


def _member(mutator: Draws, predicate: Json) -> None:
    """Any one number or text of a witness or domain."""
    claim = _claim(mutator, predicate)
    any_member(mutator, {"witness": claim["witness"], **({"domain": claim["domain"]} if claim["domain"] else {})})


def _figure(mutator: Draws, predicate: Json) -> None:
    """A figure that the verdict hangs on, lower or higher."""
    claim = _claim(mutator, predicate)
    witness = claim["witness"]
    at: Any = {"treatment": "difference", "radius": "radius", "sensitivity": "change"}
    if claim["form"] in at:
        witness["worst"][at[claim["form"]]] = _moved(mutator, witness["worst"][at[claim["form"]]])
    elif claim["form"] == "differentiable":
        witness["differentiable"] += mutator.draw.choice([1, -1])
    else:
        entry = mutator.draw.choice(witness["bounds"])
        entry["bound"] = _moved(mutator, entry["bound"])


def _counts(mutator: Draws, predicate: Json) -> None:
    """Batches counted or not, or more of them, in one claim or in all; with the others of the witness or without."""
    draw, chosen = mutator.draw, _claim(mutator, predicate, *FORMS[:4])
    everywhere, more = draw.random() < 0.4, draw.random() < 0.3
    step = draw.choice([1, -1, 1, -1, 40])
    for claim in predicate["claims"] if everywhere else [chosen]:
        witness = claim["witness"]
        if claim["kind"] != "stability" or "counted" not in witness:
            continue
        witness["counted"] += step
        witness["batches" if more else "undecided"] += step if more else -step
        if draw.random() < 0.6 and claim["form"] == "radius":
            witness["decades"][-1]["batches"] += step
        if draw.random() < 0.6 and claim["form"] == "differentiable":
            witness["differentiable"] += step


def _distance(mutator: Draws, predicate: Json) -> None:
    """The distance of all batches, or with it that of the worst."""
    witness = _claim(mutator, predicate, *FORMS[:4])["witness"]
    witness["distance"] = _moved(mutator, witness["distance"])
    if mutator.draw.random() < 0.5:
        witness["worst"]["distance"] = mutator.draw.choice([witness["distance"], "0"])


def _layer(mutator: Draws, predicate: Json) -> None:
    """Another layer, in a witness, in the system, or in both."""
    draw, key = mutator.draw, mutator.draw.choice(["epsilon", "lower", "upper"])
    new = draw.choice(["0", "0.05", "0.5", "1", "2", "3", "-1", "-2"])
    where = draw.random()
    if where < 0.7:
        chosen = [_claim(mutator, predicate)] if draw.random() < 0.3 else predicate["claims"]
        for claim in chosen:
            witness = claim["witness"].get("served") or claim["witness"]
            if "layer" in witness:
                witness["layer"][key] = new
    if where > 0.3:
        predicate["system"]["layer" if key == "epsilon" else "box"][key] = new


def _person(mutator: Draws, claim: Json) -> Json:
    groups = [group for partition in claim["partitions"] for group in partition["groups"]]
    group = mutator.draw.choice([*groups, ["f", "old"], ["m", "young"], ["x"], []])
    return {"group": list(group), "condition": mutator.draw.choice([None, None, *claim["conditions"], "1"])}


def _unlike(mutator: Draws, predicate: Json) -> None:
    """Whom the treatment difference concerns, or in which batch."""
    draw, claim = mutator.draw, _claim(mutator, predicate, "treatment")
    worst = claim["witness"]["worst"]
    action = draw.choice(["swap", "person", "batch", "lower"])
    if action == "swap":
        worst["favoured"], worst["other"] = worst["other"], worst["favoured"]
    elif action == "person":
        worst[draw.choice(["favoured", "other"])] = _person(mutator, claim)
    elif action == "batch":
        worst["batch"] = draw.choice(BATCHES)
    else:
        worst["difference"] = _moved(mutator, worst["difference"])
        claim["witness"]["shown"] = None


def _shown(mutator: Draws, predicate: Json) -> None:
    """The two people who see it: others, a smaller or larger difference, or none."""
    draw, witness = mutator.draw, _claim(mutator, predicate, "treatment")["witness"]
    action, shown = draw.choice(["people", "swap", "difference", "none", "invented"]), witness["shown"]
    if action == "none":
        witness["shown"] = None
    elif action == "invented":
        witness["shown"] = {"batch": "b0", "difference": "1/4503599627370496", "favoured": "1", "other": "2"}
    elif action == "difference":
        step = draw.choice(["1/1024", "-1/1024", "1/4503599627370496", "-1/8", "1/3"])
        shown["difference"] = format_rational(parse_rational(shown["difference"]) + parse_rational(step))
    elif action == "swap":
        shown["favoured"], shown["other"] = shown["other"], shown["favoured"]
    else:
        shown[draw.choice(["favoured", "other"])] = draw.choice(["1", "2", "40", "", "nobody"])


def _share(mutator: Draws, predicate: Json) -> None:
    """A batch more or less has a derivative, and is named or not; or another one is named."""
    draw, witness = mutator.draw, _claim(mutator, predicate, "differentiable")["witness"]
    action = draw.choice(["gain", "lose", "rename", "twice", "reason"])
    if action == "gain":
        witness["differentiable"] += 1
        witness["failing"].pop()
    elif action == "lose":
        witness["differentiable"] -= 1
        witness["failing"].append({"batch": draw.choice(BATCHES), "reason": "a tie"})
    elif action == "twice":
        witness["failing"].append(dict(witness["failing"][0]))
    elif action == "rename":
        draw.choice(witness["failing"])["batch"] = draw.choice(BATCHES)
    else:
        draw.choice(witness["failing"])["reason"] = draw.choice(["because", ""])


def _ranks(mutator: Draws, predicate: Json) -> None:
    ranks = _claim(mutator, predicate, "differentiable")["witness"]["ranks"]
    ranks[mutator.draw.randrange(2)] += mutator.draw.choice([1, -1, -30])
    if mutator.draw.random() < 0.2:
        ranks.reverse()


def _radius(mutator: Draws, predicate: Json) -> None:
    """A radius with its decade and its upper end, or batches that go from one decade to another."""
    draw, witness = mutator.draw, _claim(mutator, predicate, "radius")["witness"]
    action = draw.choice(["ten", "both", "zero", "unlimited", "decade", "most", "nearest"])
    worst, decades = witness["worst"], witness["decades"]
    if action == "ten":
        worst["radius"] = format_decimal(parse_decimal(worst["radius"]) * 10)
        decades[0]["exponent"] += 1
        witness["atMost"] = draw.choice([None, worst["radius"]])
    elif action == "both":
        worst["radius"] = witness["atMost"] = _moved(mutator, worst["radius"])
    elif action == "zero":
        witness["zero"] += 1
        decades[0]["batches"] -= 1
        worst["radius"] = "0"
    elif action == "unlimited":
        witness.update(worst=None, atMost=None, decades=[], zero=0, unlimited=witness["counted"])
    elif action == "decade":
        draw.choice(decades)[draw.choice(["exponent", "batches"])] += draw.choice([1, -1])
    elif action == "most":
        witness["atMost"] = draw.choice([None, worst["radius"], _moved(mutator, witness["atMost"] or "1")])
    else:
        worst["nearest"] = draw.choice([None, "nobody", ""])


def _change(mutator: Draws, predicate: Json) -> None:
    """Who moves whom, in which batch, and how far."""
    draw, claim = mutator.draw, _claim(mutator, predicate, "sensitivity")
    witness = claim["witness"]
    worst = witness["worst"]
    action = draw.choice(["person", "person", "swap", "batch", "change", "joining", "still"])
    if action == "person":
        worst[draw.choice(["from", "to", "whose"])] = draw.choice([None, _person(mutator, claim)])
    elif action == "swap":
        first, second = draw.sample(["from", "to", "whose"], 2)
        worst[first], worst[second] = worst[second], worst[first]
    elif action == "batch":
        worst["batch"] = draw.choice(BATCHES)
    elif action == "change":
        worst["change"] = draw.choice([witness["joining"], _moved(mutator, worst["change"])])
    elif action == "joining":
        witness["joining"] = draw.choice([worst["change"], "0", _moved(mutator, witness["joining"])])
    else:
        worst.update(change="0", whose=None)
        witness["joining"] = "0"


def _derivative(mutator: Draws, predicate: Json) -> None:
    """A derivative, or at how many batches there is one."""
    draw, witness = mutator.draw, _claim(mutator, predicate, "sensitivity")["witness"]
    table = witness[draw.choice(["score", "tolerance"])]
    if draw.random() < 0.3:
        table["batches"] += draw.choice([1, -1])
        return
    key = draw.choice([key for key in table if key != "batches"])
    table[key] = _moved(mutator, table[key])


def _null(mutator: Draws, predicate: Json) -> None:
    """Something of a witness becomes null; or nothing is counted, and all of it is."""
    draw, claim = mutator.draw, _claim(mutator, predicate, *FORMS[:4])
    witness = claim["witness"]
    if draw.random() < 0.6:
        witness[draw.choice([key for key in witness if key not in ("layer", "batches")])] = None
        return
    witness.update(counted=0, undecided=witness["batches"], distance="0")
    for key in ("worst", "shown", "ranks", "atMost", "joining"):
        if key in witness:
            witness[key] = None
    rest: Json = {"differentiable": 0, "failing": [], "decades": [], "zero": 0, "unlimited": 0}
    rest |= {"score": {"batches": 0, "own": "0", "other": "0", "others": "0"}}
    rest |= {"tolerance": {"batches": 0, "one": "0", "all": "0"}}
    witness.update({key: value for key, value in rest.items() if key in witness})


def _bounds(mutator: Draws, predicate: Json) -> None:
    """A bound is tighter or wider, goes, comes, or changes its method."""
    draw, witness = mutator.draw, _claim(mutator, predicate, "lipschitz")["witness"]
    bounds = witness["bounds"]
    action = draw.choice(["bound", "bound", "bound", "drop", "invent", "method", "least", "empty"])
    if action == "bound":
        entry = draw.choice(bounds)
        entry["bound"] = _moved(mutator, entry["bound"])
    elif action == "drop":
        bounds.remove(draw.choice(bounds))
    elif action == "invent":
        entry = {"method": draw.choice(METHODS), "bound": draw.choice(bounds)["bound"]}
        bounds[:] = sorted([*bounds, entry], key=lambda item: METHODS.index(item["method"]))
    elif action == "method":
        draw.choice(bounds)["method"] = draw.choice(METHODS)
    elif action == "least":
        bounds[:] = [entry for entry in bounds if entry["method"] != "lipsdp"]
        witness.update(least=None, proof=None)
    else:
        witness.update(bounds=[], least=None, proof=None)


def _least(mutator: Draws, predicate: Json) -> None:
    """Two points are said to be farther apart, or nearer, or there are none."""
    draw, witness = mutator.draw, _claim(mutator, predicate, "lipschitz")["witness"]
    smallest = min((entry["bound"] for entry in witness["bounds"]), key=parse_decimal)
    witness["least"] = draw.choice([None, "0", smallest, _moved(mutator, witness["least"] or "1")])


def _proof(mutator: Draws, predicate: Json) -> None:
    """Another proof, model or preprocessing, or none; sometimes the material goes along."""
    draw, claims = mutator.draw, [claim for claim in predicate["claims"] if claim["form"] == "lipschitz"]
    key = draw.choice(["proof", "proof", "model", "preprocessing"])
    new = draw.choice([None, "0" * 64, *(item["sha256"] for item in predicate["materials"])])
    for claim in claims if draw.random() < 0.5 else [draw.choice(claims)]:
        claim["witness"][key] = new
    role = "witness" if key == "proof" else key
    if new is not None and draw.random() < 0.4:
        for item in predicate["materials"]:
            item["sha256"] = new if item["role"] == role else item["sha256"]


def _range(mutator: Draws, predicate: Json) -> None:
    """Another range of an input."""
    draw, claim = mutator.draw, _claim(mutator, predicate, "lipschitz")
    item = draw.choice(claim["domain"])
    key = draw.choice(["low", "high", "eps", "kind", "values", "column"])
    others: dict[str, list[Any]] = {
        "kind": ["integer", "continuous", "category", "number"],
        "values": [[], ["f"], ["m", "f"], ["f", "m", "x"]],
        "column": ["sex", "hours", "age"],
    }
    item[key] = draw.choice(others.get(key, ["0", "1", "6", "7", "0.5", "-1", None]))


def _demand(mutator: Draws, predicate: Json) -> None:
    """Another threshold, form, map or method; a domain that belongs to it, or none."""
    draw, claim = mutator.draw, _claim(mutator, predicate)
    key = draw.choice(["threshold", "threshold", "threshold", "method", "map", "form", "conditions"])
    own = [claim[end] for end in ("lower", "upper", "estimate") if claim[end]]
    claim[key] = draw.choice(
        {
            "threshold": [*own, "0", "0.5", "1", "1.1", "9"],
            "method": ["everywhere", "domain", "ranges", "exact"],
            "map": ["served", "scores"],
            "form": list(FORMS),
            "conditions": [[], ["north"], ["south", "north"]],
        }[key]
    )
    if key == "method" and draw.random() < 0.7:
        known = next((one["domain"] for one in predicate["claims"] if one["domain"]), None)
        claim["domain"] = None if claim["method"] == "everywhere" else known


def _served(mutator: Draws, predicate: Json) -> None:
    """The distance of what was served through a layer behind a network, or that there was a layer at all."""
    draw, claim = mutator.draw, _claim(mutator, predicate, "lipschitz")
    served = claim["witness"]["served"]
    if draw.random() < 0.3:
        claim["map"] = "scores"
        claim["witness"]["served"] = None
    else:
        served["distance"] = draw.choice([None, "0", "0.1", _moved(mutator, served["distance"])])


def looser_bounds(ours: Json, theirs: Json) -> bool:
    """Whether of two Lipschitz witnesses the second proves no more, by the same methods."""
    known = {entry["method"]: parse_decimal(entry["bound"]) for entry in ours["bounds"]}
    for entry in theirs["bounds"]:
        own = known.get(entry["method"])
        if own is None or parse_decimal(entry["bound"]) < own * MARGIN:
            return False
    least = theirs["least"]
    return least is None or (
        ours["least"] is not None and parse_decimal(least) * MARGIN <= parse_decimal(ours["least"])
    )


MARGIN = parse_decimal("0.999999998")
"""What is published is wider than what is proven, by about 1e-9: so much tighter another verifier accepts."""


def bare_bounds(claim: Json) -> None:
    """Without the bounds, and what follows from them."""
    for key in ("reason", "verdict", "estimate", "lower", "upper"):
        claim.pop(key)
    for key in ("bounds", "least", "proof"):
        claim["witness"].pop(key)
