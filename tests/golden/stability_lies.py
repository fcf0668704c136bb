"""Each rule of certificates/README.md 9.12, broken; lies about stability that contradict nothing but the evidence.

tests/conformance/test_second_stability.py breaks the same rules on certificates written by hand, and more often.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.golden.forge import Json, put, rederived
from tests.golden.stream_lies import NOBODY, Edit, Lies, claim_of, member, passed, role, twice

WHOLE, KINK, CONDITIONS = "stability", "stability-kink", "stability-conditions"
NETWORK, PROVEN, SERVED = "lipschitz", "lipschitz-proven", "lipschitz-served"
ONLINE = {"algorithm": "pooled", "eta0": None}


def witness(name: str, **changes: Any) -> Edit:
    """Members of the witness become these values."""
    return lambda predicate: claim_of(predicate, name)["witness"].update(copy.deepcopy(changes))


def worst(name: str, **changes: Any) -> Edit:
    return lambda predicate: claim_of(predicate, name)["witness"]["worst"].update(copy.deepcopy(changes))


def bound(name: str, method: str, value: str) -> Edit:
    """The bound by this method becomes the value; without one it comes last."""

    def edit(predicate: Json) -> None:
        bounds = claim_of(predicate, name)["witness"]["bounds"]
        entry = next((entry for entry in bounds if entry["method"] == method), None)
        if entry is None:
            bounds.append({"method": method, "bound": value})
        else:
            entry["bound"] = value

    return edit


def ranged(name: str, which: str, **changes: Any) -> Edit:
    """Members of the range of a column become these values."""

    def edit(predicate: Json) -> None:
        next(item for item in claim_of(predicate, name)["domain"] if item["column"] == which).update(changes)

    return edit


def swapped(name: str, where: str, first: str, second: str) -> Edit:
    """Two members of a part of the witness change places."""

    def edit(predicate: Json) -> None:
        part = claim_of(predicate, name)["witness"][where]
        part[first], part[second] = part[second], part[first]

    return edit


def person(*group: str, condition: str | None = None) -> Json:
    return {"group": list(group), "condition": condition}


def _terms() -> Lies:
    made: dict[str, list[Any]] = {
        "comparator": [member("far", "comparator", "<=")],
        "tau": [member("unlike", "tau", "0.1"), rederived],
        "least-group": [member("unlike", "minGroupSize", 2), rederived],
        "decision-threshold": [member("smooth", "decisionThreshold", "0.4"), rederived],
        "sample-size": [member("moved", "sampleSize", 39)],
        "statement": [member("unlike", "statement", "everybody is treated alike")],
        "estimate": [member("unlike", "estimate", "0.304")],
        "lower": [member("far", "lower", "0.62")],
        "upper": [member("moved", "upper", "0.1")],
        "threshold-negative": [member("far", "threshold", "-0.1"), rederived],
        "share-above-1": [member("smooth", "threshold", "1.01"), rederived],
        "metric": [put("system/layer/metric", "equalized_residuals"), rederived],
        "another-epsilon": [member("unlike", "witness/layer/epsilon", "0.5"), rederived],
        "another-box": [member("unlike", "witness/layer/upper", "3"), rederived],
        "no-layer": [put("system/layer", None), rederived],
        "online": [put("system/online", ONLINE), rederived],
        "claims-disagree": [twice("unlike"), member("again", "witness/worst/difference", "0.31"), rederived],
    }
    found: Lies = {f"stability-{name}": (WHOLE, edits) for name, edits in made.items()}
    found["stability-another-condition"] = (CONDITIONS, [put("system/layer/condition", "age"), rederived])
    found["stability-passes-over-fail"] = ("stability-fail", [member("unlike", "verdict", "PASS")])
    found["stability-passes-over-undecided"] = ("stability-undecided", [member("far", "verdict", "PASS")])
    return found


def _batches() -> Lies:
    made: dict[str, list[Any]] = {
        "batches-do-not-add-up": [member("unlike", "witness/counted", 1)],
        "more-batches-than-people": [witness("unlike", batches=41, counted=41)],
        "claims-count-other-batches": [witness("unlike", batches=3, counted=3)],
        "distance-negative": [member("smooth", "witness/distance", "-0.1")],
        "distance-of-13-places": [member("smooth", "witness/distance", "0.0000000000001")],
        "distance-of-nobody": [
            witness("smooth", counted=0, undecided=2, differentiable=0, ranks=None),
        ],
    }
    return {f"stability-{name}": (WHOLE, [*edits, rederived]) for name, edits in made.items()}


def _treatment() -> Lies:
    made: dict[str, list[Any]] = {
        "worst-of-nobody": [witness("unlike", counted=0, undecided=2, distance="0", shown=None)],
        "nobody-compared": [witness("unlike", worst=None)],
        "difference-wider-than-the-box": [worst("unlike", difference="3.000000000002")],
        "difference-negative": [worst("unlike", difference="-0.304"), witness("unlike", shown=None)],
        "difference-of-13-places": [worst("unlike", difference="0.3040000000011")],
        "distance-beyond-the-largest": [worst("unlike", distance="0.1")],
        "equal-groups": [worst("unlike", other=person("f"))],
        "group-unknown": [worst("unlike", other=person("x"))],
        "group-of-two-features": [worst("unlike", other=person("m", "old"))],
        "condition-unknown": [worst("unlike", favoured=person("f", condition="north"),
                                    other=person("m", condition="north"))],
        "shown-more-than-can-be": [member("unlike", "witness/shown/difference", "1/2")],
        "shown-nothing": [member("unlike", "witness/shown/difference", "0")],
        "shown-one-person": [member("unlike", "witness/shown/other", "32")],
    }  # fmt: skip
    found: Lies = {f"treatment-{name}": (WHOLE, [*edits, rederived]) for name, edits in made.items()}
    found["treatment-unequal-conditions"] = (
        CONDITIONS, [worst("unlike", other=person("f", condition="south")), rederived]
    )  # fmt: skip
    for name, value in {"shown-in-thirds": "1/3", "shown-not-in-lowest-terms": "2/8"}.items():
        found[f"treatment-{name}"] = (WHOLE, [member("unlike", "witness/shown/difference", value)])
    return found


def _derivatives() -> Lies:
    kinked = {"batch": "b0", "reason": "a tie"}
    smooth: dict[str, tuple[str, list[Any]]] = {
        "share-more-than-counted": (WHOLE, [witness("smooth", differentiable=3)]),
        "share-names-nobody": (KINK, [witness("smooth", failing=[])]),
        "share-names-too-many": (WHOLE, [witness("smooth", failing=[kinked])]),
        "share-names-one-twice": (KINK, [witness("smooth", differentiable=0, failing=[kinked, kinked])]),
        "ranks-missing": (WHOLE, [witness("smooth", ranks=None)]),
        "ranks-reversed": (WHOLE, [witness("smooth", ranks=[20, 19])]),
        "radius-uncounted": (WHOLE, [witness("far", decades=[{"exponent": -1, "batches": 1}])]),
        "radius-decades-unordered": (KINK, [witness("far", zero=0, decades=[
            {"exponent": 0, "batches": 1}, {"exponent": -1, "batches": 1}]), worst("far", radius="1")]),
        "radius-of-another-decade": (WHOLE, [worst("far", radius="0.0619"), witness("far", atMost="0.7")]),
        "radius-below-12-places": (KINK, [witness("far", zero=0, decades=[
            {"exponent": -13, "batches": 1}, {"exponent": 0, "batches": 1}])]),
        "radius-zero-denied": (KINK, [witness("far", zero=0, decades=[{"exponent": 0, "batches": 2}])]),
        "radius-zero-invented": (WHOLE, [witness("far", zero=1, decades=[{"exponent": -1, "batches": 1}])]),
        "radius-worst-missing": (WHOLE, [witness("far", worst=None)]),
        "radius-reversed": (WHOLE, [witness("far", atMost="0.6")]),
        "radius-unlimited-with-an-end": (WHOLE, [witness("far", worst=None, decades=[], unlimited=2)]),
    }  # fmt: skip
    return {name: (base, [*edits, rederived]) for name, (base, edits) in smooth.items()}


def _changes() -> Lies:
    made: dict[str, list[Any]] = {
        "joins-more-than-the-largest": [witness("moved", joining="0.19")],
        "joins-negative": [witness("moved", joining="-0.01")],
        "joins-missing": [witness("moved", joining=None)],
        "worst-missing": [witness("moved", worst=None)],
        "out-of-the-box": [worst("moved", change="3.000000000002")],
        "nobody-moves": [worst("moved", to=person("f"))],
        "whose-missing": [worst("moved", whose=None)],
        "whose-unknown": [worst("moved", whose=person("x"))],
        "of-nothing": [worst("moved", change="0"), witness("moved", joining="0")],
        "own-above-1": [member("moved", "witness/score/own", "1.000000000001")],
        "others-above-half": [member("moved", "witness/score/others", "0.500000000001")],
        "score-of-no-batch": [member("moved", "witness/score/batches", 0)],
        "tolerance-of-no-batch": [member("moved", "witness/tolerance/batches", 0)],
        "tolerance-of-more-batches": [member("moved", "witness/tolerance/batches", 3)],
        "tolerance-negative": [member("moved", "witness/tolerance/all", "-1")],
    }
    return {f"change-{name}": (WHOLE, [*edits, rederived]) for name, edits in made.items()}


def _networks() -> Lies:
    one = {"method": "norms", "bound": "2"}
    made: dict[str, tuple[str, list[Any]]] = {
        "bounds-out-of-order": (PROVEN, [lambda p: claim_of(p, "all")["witness"]["bounds"].reverse()]),
        "bound-twice": (NETWORK, [witness("all", bounds=[one, one])]),
        "bound-negative": (NETWORK, [bound("all", "norms", "-1")]),
        "bound-of-13-places": (NETWORK, [bound("all", "norms", "1.4065062471251")]),
        "bound-below-least": (PROVEN, [bound("all", "lipsdp", "1.35")]),
        "least-above-a-bound": (PROVEN, [witness("all", least="1.36")]),
        "least-of-nothing": (PROVEN, [witness("all", bounds=[])]),
        "least-negative": (PROVEN, [witness("all", least="-1")]),
        "bounds-of-no-network": (NETWORK, [witness("all", model=None, preprocessing=None)]),
        "proof-missing": (PROVEN, [witness("all", proof=None)]),
        "proof-of-another-file": (PROVEN, [witness("all", proof=NOBODY)]),
        "proof-without-material": (PROVEN, [_without_proofs]),
        "proof-of-norms": (PROVEN, [witness("all", bounds=[one], least=None)]),
        "another-model": (NETWORK, [witness("all", model=NOBODY)]),
        "another-preprocessing": (NETWORK, [witness("all", preprocessing=NOBODY)]),
        "domain-missing": (NETWORK, [member("here", "domain", None)]),
        "domain-of-everything": (NETWORK, [lambda p: claim_of(p, "all").update(domain=claim_of(p, "here")["domain"])]),
        "range-of-a-number": (NETWORK, [ranged("here", "hours", kind="number", low=None, high=None)]),
        "range-reversed": (NETWORK, [ranged("here", "hours", low="7")]),
        "range-relaxed": (NETWORK, [ranged("here", "hours", eps="1")]),
        "column-twice": (NETWORK, [lambda p: claim_of(p, "here")["domain"].append(claim_of(p, "here")["domain"][1])]),
        "tau": (NETWORK, [member("all", "tau", "0.1")]),
        "decision-threshold": (NETWORK, [member("all", "decisionThreshold", "0.5")]),
        "served-missing": (SERVED, [witness("whole", served=None)]),
        "served-beside-scores": (NETWORK, [witness("all", served={
            "layer": {"epsilon": "0.05", "lower": "-1", "upper": "2"}, "distance": "0"})]),
        "served-by-another-layer": (SERVED, [member("whole", "witness/served/layer/epsilon", "1")]),
        "served-at-a-negative-distance": (SERVED, [member("whole", "witness/served/distance", "-1")]),
        "served-online": (SERVED, [lambda p: p["claims"].pop(), put("system/online", ONLINE)]),
    }  # fmt: skip
    found: Lies = {f"lipschitz-{name}": (base, [*edits, rederived]) for name, (base, edits) in made.items()}
    found["lipschitz-sample-size"] = (NETWORK, [member("all", "sampleSize", 19)])
    found["lipschitz-passes-over-fail"] = (
        "lipschitz-fail", [member("all", "verdict", "PASS"), put("verdict", "UNDECIDED")],
    )  # fmt: skip
    found["lipschitz-passes-undecided"] = ("lipschitz-undecided", [*passed("all")])
    found["lipschitz-fails-undecided"] = (
        "lipschitz-undecided", [member("all", "verdict", "FAIL"), put("verdict", "FAIL")],
    )  # fmt: skip
    found["lipschitz-passes-at-no-distance"] = (SERVED, [member("whole", "witness/served/distance", None)])
    found["lipschitz-passes-without-a-bound"] = (NETWORK, [witness("all", bounds=[])])
    found["lipschitz-statement"] = (
        NETWORK, [lambda p: claim_of(p, "ranges").update(statement=claim_of(p, "here")["statement"])],
    )  # fmt: skip
    return found


def _without_proofs(predicate: Json) -> None:
    predicate["materials"] = [item for item in predicate["materials"] if item["role"] != "witness"]


def stability_contradictions() -> Lies:
    return {**_terms(), **_batches(), **_treatment(), **_derivatives(), **_changes(), **_networks()}


def stability_shapes() -> dict[str, tuple[str, Edit]]:
    """What the schema refuses."""
    made: dict[str, Edit] = {
        "stability-of-scores": member("unlike", "map", "scores"),
        "stability-of-no-metric": member("unlike", "metric", None),
        "stability-confidence": member("unlike", "confidence", "0.95"),
        "stability-bound": member("unlike", "bound", "0"),
        "stability-span": member("far", "span", 1),
        "stability-domain": member("moved", "domain", []),
        "treatment-as-radius": member("unlike", "form", "radius"),
        "treatment-with-a-score": worst("unlike", score="1"),
        "treatment-shown-as-a-decimal": member("unlike", "witness/shown/difference", "0.304"),
        "member-without-a-condition": lambda p: claim_of(p, "unlike")["witness"]["worst"]["other"].pop("condition"),
        "member-of-nothing": worst("unlike", other=person()),
        "ranks-of-one": witness("smooth", ranks=[19]),
        "ranks-negative": witness("smooth", ranks=[-1, 19]),
        "decade-of-no-batch": member("far", "witness/decades/0/batches", 0),
        "change-without-tolerance": lambda p: claim_of(p, "moved")["witness"].pop("tolerance"),
    }
    found = {name: (WHOLE, edit) for name, edit in made.items()}
    networks: dict[str, Edit] = {
        "lipschitz-of-decisions": member("all", "map", "decisions"),
        "lipschitz-of-a-metric": member("all", "metric", "demographic_parity"),
        "lipschitz-in-a-batch": member("all", "scope", "batch"),
        "lipschitz-real": member("all", "method", "real"),
        "lipschitz-by-eigenvalues": member("all", "witness/bounds/0/method", "spectral"),
        "lipschitz-without-least": lambda p: claim_of(p, "all")["witness"].pop("least"),
    }
    return found | {name: (NETWORK, edit) for name, edit in networks.items()}


def _of_layers() -> dict[str, list[Any]]:
    return {
        "treatment-lowered": [
            worst("unlike", difference="0.2"), member("unlike", "witness/shown/difference", "1/8"),
        ],
        "treatment-lowered-by-a-little": [
            worst("unlike", difference="0.304"),
        ],
        "treatment-raised": [worst("unlike", difference="0.4")],
        "treatment-of-nobody": [witness("unlike", worst=None, shown=None)],
        "treatment-of-another-batch": [worst("unlike", batch="b0")],
        "treatment-favours-the-other": [swapped("unlike", "worst", "favoured", "other")],
        "treatment-shown-denied": [witness("unlike", shown=None)],
        "treatment-shown-swapped": [swapped("unlike", "shown", "favoured", "other")],
        "treatment-shown-of-others": [member("unlike", "witness/shown/favoured", "1")],
        "share-ranks": [witness("smooth", ranks=[18, 19])],
        "radius-raised": [worst("far", radius="0.7"), witness("far", atMost="0.7")],
        "radius-raised-by-a-little": [worst("far", radius="0.619390829768")],
        "radius-unlimited": [witness("far", worst=None, atMost=None, decades=[], unlimited=2)],
        "radius-ends-elsewhere": [worst("far", nearest="nobody")],
        "radius-at-most-hidden": [witness("far", atMost=None)],
        "change-lowered": [worst("moved", change="0.1")],
        "change-of-whom": [worst("moved", whose=person("m"))],
        "change-the-other-way": [swapped("moved", "worst", "from", "to")],
        "change-by-joining-raised": [witness("moved", joining="0.1")],
        "change-by-a-score-lowered": [member("moved", "witness/score/own", "0.5")],
        "change-by-tolerance-denied": [witness("moved", tolerance={"batches": 0, "one": "0", "all": "0"})],
        "stability-threshold-loosened": [member("unlike", "threshold", "1")],
        "stability-left-out": [lambda p: p["claims"].pop(0)],
    }  # fmt: skip


def stability_lies() -> Lies:
    """Certificates without a contradiction that the evidence does not support; all that follows is to be derived."""
    found: Lies = {name: (WHOLE, edits) for name, edits in _of_layers().items()}
    others: dict[str, tuple[str, list[Any]]] = {
        "share-of-all": (KINK, [witness("smooth", differentiable=2, failing=[])]),
        "share-fails-elsewhere": (KINK, [member("smooth", "witness/failing/0/batch", "b1")]),
        "radius-of-a-kink": (KINK, [
            worst("far", radius="0.5"), witness("far", atMost=None, zero=0, decades=[
                {"exponent": -1, "batches": 1}, {"exponent": 0, "batches": 1}])]),
        "treatment-distance-lowered": ("stability-joint", [
            witness("unlike", distance="0"), worst("unlike", distance="0")]),
        "treatment-nobody-asked-for": (KINK, [lambda p: p["claims"].pop()]),
        "stability-undecided-counted": ("stability-undecided", [witness(name, counted=2, undecided=0, **more)
            for name, more in (("unlike", {}), ("smooth", {"differentiable": 2}), ("moved", {}),
                               ("far", {"decades": [{"exponent": -1, "batches": 2}]}))]),
        "lipschitz-bound-tightened": (PROVEN, [bound("all", "lipsdp", "1.351599999")]),
        "lipschitz-norms-tightened": (NETWORK, [bound("all", "norms", "1.4065")]),
        "lipschitz-least-raised": (PROVEN, [witness("all", least="1.35158")]),
        "lipschitz-proof-lent": (PROVEN, [bound("here", "lipsdp", "1.36")]),
        "lipschitz-of-another-proof": (PROVEN, [
            role("witness", sha256=NOBODY), *(witness(name, proof=NOBODY) for name in ("all", "here", "ranges"))]),
        "lipschitz-in-other-units": (PROVEN, [member("here", "method", "ranges")]),
        "lipschitz-on-a-narrower-range": (PROVEN, [ranged("ranges", "hours", high="5")]),
        "lipschitz-threshold-loosened": ("lipschitz-fail", [member("all", "threshold", "9")]),
        "lipschitz-served-from-afar": (SERVED, [member("whole", "witness/served/distance", "0.1")]),
        "lipschitz-without-a-layer": (SERVED, [member("whole", "map", "scores"), witness("whole", served=None)]),
    }  # fmt: skip
    return found | others
