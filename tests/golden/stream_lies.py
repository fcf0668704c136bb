"""Each rule of certificates/README.md 9.10, broken; lies about a stream that contradict nothing but the evidence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.golden.forge import Json, put, rederived

Edit = Callable[[Json], Any]
Lies = dict[str, tuple[str, list[Any]]]
NOBODY = "0" * 64
FIGURES = ("lower", "upper", "last", "eta", "rounding", "promise", "prior")


def claim_of(predicate: Json, name: str) -> Json:
    found: Json = next(claim for claim in predicate["claims"] if claim["id"] == name)
    return found


def member(name: str, path: str, value: Any) -> Edit:
    """An edit of the claim of that id; a function of the present value may be given instead of one."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]

    def edit(predicate: Json) -> None:
        at: Any = claim_of(predicate, name)
        for part in parents:
            at = at[part]
        at[last] = value(at[last]) if callable(value) else value

    return edit


def row(name: str, changes: dict[str, Any], k: int = 0) -> Edit:
    """Members of a row of the witness become these values."""
    return lambda predicate: claim_of(predicate, name)["witness"]["rows"][k].update(changes)


def plus(step: int) -> Callable[[Any], Any]:
    return lambda value: value + step


def of_rows(name: str, key: str, change: Callable[[Any], Any]) -> Edit:
    def edit(predicate: Json) -> None:
        for entry in claim_of(predicate, name)["witness"]["rows"]:
            entry[key] = change(entry[key])

    return edit


def role(name: str, **changes: Any) -> Edit:
    return lambda p: next(item for item in p["materials"] if item["role"] == name).update(changes)


def twice(name: str) -> Edit:
    return lambda p: p["claims"].append({**copy.deepcopy(claim_of(p, name)), "id": "again"})


def without(*names: str) -> Edit:
    return lambda p: p.update(claims=[claim for claim in p["claims"] if claim["id"] not in names])


def no_material(p: Json) -> None:
    p["materials"] = [item for item in p["materials"] if item["role"] != "log"]


def batches(change: Callable[[int], int]) -> Edit:
    """All claims say that there were another number of batches, the difference without some group."""

    def edit(predicate: Json) -> None:
        for claim in predicate["claims"]:
            witness = claim["witness"]
            if isinstance(witness.get("batches"), int):
                step = change(witness["batches"]) - witness["batches"]
                witness["batches"] += step
                for entry in witness["rows"] if claim["form"] == "skipped" else []:
                    entry["batches"] += step

    return edit


def passed(name: str) -> tuple[Edit, Edit]:
    return member(name, "verdict", "PASS"), put("verdict", "PASS")


def emptied(name: str, k: int = 0) -> Edit:
    return row(name, dict.fromkeys(FIGURES), k)


def _system() -> Lies:
    """9.1: what a system that serves online must be."""
    made: dict[str, list[Any]] = {
        "no-layer": [put("system/layer", None)],
        "no-box": [put("system/box", None)],
        "box-reversed": [put("system/box", {"lower": "1", "upper": "0"})],
        "box-empty": [put("system/box/upper", "0")],
        "layer-epsilon": [
            put("system/layer/epsilon", "-0.1"),
            member("bound", "witness/epsilon", "-0.1"),
            member("bound", "threshold", "0.9"),
        ],
        "no-step-size": [put("system/online/eta0", None)],
        "step-size-0": [put("system/online/eta0", "0")],
        "step-size-negative": [put("system/online/eta0", "-0.5")],
        "pooled-with-step-size": [without("bound", "steps"), put("system/online/algorithm", "pooled")],
    }
    found: Lies = {f"online-{name}": ("stream-paper", [*edits, rederived]) for name, edits in made.items()}
    found["box-of-a-batch-system"] = ("parity", [put("system/box/lower", "2"), rederived])
    found["layer-of-a-batch-system"] = (
        "projection", [without("projection"), put("system/layer/epsilon", "-1"), rederived],
    )  # fmt: skip
    return found


def _fixed() -> Lies:
    """What is fixed for the forms."""
    bare: dict[str, list[Any]] = {
        f"{name}-{key}": [member(name, key, value)]
        for name in ("weighted", "skipped", "bound", "steps", "chain", "pooled", "moment")
        for key, value in (("comparator", ">="), ("sampleSize", 49), ("statement", "fair"))
    }
    bare["pooled-bounds"] = [
        member("pooled", "witness/bounds",
               {"lower": "0", "upper": "1", "minimum": "0", "maximum": "1", "below": 0, "above": 0})
    ]  # fmt: skip
    for name in ("weighted", "skipped", "bound", "steps", "chain"):
        bare[f"{name}-decision-gap"] = [member(name, "decisionGap", "0")]
        bare[f"{name}-least-group"] = [member(name, "minGroupSize", 2), rederived]
        bare[f"{name}-decision-threshold"] = [member(name, "decisionThreshold", "0.5"), rederived]
    for name in ("skipped", "bound", "steps", "chain"):
        bare[f"{name}-tau"] = [member(name, "tau", "0.01"), rederived]
    for name in ("steps", "chain"):
        bare[f"{name}-threshold"] = [member(name, "threshold", "1"), rederived]
        bare[f"{name}-intersectional"] = [member(name, "intersectional", True), rederived]
        bare[f"{name}-estimate"] = [member(name, "estimate", "0")]
        bare[f"{name}-fails"] = [member(name, "verdict", "FAIL"), put("verdict", "FAIL")]
        bare[f"{name}-undecided"] = [member(name, "verdict", "UNDECIDED"), put("verdict", "UNDECIDED")]
    for name in ("weighted", "skipped", "bound", "pooled"):
        bare[f"{name}-estimate"] = [member(name, "estimate", "0.000000000001")]
        bare[f"{name}-lower"] = [member(name, "lower", "0.000000000001")]
        bare[f"{name}-row-name"] = [row(name, {"row": "sex: m - f"})]
        bare[f"{name}-row-missing"] = [lambda p, name=name: claim_of(p, name)["witness"]["rows"].pop()]
        bare[f"{name}-threshold-negative"] = [member(name, "threshold", "-0.1"), rederived]
    return {f"stream-{name}": ("stream-paper", edits) for name, edits in bare.items()}


def _collections() -> Lies:
    cell = "witness/batches/listed/0/cells/0/"
    paper: dict[str, list[Any]] = {
        "pooled-twice": [member("pooled", "witness/batches/total", 2), of_rows("pooled", "counted", plus(1))],
        "moments-more-than-batches": [
            member("moment", "witness/batches/total", 19), of_rows("moment", "counted", plus(8)),
        ],
        "moments-left-out": [
            member("moment", "span", 2), member("moment", "witness/batches/total", 11), rederived,
        ],
        "windows-left-out": [member("window", "span", 4), rederived],
        "moment-of-too-few": [member("moment", "span", 32), rederived],
        "window-of-too-few": [member("window", "span", 14), rederived],
        "span-beyond-everybody": [member("moment", "span", 51), rederived],
        "people-of-a-moment": [member("moment", cell + "n", plus(30)), rederived],
        "last-moment-uncounted": [
            member("moment", "witness/rows", lambda rows: [{**rows[0], "counted": 0, "undecided": 11,
                                                            "smallestGroup": 0, "worstBatch": None}]),
            member("moment", "witness/batches/listed", []), member("moment", "decisionGap", None), rederived,
        ],
        "last-moment-too-small": [member("moment", "minGroupSize", 26), rederived],
        "worst-moment-better-than-the-last": [
            member("moment", "witness/batches/listed/0/cells", lambda cells: [{**c, "sum": "0"} for c in cells]),
            member("moment", "decisionGap", "1"), rederived,
        ],
        "pooled-people": [member("pooled", cell + "n", plus(-1)), rederived],
        "pooled-sum": [member("pooled", cell + "sum", "1"), rederived],
        "moment-passes-over-counts": [row("moment", {"failed": 1})],
        "moment-decision-gap": [member("moment", "decisionGap", None)],
    }  # fmt: skip
    found: Lies = {f"stream-{name}": ("stream-paper", edits) for name, edits in paper.items()}
    few: dict[str, list[Any]] = {
        "pass-of-too-few": [member("moment", "verdict", "PASS"), member("window", "verdict", "PASS"),
                            put("verdict", "PASS")],
        "window-of-all-in-parts": [member("window", "witness/batches/total", 2), of_rows("window", "counted", plus(1))],
        "window-of-all-people": [member("window", cell + "n", plus(-1)), rederived],
        "window-of-all-sum": [member("window", cell + "sum", "1"), rederived],
    }  # fmt: skip
    found |= {f"stream-{name}": ("stream-few", edits) for name, edits in few.items()}
    found["stream-pooled-over"] = (
        "stream-fail", [member("pooled", "verdict", "PASS"), member("pooled", "witness/rows/0/failed", 0)],
    )  # fmt: skip
    found["stream-claims-disagree-on-everybody"] = (
        "stream-foreign",
        [twice("pooled"), *(member("again", f"witness/batches/listed/0/cells/{k}/sum", "1") for k in (0, 1)),
         member("again", "threshold", "1"), rederived],
    )  # fmt: skip
    return found


def _averages() -> Lies:
    made: dict[str, list[Any]] = {
        "average-lower-null": [row("weighted", {"lower": None})],
        "average-null": [row("weighted", {"lower": None, "upper": None}), rederived],
        "average-reversed": [row("weighted", {"lower": "0.2", "upper": "0.1"}), rederived],
        "average-negative": [row("weighted", {"lower": "-0.1"}), rederived],
        "average-of-13-places": [row("weighted", {"lower": "0.0000000000001"}), rederived],
        "average-counted-more": [row("weighted", {"counted": 24}), rederived],
        "average-of-fewer-than-two-each": [row("weighted", {"people": 27}), rederived],
        "average-leaves-nobody": [row("weighted", {"people": 49}), rederived],
        "average-of-all": [row("weighted", {"people": 50}), rederived],
        "average-of-all-batches": [row("weighted", {"counted": 18}), rederived],
        "average-of-nobody": [row("weighted", {"counted": 0}), rederived],
        "average-of-no-batch": [row("weighted", {"counted": 0, "people": 0}), rederived],
        "average-of-too-many": [row("weighted", {"people": 51}), rederived],
        "skipped-too-many": [row("skipped", {"people": 51})],
        "skipped-more-batches": [row("skipped", {"batches": 19}), rederived],
        "skipped-batches-without-people": [row("skipped", {"people": 3}), rederived],
        "skipped-people-of-no-batch": [row("skipped", {"batches": 0}), rederived],
        "skipped-nobody": [row("skipped", {"people": 0}), rederived],
        "skipped-everybody": [row("skipped", {"people": 50}), rederived],
        "skipped-leaves-less-than-two-each": [row("skipped", {"people": 24}), rederived],
        "skipped-fails": [member("skipped", "threshold", "0.3"), rederived, *passed("skipped")],
        "skipped-in-every-batch": [row("skipped", {"batches": 18}), rederived],
        "batches-differ": [member("weighted", "witness/batches", 17), rederived],
        "batches-of-the-steps-differ": [member("steps", "witness/batches", 17)],
        "more-batches-than-people": [batches(lambda total: 51), rederived],
        "counted-differs": [row("weighted", {"counted": 13}), rederived],
        "people-differ": [row("weighted", {"people": 45}), rederived],
        "skipped-differ": [row("skipped", {"people": 5}), rederived],
        "averages-far-apart": [row("weighted", {"lower": "0.06", "upper": "0.07"}), rederived],
        "average-above-the-promise": [
            row("weighted", {"lower": "0.08", "upper": "0.08"}), row("bound", {"upper": "0.08"}), rederived,
        ],
    }  # fmt: skip
    found: Lies = {f"stream-{name}": ("stream-paper", edits) for name, edits in made.items()}
    found["stream-fails-are-denied"] = ("stream-fail", [member("weighted", "verdict", "PASS")])
    found["stream-skipped-fails-are-denied"] = ("stream-fail", [member("skipped", "verdict", "PASS")])
    # 14 of 20 batches count, with 54 of 60 people, but some of the crossed groups have fewer than 14
    found["stream-counts-more-than-a-group"] = (
        "stream-foreign",
        [lambda p: p.update(claims=[claim_of(p, "skipped")]), member("skipped", "witness/batches", 20),
         of_rows("skipped", "batches", lambda _: 6), of_rows("skipped", "people", lambda _: 6),
         lambda p: p["groups"].pop() if len(p["groups"]) > 3 else None, rederived],
    )  # fmt: skip
    return found


def _bounds() -> Lies:
    made: dict[str, list[Any]] = {
        "promise": [row("bound", {"promise": "0.06"})],
        "promise-null": [row("bound", {"promise": None})],
        "half-a-bound": [row("bound", {"last": None})],
        "last-negative": [row("bound", {"last": "-0.01"}), rederived],
        "eta-0": [row("bound", {"eta": "0"})],
        "eta-negative": [row("bound", {"eta": "-0.1"})],
        "eta-of-a-step-before": [row("bound", {"eta": "0.2"}), rederived],
        "rounding-negative": [row("bound", {"rounding": "-0.0001"}), rederived],
        "last-of-13-places": [row("bound", {"last": "0.1457675058811"}), rederived],
        "average-above-its-promise": [row("bound", {"lower": "0.08", "upper": "0.09"}), rederived],
        "epsilon": [member("bound", "witness/epsilon", "0.04"), rederived],
        "epsilon-spelled": [put("system/layer/epsilon", "0.04"), rederived],
        "prior-of-two-rows": [row("bound", {"prior": "0.9"})],
        "only-one-of-two-rows-named": [member("bound", "sensitiveFeatures", ["sex"]),
                                       member("bound", "partitions", lambda found: found[:1]),
                                       member("bound", "witness/rows", lambda found: found[:1]), rederived],
        "bound-null": [emptied("bound")],
        "bound-passes-over-nothing": [emptied("bound"), emptied("bound", 1),
                                      *(member("bound", key, None) for key in ("estimate", "lower", "upper"))],
        "bound-passes-over-promise": [member("bound", "threshold", "0.07"), rederived, *passed("bound")],
        "bound-without-a-chain": [without("chain")],
        "bound-of-another-algorithm": [put("system/online", {"algorithm": "pooled", "eta0": None}), rederived],
        "bound-of-no-algorithm": [put("system/online", None), rederived],
        "steps-of-no-algorithm": [without("bound"), put("system/online", None), rederived],
        "steps-twice": [twice("steps")],
        "faults-of-none": [member("steps", "witness/first", {"batch": "1", "what": "x"})],
        "faults-without-a-first": [member("steps", "witness/faults", 1)],
        "faults-more-than-batches": [member("steps", "witness/faults", 19),
                                     member("steps", "witness/first", {"batch": "1", "what": "x"}), rederived],
        "faults-beside-a-bound": [member("steps", "witness/faults", 1),
                                  member("steps", "witness/first", {"batch": "2", "what": "x"}), rederived],
    }  # fmt: skip
    found: Lies = {f"stream-{name}": ("stream-paper", edits) for name, edits in made.items()}
    prior: dict[str, list[Any]] = {
        "prior-too-small": [row("bound", {"prior": "0.2"})],
        "prior-negative": [row("bound", {"prior": "-1"})],
        "prior-of-13-places": [row("bound", {"prior": "0.4464101618611"})],
        "prior-without-a-promise": [row("bound", {**dict.fromkeys(FIGURES), "prior": "1"})],
        "another-layer": [put("system/layer/sensitiveFeatures", ["age"]), rederived],
        "another-metric": [put("system/layer/metric", "equal_opportunity"), rederived],
        "another-condition": [put("system/layer/condition", "age"), rederived],
        "another-crossing": [put("system/layer/intersectional", True), rederived],
    }
    found |= {f"stream-{name}": ("stream-prior", edits) for name, edits in prior.items()}
    altered: dict[str, list[Any]] = {
        "faults-denied": [member("steps", "verdict", "PASS"), put("verdict", "UNDECIDED")],
        "faults-counted-as-none": [member("steps", "witness/faults", 0), rederived],
        "bound-in-spite-of-faults": [row("bound", {"lower": "0.07", "upper": "0.08", "last": "0", "eta": "0.1",
                                                   "rounding": "1", "promise": "1"}), rederived],
    }  # fmt: skip
    return found | {f"stream-{name}": ("stream-altered", edits) for name, edits in altered.items()}


def _chains() -> Lies:
    made: dict[str, list[Any]] = {
        "head": [member("chain", "witness/head", NOBODY)],
        "head-of-the-material": [role("log", sha256=NOBODY)],
        "rows": [role("log", rowCount=49)],
        "rows-null": [role("log", rowCount=None)],
        "no-log": [no_material],
        "no-claim": [without("chain", "steps", "bound")],
        "twice": [twice("chain")],
        "records": [member("chain", "witness/records", 49)],
        "more-segments-than-records": [member("chain", "witness/segments", 51)],
        "more-segments-than-batches": [member("chain", "witness/segments", 19)],
    }
    found: Lies = {f"chain-{name}": ("stream-paper", edits) for name, edits in made.items()}
    log = {"role": "log", "path": "log", "sha256": NOBODY, "rowCount": 60}
    found["log-without-a-chain"] = ("parity", [lambda p: p["materials"].append(dict(log))])
    return found


def stream_contradictions() -> Lies:
    return {**_system(), **_fixed(), **_collections(), **_averages(), **_bounds(), **_chains()}


def stream_lies() -> Lies:
    """Consistent lies about a stream: everything that follows from them was derived again."""
    paper: dict[str, list[Any]] = {
        "head": [member("chain", "witness/head", NOBODY), role("log", sha256=NOBODY)],
        "log-id": [member("chain", "witness/log", "another log")],
        "log-segments": [member("chain", "witness/segments", 1)],
        "average-tightened": [row("weighted", {"lower": "0.055293043465"})],
        "average-lowered": [row("weighted", {"lower": "0", "upper": "0.055293043464"})],
        "last-multiplier": [row("bound", {"last": "0.1"})],
        "rounding-denied": [row("bound", {"rounding": "0"})],
        "step-size": [row("bound", {"eta": "0.133630620955"})],
        "bound-withdrawn": [emptied("bound")],
        "steps-fail": [emptied("bound"), emptied("bound", 1), member("steps", "witness/faults", 1),
                       member("steps", "witness/first", {"batch": "2", "what": "eta is 1"})],
        "one-batch-less": [batches(plus(-1))],
        "skipped-more": [
            *(row(name, {"counted": 13, "people": 45}) for name in ("weighted", "bound")),
            row("skipped", {"batches": 5, "people": 5}),
        ],
        "span": [member("moment", "span", 19)],
        "window-span": [member("window", "span", 11)],
        "moment-counts": [member("moment", "witness/batches/total", 12), of_rows("moment", "counted", plus(1))],
        "moment-named": [member("moment", "witness/batches/listed/0/batch", "12"),
                         row("moment", {"worstBatch": "12"})],
        "moment-smallest-group": [row("moment", {"smallestGroup": 9})],
        "step-size-of-the-system": [put("system/online/eta0", "1")],
        "log-left-out": [no_material, without("chain", "steps", "bound")],
        "served-all-at-once": [put("system/online", None), without("bound", "steps")],
        "threshold": [member("weighted", "threshold", "0.7")],
    }  # fmt: skip
    prior: dict[str, list[Any]] = {
        "prior": [row("bound", {"prior": "0.44"})],
        "prior-withdrawn": [row("bound", {"prior": None})],
    }
    altered = {"faults-denied": [member("steps", "witness/faults", 0), member("steps", "witness/first", None)],
               "faults-moved": [member("steps", "witness/first/batch", "5")]}  # fmt: skip
    foreign = {"order": [member("window", "witness/batches/listed/0/batch", "b9"), row("window", {"worstBatch": "b9"})],
               "average-of-scores": [row("average", {"lower": "0", "upper": "0.1"})],
               "skipped-in-part": [row("skipped-within", {"people": 25}), row("weighted", {"people": 35})]}  # fmt: skip
    bases = {"stream-paper": paper, "stream-prior": prior, "stream-altered": altered, "stream-foreign": foreign}
    return {
        f"stream-{name}": (base, [*edits, rederived]) for base, made in bases.items() for name, edits in made.items()
    }


def stream_shapes() -> dict[str, tuple[str, Edit]]:
    """What the schema refuses."""
    made: dict[str, Edit] = {
        "unknown-form": member("pooled", "form", "pool"),
        "form-of-another-kind": member("pooled", "form", "difference"),
        "kind-of-another-form": member("pooled", "kind", "feasibility"),
        "moment-without-span": member("moment", "span", None),
        "moment-of-nobody": member("moment", "span", 0),
        "span-of-an-average": member("weighted", "span", 5),
        "span-missing": lambda p: claim_of(p, "pooled").pop("span"),
        "stream-in-a-batch": member("pooled", "scope", "batch"),
        "stream-of-labels": member("pooled", "metric", "equalized_odds"),
        "stream-with-confidence": member("weighted", "confidence", "0.95"),
        "stream-method": member("weighted", "method", "duality"),
        "chain-of-a-metric": member("chain", "metric", "demographic_parity"),
        "skipped-scores": member("skipped", "map", "scores"),
        "bound-of-decisions": member("bound", "map", "decisions"),
        "bound-without-prior": lambda p: claim_of(p, "bound")["witness"]["rows"][0].pop("prior"),
        "bound-without-epsilon": lambda p: claim_of(p, "bound")["witness"].pop("epsilon"),
        "average-with-a-promise": row("weighted", {"promise": "0.1"}),
        "average-of-a-fraction": row("weighted", {"lower": "1/2"}),
        "skipped-counted": row("skipped", {"counted": 1}),
        "faults-negative": member("steps", "witness/faults", -1),
        "fault-without-a-batch": member("steps", "witness/first", {"what": "x"}),
        "steps-of-nothing": member("steps", "witness/batches", 0),
        "witness-of-another-form": lambda p: claim_of(p, "steps").update(witness=claim_of(p, "chain")["witness"]),
        "head-upper-case": member("chain", "witness/head", str.upper),
        "segments-0": member("chain", "witness/segments", 0),
        "online-unknown": put("system/online/algorithm", "online"),
        "online-member": put("system/online/epsilon", "0.1"),
        "online-missing": lambda p: p["system"].pop("online"),
        "log-of-another-role": role("log", role="logs"),
    }
    return {name: ("stream-paper", edit) for name, edit in made.items()}
