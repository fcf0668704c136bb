"""Seeded mutations of certificates, blind and coherent ones, and what a mutation may change without harm."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from certifair.exact.decimals import format_rational, parse_decimal, parse_rational
from tests.golden.forge import Json, canonical, digest, rederived, registration, statement, widened
from tests.golden.mutate_individual import bare_shares, fewer_shares, mutated_individual
from tests.golden.mutate_stability import bare_bounds, looser_bounds, mutated_stability
from tests.golden.mutate_streams import bare_averages, mutated_stream, wider_averages

DECIMALS = ("0", "1", "-1", "0.05", "0.5", "0.999999999", "0.0000000001", "12", "-0.5", "-0", "0.50", "1e9", "9" * 390)
RATIONALS = ("0", "1", "-1", "1/2", "2/4", "60", "-7/3", "1/3", "5404319552844595/18014398509481984", "1/0", "1/1")
WORDS = ("PASS", "FAIL", "UNDECIDED", "feasibility", "population", "difference", "ratio", "projection", "served")
WORDS += ("scores", "decisions", "batch", "exact", "duality", "clopper_pearson", "beta_mixture", "empirical_bernstein")
WORDS += ("demographic_parity", "equalized_odds", "equal_opportunity", "equalized_residuals", "conditional_parity")
WORDS += ("replay", "network", "ball", "aggregate", "log", "pooled", "moment", "window", "weighted", "skipped", "bound")
WORDS += ("steps", "chain", "paper", "skip", "golden log", "stream")
WORDS += ("individual", "rows", "domain", "real", "float32", "integer", "continuous", "category", "number", "hours")
WORDS += ("stability", "treatment", "differentiable", "radius", "sensitivity", "lipschitz", "everywhere", "ranges")
WORDS += ("norms", "l1_linf", "absolute", "lipsdp", "north", "south", "old", "young")
WORDS += ("<=", ">=", "label", "sex", "age", "region", "f", "m", "b0", "b1", "(missing)", "none", "below 4/5", "0", "1")
TIMES = ("2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z")
TIMES += ("2026-01-01T12:01:00Z", "2026-01-01T12:01:01Z", "2026-01-01T12:00:00+01:00", "2026-01-01t12:00:00z")
ODD = (
    "",
    " ",
    "f\u0301",
    "\u0440",
    "\u202e",
    "a - b",
    "a | b",
    "f ",
    "PASS ",
    "\x00",
    "\x1b[2K",
    "\n",
    "(f, m)",
    "sex × age",
)
FREE = ("serial", "issuedAt", "validUntil", "supersedes", "environment", "verifier")
Place = tuple[Any, Any]  # a list or object, and an index or key of it


def places(value: Any) -> Iterator[Place]:
    """Every place that holds something."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


class Mutator:
    """Draws mutations of a predicate from a seed; `donors` are other predicates to take parts of."""

    def __init__(self, seed: int, donors: Sequence[Json]) -> None:
        self.draw = random.Random(seed)
        self.donors = donors

    def mutated(self, predicate: Json) -> Json:
        """A statement about a changed predicate; about half of them with everything derived derived again."""
        found = copy.deepcopy(predicate)
        kinds: list[tuple[int, Callable[[Json], None]]] = [(6, self.leaf), (3, self.container), (2, self.swap)]
        kinds += [(2, self.transplant), (4, self.terms), (5, self.people), (3, self.sums), (4, self.bounds)]
        kinds += [(2, self.claims), (2, self.injected), (1, self.declared), (2, self.counts), (2, self.multiplied)]
        kinds += [(2, self.replays), (5, lambda found: mutated_stream(self, found))]
        kinds += [(5, lambda found: mutated_individual(self, found))]
        kinds += [(7, lambda found: mutated_stability(self, found))]
        coherent = self.draw.random() < 0.6
        for _ in range(self.draw.choice((1, 1, 1, 2, 3))):
            (kind,) = self.draw.choices([kind for _, kind in kinds], [weight for weight, _ in kinds])
            try:
                kind(found)
            except (LookupError, TypeError, ValueError, AttributeError, ZeroDivisionError):
                continue  # nothing to change there
        if coherent:
            kept = copy.deepcopy(found)
            try:
                found = rederived(found)
                canonical(found)
            except Exception:  # nonsense cannot be derived from; it is tried as it stands
                found = kept
        return self.wrapped(found)

    def wrapped(self, predicate: Json) -> Json:
        """The statement; now and then with a mutation of its own."""
        try:
            found = statement(predicate)
        except (LookupError, TypeError, ValueError):
            found = statement(predicate, subject=("golden", "0" * 64))
        if self.draw.random() < 0.03:
            container, key = self.draw.choice([*places({k: v for k, v in found.items() if k != "predicate"})])
            container[key] = self.draw.choice([None, "", "x", [], {}, 0])
        return found

    def leaf(self, predicate: Json) -> None:
        container, key = self.draw.choice([p for p in places(predicate) if not isinstance(p[0][p[1]], dict | list)])
        container[key] = self.other(container[key])

    def other(self, value: Any) -> Any:
        """Another value of mostly the same kind."""
        if isinstance(value, bool):
            return self.draw.choice([not value, int(value), None])
        if isinstance(value, int):
            return self.draw.choice(
                [value + 1, value - 1, 0, -value, 2 * value, 10**9, 2**53 - 1, bool(value), None, str(value)]
            )
        if value is None:
            return self.draw.choice(["0", "0.1", 1, "b0", "label", [], {}, False])
        pools = [WORDS, ODD, TIMES, (value + "0", value[:-1], value.upper(), "-" + value, value + "\n", None, 0)]
        if value[:1].isdigit() or value[:1] == "-":
            pools = [DECIMALS, RATIONALS, (self.nudged(value),) * 3, *pools[2:]]
        return self.draw.choice(self.draw.choice(pools))

    def nudged(self, text: str) -> str:
        """A decimal or rational by a little more or less."""
        step = parse_decimal(self.draw.choice(["0.000000000001", "0.000000001", "0.001", "1"])) * self.draw.choice(
            [1, -1]
        )
        if "/" in text:
            return format_rational(parse_rational(text) + step)
        try:
            from certifair.exact.decimals import format_decimal

            return format_decimal(parse_decimal(text) + step)
        except ValueError:
            return "0"

    def container(self, predicate: Json) -> None:
        found = self.draw.choice([p[0][p[1]] for p in places(predicate) if isinstance(p[0][p[1]], dict | list)])
        if isinstance(found, list):
            action = self.draw.choice(["drop", "twice", "swap", "reverse", "empty"])
            k = self.draw.randrange(len(found))
            if action == "drop":
                del found[k]
            elif action == "twice":
                found.insert(k, copy.deepcopy(found[k]))
            elif action == "swap":
                j = self.draw.randrange(len(found))
                found[j], found[k] = found[k], found[j]
            else:
                found[:] = found[::-1] if action == "reverse" else []
            return
        key = self.draw.choice(list(found))
        action = self.draw.choice(["drop", "unknown", "rename", "swap"])
        if action == "unknown":
            found[self.draw.choice(["verdict", "note", "", "tau ", "overrides"])] = self.draw.choice(["PASS", 0, None])
        elif action == "swap":
            other = self.draw.choice(list(found))
            found[key], found[other] = found[other], found[key]
        else:
            value = found.pop(key)
            if action == "rename":
                found[key + "s"] = value

    def swap(self, predicate: Json) -> None:
        """Two values of the same kind change places, wherever they stand."""
        all_places = [p for p in places(predicate) if not isinstance(p[0][p[1]], dict)]
        (a, i) = self.draw.choice(all_places)
        (b, j) = self.draw.choice([p for p in all_places if type(p[0][p[1]]) is type(a[i])])
        a[i], b[j] = b[j], a[i]

    def transplant(self, predicate: Json) -> None:
        """A member of this or another certificate's claim, or of its whole, comes here."""
        donor = self.draw.choice([*self.donors, predicate])
        if self.draw.random() < 0.3:
            key = self.draw.choice(
                ["groups", "population", "materials", "policy", "regulatoryViews", "claims", "system"]
            )
            predicate[key] = copy.deepcopy(donor[key])
            return
        claim, other = self.draw.choice(predicate["claims"]), self.draw.choice(donor["claims"])
        key = self.draw.choice([*other, "witness", "witness", "partitions"])
        claim[key] = copy.deepcopy(other[key])

    def terms(self, predicate: Json) -> None:
        """Another threshold, tolerance, confidence or least group."""
        claim = self.draw.choice(predicate["claims"])
        key = self.draw.choice(
            ["threshold", "tau", "confidence", "minGroupSize", "decisionThreshold", "intersectional", "span"]
        )
        claim[key] = {
            "minGroupSize": self.draw.choice([0, 1, 2, 5, 11, 10**6]),
            "confidence": self.draw.choice(["0.9", "0.5", "0.000001", "0.9999999", "0." + "9" * 300, None]),
            "intersectional": not claim["intersectional"],
            "span": self.draw.choice([1, 2, 12, 20, 41, 10**6, None]),
        }.get(key, self.draw.choice([*DECIMALS[:8], self.nudged(claim["threshold"])]))

    def cells(self, predicate: Json) -> list[Json]:
        """The cells of a claim's first listed batch or of its sample."""
        witness = self.draw.choice(predicate["claims"])["witness"]
        found: list[Json] = (
            witness["cells"] if "cells" in witness else self.draw.choice(witness["batches"]["listed"])["cells"]
        )
        return found

    def people(self, predicate: Json) -> None:
        """People move from one group to another, in the cells, in `groups`, or in both."""
        step, where = self.draw.choice([1, 1, 2, 7]), self.draw.random()
        key = self.draw.choice(["n", "n", "positives"])
        chosen = self.cells(predicate)
        i, j = self.draw.sample(range(len(chosen)), 2)
        if where < 0.8:
            chosen[i][key] += step
            chosen[j][key] -= step
        if where > 0.2:
            values = {tuple(chosen[k]["group"]): d for k, d in ((i, step), (j, -step))}
            for table in predicate["groups"]:
                for cell in table["cells"]:
                    cell[key] += values.get(tuple(cell["value"]), 0)

    def sums(self, predicate: Json) -> None:
        """Predictions move, with or without the groups' sums."""
        step = parse_rational(self.draw.choice(["1", "1/2", "1/1024", "-1", "1/3", "100"]))
        chosen = self.cells(predicate)
        i, j = self.draw.sample(range(len(chosen)), 2)
        both = self.draw.random() < 0.6
        for k, sign in ((i, 1), (j, -1)):
            if self.draw.random() < 0.9:
                chosen[k]["sum"] = format_rational(parse_rational(chosen[k]["sum"]) + sign * step)
            for table in predicate["groups"] if both else []:
                for cell in table["cells"]:
                    if cell["value"] == chosen[k]["group"]:
                        cell["sum"] = format_rational(parse_rational(cell["sum"]) + sign * step)

    def bounds(self, predicate: Json) -> None:
        """Intervals become wider or tighter."""
        claim = self.draw.choice([c for c in predicate["claims"] if c["kind"] == "population"])
        cells = claim["witness"]["cells"]
        by = self.draw.choice(["0.000000001", "0.00001", "0.01", "0.3", "2", "-0.000000001", "-0.000001", "-0.02"])
        for cell in cells if self.draw.random() < 0.5 else [self.draw.choice(cells)]:
            for key in self.draw.choice([("interval",), ("oneSided",), ("interval", "oneSided")]):
                pair, end = cell[key], self.draw.randrange(2)
                pair[end] = widened(pair[end], by, up=bool(end))

    def replays(self, predicate: Json) -> None:
        """The bounds of a replay move, its people are counted otherwise, or it is of another network."""
        witness = self.draw.choice([c for c in predicate["claims"] if c["kind"] == "replay"])["witness"]
        action = self.draw.choice(["certain", "upper", "upper", "counted", "row", "digest"])
        if action == "counted":
            step = self.draw.choice([1, -1, witness["counted"]])
            witness["counted"] -= step
            witness["undecided"] += step
            if witness["counted"] == 0:
                witness["certain"] = witness["worst"] = None
        elif action == "certain":
            witness["certain"] = self.draw.choice(["0", self.nudged(witness["certain"]), witness["worst"]["upper"]])
        elif action == "digest":
            role = self.draw.choice(["model", "preprocessing"])
            witness[role] = digest(b"other")
            for item in predicate["materials"]:
                item["sha256"] = witness[role] if item["role"] == role else item["sha256"]
            if role == "model":
                predicate["system"]["model"]["sha256"] = witness[role]
            else:
                predicate["system"]["preprocessing"] = witness[role]
        else:
            worst = witness["worst"]
            worst["row"] = self.draw.choice(["1", "2", "", "somebody"]) if action == "row" else worst["row"]
            if action == "upper" or self.draw.random() < 0.5:
                worst["upper"] = self.draw.choice(["0", "1", "0.0000001", self.nudged(worst["upper"])])

    def claims(self, predicate: Json) -> None:
        """Claims go, come, or change places."""
        claims = predicate["claims"]
        action = self.draw.choice(["drop", "copy", "shuffle", "guest"])
        if action == "drop":
            claims.pop(self.draw.randrange(len(claims)))
        elif action == "shuffle":
            self.draw.shuffle(claims)
        else:
            source = claims if action == "copy" else self.draw.choice(self.donors)["claims"]
            claims.append({**copy.deepcopy(self.draw.choice(source)), "id": f"new-{self.draw.randrange(9)}"})

    def injected(self, predicate: Json) -> None:
        """What anybody may set: it must stay harmless."""
        key = self.draw.choice([*FREE, "uri", "reason", "neededSampleSize", "window", "nonClaims", "registration"])
        if key in ("reason", "neededSampleSize"):
            self.draw.choice(predicate["claims"])[key] = self.draw.choice(["", "all is well", 1, 999, None])
        elif key == "uri":
            predicate["policy"]["uri"] = self.draw.choice(["https://example.org/policy", "../policy.toml", "x"])
        elif key == "registration":
            policy, at = predicate["policy"], self.draw.choice(TIMES)
            who = self.draw.choice(["registrar", "owner", "stranger"])
            policy["registration"], policy["registeredAt"] = registration(policy["sha256"], at, who), at
        elif key == "window":
            predicate["population"]["window"] = self.draw.choice([None, ["2020", "2021"]])
        elif key == "nonClaims":
            predicate["nonClaims"] = ["nothing is not claimed"]
        else:
            predicate[key] = {
                "serial": f"s-{self.draw.randrange(100)}",
                "supersedes": self.draw.choice([None, "golden-parity"]),
                "environment": {"python": self.draw.choice(ODD)},
                "verifier": {"name": "other", "version": "2", "sha256": digest(b"other")},
            }.get(key, self.draw.choice(TIMES))

    def declared(self, predicate: Json) -> None:
        """What the owner declares of the system."""
        key = self.draw.choice(["frozen", "heldOut", "batch", "threshold", "version", "name", "layer", "box", "online"])
        predicate["system"][key] = self.draw.choice(
            [True, False, 0, 7, "0.5", "0.25", "2", None, {"lower": "0", "upper": "1"}]
        )

    def counts(self, predicate: Json) -> None:
        """A row's numbers, together."""
        claim = self.draw.choice([c for c in predicate["claims"] if "batches" in c["witness"]])
        witness = claim["witness"]
        if "rows" not in witness:
            witness["counted"] += (step := self.draw.choice([1, -1]))
            witness["undecided"] -= step
            return
        row = self.draw.choice(witness["rows"])
        step = self.draw.choice([1, -1])
        if self.draw.random() < 0.3:
            witness["batches"]["total"] += step
            for one in witness["rows"]:
                one["counted"] += step
        elif self.draw.random() < 0.5:
            row["counted"] += step
            row["undecided"] -= step
        else:
            row[self.draw.choice(["failed", "smallestGroup"])] += step

    def multiplied(self, predicate: Json) -> None:
        """Everybody counted several times: a bigger sample than there was."""
        factor = self.draw.choice([2, 3, 10])
        for container, key in list(places(predicate)):
            if key in ("n", "positives", "rowCount", "smallestGroup", "sampleSize") and container[key]:
                container[key] *= factor
            elif key in ("sum", "labelSum"):
                container[key] = format_rational(parse_rational(container[key]) * factor)


def payload(mutated: Json) -> bytes:
    """The bytes to sign; canonical where there is a canonical form."""
    return canonical(mutated)


def harm(original: Json, accepted: Json) -> str:
    """What is wrong with an acceptance by somebody who held the evidence; empty if it is harmless."""
    if [claim["id"] for claim in original["claims"]] != [claim["id"] for claim in accepted["claims"]]:
        return "other claims"
    for ours, theirs in zip(original["claims"], accepted["claims"], strict=True):
        if theirs["verdict"] == "PASS" and ours["verdict"] != "PASS":
            return "a claim passes that did not"
        if ours["kind"] == "population" and not _all_wider(ours, theirs):
            return "a bound is tighter"
        if ours["kind"] == "replay" and not _says_less(ours["witness"], theirs["witness"]):
            return "a score is said to be nearer"
        if ours["kind"] == "individual" and not fewer_shares(ours["witness"], theirs["witness"]):
            return "more people are said to be proven, or others are shown"
        if ours["form"] == "lipschitz" and not looser_bounds(ours["witness"], theirs["witness"]):
            return "a network is said to be smoother, or two points farther apart"
        if ours["form"] in ("weighted", "bound") and not wider_averages(ours["witness"], theirs["witness"]):
            return "an average is said to be known better"
    return "" if canonical(_core(original)) == canonical(_core(accepted)) else "something else was changed"


def _all_wider(ours: Json, theirs: Json) -> bool:
    for mine, other in zip(ours["witness"]["cells"], theirs["witness"]["cells"], strict=True):
        for key in ("interval", "oneSided"):
            if other[key] is None:
                continue
            if mine[key] is None:
                return False
            (low, high), (least, most) = ([parse_decimal(end) for end in pair] for pair in (mine[key], other[key]))
            if least > low or most < high:
                return False
    return True


def _says_less(ours: Json, theirs: Json) -> bool:
    """Whether of two witnesses of replays the second knows less."""
    if theirs["counted"] == 0 or theirs["counted"] > ours["counted"]:
        return bool(theirs["counted"] == 0)
    pairs = [(theirs["certain"], ours["certain"]), (ours["worst"]["upper"], theirs["worst"]["upper"])]
    return all(parse_decimal(less) <= parse_decimal(more) for less, more in pairs)


def _core(predicate: Json) -> Json:
    """Without what may differ: injected members, and bounds that may be wider, with what follows."""
    found = copy.deepcopy({key: value for key, value in predicate.items() if key not in (*FREE, "verdict")})
    for key in ("uri", "registration", "registeredAt"):
        found["policy"].pop(key)
    for claim in found["claims"]:
        bare = BARE.get(claim["kind"], BARE.get(claim["form"]))
        if bare is not None:
            bare(claim)
    return found


def _bare_intervals(claim: Json) -> None:
    for key in ("reason", "neededSampleSize", "verdict", "lower", "upper", "bound"):
        claim.pop(key)
    claim["witness"].pop("rows")
    for cell in claim["witness"]["cells"]:
        cell.pop("interval")
        cell.pop("oneSided")


def _bare_replay(claim: Json) -> None:
    for key in ("reason", "verdict", "estimate", "lower", "upper"):
        claim.pop(key)
    for key in ("counted", "undecided", "certain", "worst"):
        claim["witness"].pop(key)


def _bare_reason(claim: Json) -> None:
    claim.pop("reason")


BARE: dict[str, Callable[[Json], None]] = {
    "population": _bare_intervals,
    "replay": _bare_replay,
    "individual": bare_shares,
    "lipschitz": bare_bounds,
    "skipped": _bare_reason,
    "weighted": bare_averages,
    "bound": bare_averages,
}
"""By kind or form: a claim without bounds that may be wider, and what follows from them."""
