"""Mutations of claims about streams: every member of their witnesses, alone or wherever it must agree with another."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from certifair.exact.decimals import format_decimal, parse_decimal

Json = dict[str, Any]
FIGURES = ("lower", "upper", "last", "eta", "rounding", "promise", "prior")
SUMMARIES = ("weighted", "skipped", "bound")


class Draws(Protocol):
    """What a mutator offers."""

    draw: random.Random

    def other(self, value: Any) -> Any: ...

    def nudged(self, text: str) -> str: ...


def mutated_stream(mutator: Draws, predicate: Json) -> None:
    """One mutation; LookupError or TypeError where there is nothing to mutate."""
    kinds: list[Callable[[Draws, Json], None]] = [_member, _figure, _figure, _ends, _ends, _batches, _counted, _counted]
    kinds += [_spans, _chain, _steps, _layer, _null, _online]
    mutator.draw.choice(kinds)(mutator, predicate)


def _of(predicate: Json, *forms: str) -> list[Json]:
    return [claim for claim in predicate["claims"] if claim["form"] in forms]


def any_member(mutator: Draws, at: Any) -> None:
    """Any one number or text below, by another."""
    while True:
        key = mutator.draw.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[key], dict | list):
            at[key] = mutator.other(at[key])
            return
        at = at[key]


def _member(mutator: Draws, predicate: Json) -> None:
    """Any one number or text of a witness about a stream."""
    claims = [claim for claim in predicate["claims"] if claim["kind"] == "aggregate"]
    any_member(mutator, mutator.draw.choice(claims)["witness"])


def _figure(mutator: Draws, predicate: Json) -> None:
    """A decimal of a bound, by a little or to something else; its promise follows if all is derived again."""
    entry = mutator.draw.choice(mutator.draw.choice(_of(predicate, "bound"))["witness"]["rows"])
    key = mutator.draw.choice(FIGURES)
    entry[key] = mutator.nudged(entry[key]) if mutator.draw.random() < 0.7 else mutator.draw.choice(["0", "1", "0.5"])


def _ends(mutator: Draws, predicate: Json) -> None:
    """The ends of an average, further apart or nearer, in one claim or in all that speak of the row."""
    step = parse_decimal(mutator.draw.choice(["0.000000000001", "0.0000001", "0.01", "1", "-0.000000000001", "-0.001"]))
    ends = mutator.draw.choice([("lower",), ("upper",), ("lower", "upper")])
    entry = mutator.draw.choice(mutator.draw.choice(_of(predicate, "weighted", "bound"))["witness"]["rows"])
    same = [
        e for claim in _of(predicate, "weighted", "bound") for e in claim["witness"]["rows"] if e["row"] == entry["row"]
    ]
    for one in same if mutator.draw.random() < 0.5 else [entry]:
        for end in ends:
            moved = parse_decimal(one[end]) + (step if end == "upper" else -step)
            one[end] = format_decimal(max(moved, 0 * moved))


def _batches(mutator: Draws, predicate: Json) -> None:
    """More or fewer batches, in every claim, with or without the batches that were skipped."""
    step, along = mutator.draw.choice([1, -1, 2, 10]), mutator.draw.random() < 0.7
    for claim in _of(predicate, *SUMMARIES, "steps", "difference", "ratio"):
        witness = claim["witness"]
        if isinstance(witness.get("batches"), int):
            witness["batches"] += step
        elif claim["kind"] == "feasibility":
            witness["batches"]["total"] += step
            for entry in witness["rows"]:
                entry["undecided" if entry["undecided"] else "counted"] += step
        if claim["form"] == "skipped" and along:
            for entry in witness["rows"]:
                entry["batches"] += step


def _counted(mutator: Draws, predicate: Json) -> None:
    """Batches and people of a row change sides, in one claim or in all."""
    draw = mutator.draw
    batches, people = draw.choice([(1, 2), (-1, -2), (0, 1), (0, -1), (-1, 0), (1, 5), (-1, -1)])
    claims = _of(predicate, *SUMMARIES)
    name = draw.choice(draw.choice(claims)["witness"]["rows"])["row"]
    for claim in claims if draw.random() < 0.7 else [draw.choice(claims)]:
        for entry in claim["witness"]["rows"]:
            if entry["row"] == name and claim["form"] == "skipped":
                entry["batches"] -= batches
                entry["people"] -= people
            elif entry["row"] == name:
                entry["counted"] += batches
                entry["people"] += people


def _spans(mutator: Draws, predicate: Json) -> None:
    """Another span, or another number of collections, or one listed under another name."""
    claim = mutator.draw.choice(_of(predicate, "moment", "window"))
    witness, action = claim["witness"], mutator.draw.choice(["span", "total", "name", "drop"])
    if action == "span":
        claim["span"] += mutator.draw.choice([1, -1, -5, 10, 100])
    elif action == "total":
        step = mutator.draw.choice([1, -1])
        witness["batches"]["total"] += step
        for entry in witness["rows"]:
            entry[mutator.draw.choice(["counted", "counted", "undecided"])] += step
    elif action == "name":
        listed = mutator.draw.choice(witness["batches"]["listed"])
        old, listed["batch"] = listed["batch"], mutator.draw.choice(["1", "3", "b9", "nobody"])
        for entry in witness["rows"]:
            entry["worstBatch"] = listed["batch"] if entry["worstBatch"] == old else entry["worstBatch"]
    else:
        listed = witness["batches"]["listed"].pop()
        for entry in witness["rows"]:
            if entry["worstBatch"] == listed["batch"]:
                entry.update(counted=0, undecided=witness["batches"]["total"], smallestGroup=0, worstBatch=None)


def _chain(mutator: Draws, predicate: Json) -> None:
    """The head, alone or with the material; another log, other segments; or no log at all."""
    (claim,) = _of(predicate, "chain")
    action = mutator.draw.choice(["head", "both", "log", "segments", "none"])
    if action in ("head", "both"):
        claim["witness"]["head"] = "0" * 64
        for item in predicate["materials"]:
            if item["role"] == "log" and action == "both":
                item["sha256"] = "0" * 64
    elif action == "log":
        claim["witness"]["log"] = mutator.draw.choice(["golden log ", "another log"])
    elif action == "segments":
        claim["witness"]["segments"] += mutator.draw.choice([1, -1, 30])
    else:
        predicate["claims"] = [c for c in predicate["claims"] if c["form"] not in ("chain", "steps", "bound")]
        predicate["materials"] = [item for item in predicate["materials"] if item["role"] != "log"]


def _steps(mutator: Draws, predicate: Json) -> None:
    """Faults denied or made up, with or without the bounds that must then be null."""
    (claim,) = _of(predicate, "steps")
    faults = mutator.draw.choice([0, 1, 2, 1000])
    claim["witness"]["faults"] = faults
    claim["witness"]["first"] = {"batch": "2", "what": "eta is 1"} if faults else None
    if mutator.draw.random() < 0.7 and faults:
        for entry in [entry for c in _of(predicate, "bound") for entry in c["witness"]["rows"]]:
            entry.update(dict.fromkeys(FIGURES))


def _layer(mutator: Draws, predicate: Json) -> None:
    """Another epsilon of the layer, and of the bound that follows from it."""
    epsilon = mutator.draw.choice(["0", "0.01", "0.9", "-0.1", mutator.nudged(predicate["system"]["layer"]["epsilon"])])
    predicate["system"]["layer"]["epsilon"] = epsilon
    for claim in _of(predicate, "bound") if mutator.draw.random() < 0.8 else []:
        claim["witness"]["epsilon"] = epsilon


def _null(mutator: Draws, predicate: Json) -> None:
    """Some or all figures of a row become null."""
    claim = mutator.draw.choice(_of(predicate, "weighted", "bound"))
    entry = mutator.draw.choice(claim["witness"]["rows"])
    keys = [key for key in FIGURES if key in entry]
    for key in keys if mutator.draw.random() < 0.6 else [mutator.draw.choice(keys)]:
        entry[key] = None


def _online(mutator: Draws, predicate: Json) -> None:
    """Another algorithm, step size, or box of the system."""
    system = predicate["system"]
    action = mutator.draw.choice(["eta0", "algorithm", "null", "box"])
    if action == "eta0":
        system["online"]["eta0"] = mutator.draw.choice(["0", "0.1", "10", None, "-1"])
    elif action == "box":
        system["box"] = mutator.draw.choice(
            [None, {"lower": "0", "upper": "0"}, {"lower": "-1", "upper": "3"}, {"lower": "0.4", "upper": "0.5"}]
        )
    else:
        system["online"] = None if action == "null" else {"algorithm": "pooled", "eta0": None}
        if mutator.draw.random() < 0.5:
            predicate["claims"] = [c for c in predicate["claims"] if c["form"] not in ("steps", "bound")]


def wider_averages(ours: Json, theirs: Json) -> bool:
    """Whether of two witnesses the second says no more of any average."""
    for mine, other in zip(ours["rows"], theirs["rows"], strict=True):
        if other["lower"] is None or mine["lower"] is None:
            if other["lower"] is not mine["lower"]:
                return False
            continue
        pairs = [(other["lower"], mine["lower"]), (mine["upper"], other["upper"])]
        if not all(parse_decimal(less) <= parse_decimal(more) for less, more in pairs):
            return False
    return True


def bare_averages(claim: Json) -> None:
    """Without the ends of averages, and what follows from them."""
    for key in ("reason", "verdict", "estimate", "lower", "upper"):
        claim.pop(key)
    for entry in claim["witness"]["rows"]:
        entry.pop("lower")
        entry.pop("upper")
