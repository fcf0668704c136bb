"""Claims of kind `stability` written by hand from certificates/README.md, 9.12, in certificates that are signed again:
both verifiers accept what is consistent, with the verdict that the text gives it, and refuse every lie at its step. The
second one also says which rule is broken, so that no lie is refused for another reason than the one it was made for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from certifair.certificate.times import parse_time
from certifair.certificate.verify import Expectations, verify_certificate
from certifair.errors import UntrustedError
from tests.golden.cases import NOW, pinned, public_pem
from tests.golden.forge import canonical, certificate, digest, drop, edited, payload_of, put
from tests.oracles import second_verifier

Json = dict[str, Any]
Edit = Callable[[Json], Any]
ACCEPTED = Path(__file__).parents[2] / "certificates" / "accept"
EXPECT = Expectations(keys=[pinned("owner")], now=parse_time(NOW))
LAYER: Json = {"epsilon": "0.05", "lower": "-1", "upper": "2"}
ONTO = "projection of the scores onto demographic_parity at most 0.05 in [-1, 2]"
QUANTITY = {
    "treatment": (
        "the largest difference between what two people of unequal groups are served whose scores are equal, or of "
        "whom the better served has the lower one,"
    ),
    "differentiable": f"the share of batches at whose scores the exact {ONTO} is differentiable,",
    "radius": f"the least distance of a batch's scores from where the derivative of the exact {ONTO} changes,",
    "sensitivity": (
        f"the largest change of anybody else's value of the exact {ONTO} where one person joins a batch, leaves it, or "
        "changes group,"
    ),
}
SMOOTH = "the Lipschitz constant of the network's score, Euclidean"
WHOLE = (
    "the Lipschitz constant of a batch's predictions, exactly projected, as a function of its people's inputs, "
    "Euclidean, groups fixed"
)
EVERYWHERE, DOMAIN = "over all inputs, in their units", "over the domain, in the units of the inputs"
RANGES = "over the domain, each input in units of its range"
SHOWN: Json = {"batch": "b2", "difference": "1/8", "favoured": "r1", "other": "r2"}
F, M = ({"group": [sex], "condition": None} for sex in "fm")


# ------------------------------------------------------------------------------------------------------ certificates
def base(name: str, layer: Json | None = None, box: Json | None = None) -> Json:
    """The predicate of an accepted certificate without its claims, perhaps with a layer."""
    found: Json = payload_of((ACCEPTED / f"{name}.certificate.json").read_bytes())["predicate"]
    found["claims"] = []
    found["system"] |= {"layer": layer, "box": box} if layer else {}
    return resealed(found)


def resealed(predicate: Json) -> Json:
    """What follows from system and claims: their digest, and the verdict."""
    (system,) = (item for item in predicate["materials"] if item["role"] == "system")
    system["sha256"] = digest(canonical(predicate["system"]))
    verdicts = {claim["verdict"] for claim in predicate["claims"]} or {"UNDECIDED"}
    predicate["verdict"] = next(verdict for verdict in ("FAIL", "UNDECIDED", "PASS") if verdict in verdicts)
    return predicate


def claim(form: str, verdict: str, threshold: str, figures: tuple[str | None, str | None], witness: Json) -> Json:
    """A claim about the layer; figures: lower, upper. The statement is `sex`'s over all batches."""
    larger = form in ("differentiable", "radius")
    scope = "in the evidence" if form == "differentiable" else "in every batch"
    comparison = f"{'at least' if larger else 'at most'} {threshold}"
    return {
        "id": form, "kind": "stability", "form": form, "verdict": verdict, "reason": "", "map": "served",
        "statement": f'{QUANTITY[form]} over "sex", {scope}, is {comparison}', "scope": "batch",
        "metric": "demographic_parity", "sensitiveFeatures": ["sex"], "intersectional": False, "conditionOn": None,
        "conditions": [], "partitions": [{"features": ["sex"], "groups": [["f"], ["m"]]}],
        "comparator": ">=" if larger else "<=", "threshold": threshold, "tau": "0", "decisionThreshold": "0.5",
        "minGroupSize": 1, "span": None, "confidence": None, "method": "exact", "domain": None, "sampleSize": 60,
        "neededSampleSize": None, "estimate": figures[0 if larger else 1], "lower": figures[0], "upper": figures[1],
        "bound": None, "decisionGap": None, "assumptions": [],
        "witness": {"layer": LAYER, "batches": 2, "counted": 2, "undecided": 0, "distance": "0.25"} | witness,
    }  # fmt: skip


def treatment(verdict: str, threshold: str, figures: tuple[str | None, str | None], **other: Any) -> Json:
    worst = {"batch": "b1", "difference": "0.2", "distance": "0.125", "favoured": F, "other": M}
    return claim("treatment", verdict, threshold, figures, {"worst": worst, "shown": SHOWN} | other)


def differentiable(verdict: str, threshold: str, figures: tuple[str | None, str | None], **other: Any) -> Json:
    failing = [{"batch": "b2", "reason": "a row is degenerate"}]
    witness = {"differentiable": 1, "failing": failing, "ranks": [28, 29]}
    return claim("differentiable", verdict, threshold, figures, witness | other)


def radius(verdict: str, threshold: str, figures: tuple[str | None, str | None], **other: Any) -> Json:
    worst = {"batch": "b1", "radius": "0.002", "nearest": "a row that becomes active"}
    decades = [{"exponent": -3, "batches": 1}, {"exponent": -1, "batches": 1}]
    witness = {"worst": worst, "atMost": "0.003", "decades": decades, "zero": 0, "unlimited": 0}
    return claim("radius", verdict, threshold, figures, witness | other)


def sensitivity(verdict: str, threshold: str, figures: tuple[str | None, str | None], **other: Any) -> Json:
    witness = {
        "worst": {"batch": "b1", "change": "0.3", "from": None, "to": F, "whose": M}, "joining": "0.25",
        "score": {"batches": 2, "own": "0.9", "other": "0.1", "others": "0.2"},
        "tolerance": {"batches": 1, "one": "0.5", "all": "1.2"},
    }  # fmt: skip
    return claim("sensitivity", verdict, threshold, figures, witness | other)


def layered(*claims: Json) -> Json:
    """In two batches of 60 people."""
    found = base("projection")
    return resealed(found | {"claims": list(claims)})


def lipschitz(
    verdict: str, threshold: str, figures: tuple[str | None, str | None], text: str = f"{SMOOTH}, {EVERYWHERE}",
    **other: Any,
) -> Json:  # fmt: skip
    """A certificate with a claim about its network."""
    found = base("individual-domain")
    digests = {item["role"]: item["sha256"] for item in found["materials"]}
    made = claim("treatment", verdict, threshold, figures, {})
    bounds = [("norms", "3"), ("l1_linf", "2.5"), ("lipsdp", "2")]
    made |= {
        "id": "lipschitz", "form": "lipschitz", "map": "scores", "scope": "domain", "method": "everywhere",
        "metric": None, "sensitiveFeatures": [], "partitions": [], "decisionThreshold": "0", "sampleSize": 30,
        "statement": f"{text}, is at most {threshold}",
        "witness": {
            "model": digests["model"], "preprocessing": digests["preprocessing"], "proof": digests["witness"],
            "bounds": [{"method": method, "bound": bound} for method, bound in bounds], "least": "1.5", "served": None,
        },
    }  # fmt: skip
    made["witness"] |= other.pop("witness", {})
    return resealed(found | {"claims": [made | other]})


BOX: list[Json] = [
    {"column": "sex", "kind": "category", "low": None, "high": None, "eps": "0", "values": ["f", "m"]},
    {"column": "hours", "kind": "integer", "low": "0", "high": "6", "eps": "0", "values": []},
    {"column": "income", "kind": "continuous", "low": "0.1", "high": "3", "eps": "0", "values": []},
]
OVER_DOMAIN: Json = {"text": f"{SMOOTH}, {DOMAIN}", "method": "domain", "domain": BOX}
UNSERVED: Json = {"bounds": [], "least": None, "proof": None}


def served(distance: str | None, verdict: str) -> Json:
    """A network before the layer of `projection`."""
    witness = {"served": {"layer": LAYER, "distance": distance}}
    found = lipschitz(verdict, "2", ("0", "2"), f"{WHOLE}, {EVERYWHERE}", map="served", witness=witness)
    system = base("projection")["system"]
    found["system"] |= {"layer": system["layer"], "box": system["box"]}
    return resealed(found)


def without_network() -> Json:
    found = lipschitz("UNDECIDED", "2", (None, None), witness={"model": None, "preprocessing": None} | UNSERVED)
    found["system"] |= {"model": None, "preprocessing": None}
    found["materials"] = [
        item for item in found["materials"] if item["role"] not in ("model", "preprocessing", "witness")
    ]
    return resealed(found)


def joint(together: bool) -> Json:
    """Sex and age, together or each by itself, of 120 people in 120 batches, none of which has a derivative."""
    failing = [{"batch": f"b{k}", "reason": "a tie"} for k in range(100)]
    numbers = {"batches": 120, "counted": 120}
    smooth = differentiable("FAIL", "0.5", ("0", "0"), differentiable=0, failing=failing, ranks=[3, 3], **numbers)
    favoured, other = ({"group": ["f", age], "condition": None} for age in ("old", "young"))
    worst = {"batch": "b1", "difference": "0.2", "distance": "0", "favoured": favoured, "other": other}
    unlike = treatment("PASS", "0.5", ("0", "0.2"), worst=worst, shown=None, **numbers)
    layer = {"metric": "demographic_parity", "sensitiveFeatures": ["sex", "age"], "intersectional": together}
    found = base("intersection", layer | {"condition": None, "epsilon": "0.05"}, {"lower": "-1", "upper": "2"})
    tables = found["groups"] if together else found["groups"][:2]
    partitions = [
        {"features": table["features"], "groups": [cell["value"] for cell in table["cells"]]} for table in tables
    ]
    groups = '"sex" × "age"' if together else '"sex" and "age"'
    for made in (smooth, unlike):
        made |= {"sensitiveFeatures": ["sex", "age"], "sampleSize": 120, "intersectional": together}
        made["partitions"] = partitions[2:] if together else partitions
        made["statement"] = made["statement"].replace('over "sex"', f"over {groups}")
    found |= {"claims": [smooth, unlike], "groups": tables}
    found["regulatoryViews"] = found["regulatoryViews"][: 2 * len(tables)]
    return resealed(found)


def conditional() -> Json:
    """Two regions, and people of neither."""
    north = {"group": ["f"], "condition": "north"}
    nowhere = {"batch": "b1", "change": "0.3", "from": north, "to": M, "whose": {"group": ["m"], "condition": "south"}}
    worst = {"batch": "b1", "difference": "0.2", "distance": "0", "favoured": north}
    worst |= {"other": {"group": ["m"], "condition": "north"}}
    claims = [
        treatment("PASS", "0.2", ("0.125", "0.2"), worst=worst),
        sensitivity("PASS", "0.3", ("0.25", "0.3"), worst=nowhere),
    ]
    for made in claims:
        made |= {"metric": "conditional_parity", "conditionOn": "region", "conditions": ["north", "south"]}
        text = made["statement"].replace('over "sex"', 'over "sex", within each "region"')
        made["statement"] = text.replace("demographic_parity", "conditional_parity")
    found = base("projection")
    found["system"]["layer"] |= {"metric": "conditional_parity", "condition": "region"}
    return resealed(found | {"claims": claims})


def stream(batches: int) -> Json:
    """A stream of 40 people in 9 batches, of which its claims only know that there are at least 7 and at most 15."""
    found = base("stream-fail", base("projection")["system"]["layer"], {"lower": "-1", "upper": "2"})
    claims = payload_of((ACCEPTED / "stream-fail.certificate.json").read_bytes())["predicate"]["claims"]
    unlike = treatment("PASS", "0.45", ("0.125", "0.45"), batches=batches, counted=batches) | {"sampleSize": 40}
    return resealed(found | {"claims": [unlike, *(made for made in claims if made["form"] in ("moment", "window"))]})


NOBODY: Json = {"counted": 0, "undecided": 2, "distance": "0"}
ZEROS: Json = {"score": {"batches": 0, "own": "0", "other": "0", "others": "0"}}
ZEROS |= {"tolerance": {"batches": 0, "one": "0", "all": "0"}}
STILL = {"batch": "b1", "change": "0", "from": F, "to": None, "whose": None}
LIMITLESS: Json = {"worst": None, "atMost": None, "decades": []}
KINK: Json = {"batch": "b1", "radius": "0", "nearest": None}
WIDE = {"batch": "b1", "difference": "3.000000000001", "distance": "0.25", "favoured": M, "other": F}
VALID: dict[str, Json] = {
    "treatment": layered(treatment("PASS", "0.45", ("0.125", "0.45"))),
    "treatment-fail": layered(treatment("FAIL", "0.1", ("0.125", "0.45"))),
    "treatment-undecided": layered(treatment("UNDECIDED", "0.2", ("0.125", "0.45"))),
    "treatment-open": layered(treatment("UNDECIDED", "0.5", ("0.125", None), counted=1, undecided=1)),
    "treatment-open-fail": layered(treatment("FAIL", "0.1", ("0.125", None), counted=1, undecided=1)),
    "treatment-alone": layered(treatment("PASS", "0", ("0", "0"), worst=None, shown=None)),
    "treatment-wide": layered(treatment("PASS", "3", ("0.125", "3"), worst=WIDE)),
    "treatment-nothing": layered(treatment("UNDECIDED", "3", ("0", None), worst=None, shown=None, **NOBODY)),
    "differentiable": layered(differentiable("PASS", "0.5", ("0.5", "0.5"))),
    "differentiable-fail": layered(differentiable("FAIL", "0.51", ("0.5", "0.5"))),
    "differentiable-open": layered(
        differentiable("UNDECIDED", "1", ("0.5", "1"), counted=1, undecided=1, failing=[], ranks=[29, 29])
    ),
    "differentiable-nothing": layered(
        differentiable("UNDECIDED", "1", ("0", "1"), differentiable=0, failing=[], ranks=None, **NOBODY)
    ),
    "radius": layered(radius("PASS", "0.002", ("0.002", "0.003"))),
    "radius-fail": layered(radius("FAIL", "0.004", ("0.002", "0.003"))),
    "radius-undecided": layered(radius("UNDECIDED", "0.003", ("0.002", "0.003"))),
    "radius-inexact": layered(radius("UNDECIDED", "0.003", ("0.002", None), atMost=None)),
    "radius-zero": layered(
        radius("FAIL", "0.1", ("0", "0"), worst=KINK, atMost="0", zero=1, decades=[{"exponent": -12, "batches": 1}])
    ),
    "radius-open": layered(
        radius("UNDECIDED", "0.001", (None, "0.003"), counted=1, undecided=1, decades=[{"exponent": -3, "batches": 1}])
    ),
    "radius-unlimited": layered(radius("PASS", "100", (None, None), unlimited=2, **LIMITLESS)),
    "radius-half-unlimited": layered(
        radius("UNDECIDED", "0", (None, None), unlimited=1, counted=1, undecided=1, **LIMITLESS)
    ),
    "radius-nothing": layered(radius("UNDECIDED", "0", (None, None), **LIMITLESS, **NOBODY)),
    "sensitivity": layered(sensitivity("PASS", "0.3", ("0.25", "0.3"))),
    "sensitivity-fail": layered(sensitivity("FAIL", "0.2", ("0.25", "0.3"))),
    "sensitivity-undecided": layered(sensitivity("UNDECIDED", "0.25", ("0.25", "0.3"))),
    "sensitivity-open": layered(sensitivity("UNDECIDED", "0.3", ("0.25", None), counted=1, undecided=1,
        score={"batches": 1, "own": "1", "other": "0.5", "others": "0.5"},
    )),
    "sensitivity-still": layered(sensitivity("PASS", "0", ("0", "0"), worst=STILL, joining="0", **ZEROS)),
    "sensitivity-nothing": layered(
        sensitivity("UNDECIDED", "1", ("0", None), worst=None, joining=None, **ZEROS, **NOBODY)
    ),
    "joint": joint(True),
    "each": joint(False),
    "conditional": conditional(),
    "treatment-tiny": layered(
        treatment("PASS", "0.45", ("0", "0.45"), shown=SHOWN | {"difference": f"1/{2**60}"}, batches=1, counted=1)
    ),
    "treatment-attained": layered(
        treatment("PASS", "0.125", ("0.125", "0.125"), worst=WIDE | {"difference": "0.125", "distance": "0"})
    ),
    "differentiable-third": layered(
        differentiable(
            "FAIL", "0.333333333334", ("0.333333333333", "0.333333333334"), batches=3, counted=3,
            failing=[{"batch": batch, "reason": "a tie"} for batch in ("b2", "b3")],
        )
    ),
    "radius-decade": layered(
        radius("PASS", "0.001", ("0.001", "0.001"), worst=KINK | {"radius": "0.001"}, atMost="0.001")
    ),
    "lipschitz-constant": lipschitz(
        "PASS", "0", ("0", "0"), witness={"bounds": [{"method": "norms", "bound": "0"}], "least": "0"}
    ),
    "stream": stream(7),
    "stream-15": stream(15),
    "together": layered(
        treatment("PASS", "0.45", ("0.125", "0.45")),
        differentiable("PASS", "0.5", ("0.5", "0.5")),
        radius("PASS", "0.002", ("0.002", "0.003")),
        sensitivity("PASS", "0.3", ("0.25", "0.3")),
    ),
    "lipschitz": lipschitz("PASS", "2", ("1.5", "2")),
    "lipschitz-fail": lipschitz("FAIL", "1.4", ("1.5", "2")),
    "lipschitz-undecided": lipschitz("UNDECIDED", "1.5", ("1.5", "2")),
    "lipschitz-norms": lipschitz(
        "PASS", "4", ("0", "3"), witness={"bounds": [{"method": "norms", "bound": "3"}], "least": None, "proof": None}
    ),
    "lipschitz-unsupported": lipschitz("UNDECIDED", "4", (None, None), witness=UNSERVED),
    "lipschitz-domain": lipschitz("PASS", "2", ("1.5", "2"), **OVER_DOMAIN),
    "lipschitz-ranges": lipschitz("PASS", "2", ("1.5", "2"), f"{SMOOTH}, {RANGES}", method="ranges", domain=BOX),
    "lipschitz-served": served("0.001", "PASS"),
    "lipschitz-served-open": served(None, "UNDECIDED"),
    "lipschitz-nothing": without_network(),
}  # fmt: skip


def product(content: bytes) -> str:
    try:
        return verify_certificate(content, EXPECT).verdict.value
    except UntrustedError as error:
        return error.step


def second(content: bytes) -> tuple[str, str]:
    """The verdict, or the step and the rule."""
    try:
        return second_verifier.verify(content, [public_pem("owner")], NOW), ""
    except second_verifier.Rejected as rejected:
        return rejected.step, str(rejected)


@pytest.mark.parametrize("name", VALID)
def test_consistent(name: str) -> None:
    content = certificate(VALID[name])
    assert (product(content), second(content)) == (VALID[name]["verdict"], (VALID[name]["verdict"], ""))


# -------------------------------------------------------------------------------------------------------------- lies
def lied(name: str, edits: Json) -> bytes:
    """Members of the first claim changed (its witness's with a leading `w/`), or of the predicate (leading `//`)."""
    found = copy.deepcopy(VALID[name])
    for path, value in edits.items():
        where = path[2:] if path.startswith("//") else "claims/0/" + path.replace("w/", "witness/", 1)
        edit: Edit = drop(where) if value is ... else put(where, copy.deepcopy(value))
        found = edited(found, edit)
    return certificate(resealed(found))


INCONSISTENT: list[tuple[str, Json, str]] = [
    # what every claim about the layer has
    ("treatment", {"tau": "0.1"}, "statement"),
    ("treatment", {"minGroupSize": 2}, "fixed members"),
    ("treatment", {"sampleSize": 59}, "fixed members"),
    ("treatment", {"comparator": ">="}, "comparator"),
    ("radius", {"comparator": "<="}, "comparator"),
    ("treatment", {"metric": "equalized_residuals"}, "Fault: 'layer'"),
    ("treatment", {"conditionOn": "region", "conditions": ["north"]}, "unconditional metric"),
    ("treatment", {"statement": VALID["treatment"]["claims"][0]["statement"].replace("lower", "higher")}, "statement"),
    ("treatment", {"intersectional": True}, "Fault: 'layer'"),
    ("treatment", {"w/layer": LAYER | {"epsilon": "0.06"}}, "layer of a claim"),
    ("radius", {"w/layer": LAYER | {"upper": "3"}}, "statement"),
    ("treatment", {"w/layer": LAYER | {"lower": "0"}}, "layer of a claim"),
    ("treatment", {"//system/layer": None}, "without layer or box"),
    ("treatment", {"//system/box": None}, "without layer or box"),
    ("treatment", {"//system/layer/condition": "region"}, "condition of the layer"),
    ("treatment", {"//system/online": {"algorithm": "pooled", "eta0": None}}, "serves online"),
    ("treatment", {"w/batches": 3}, "counts of batches"),
    ("treatment", {"w/counted": 1}, "counts of batches"),
    ("treatment", {"w/batches": 61, "w/counted": 61}, "number of batches"),
    ("treatment", {"w/distance": "-0.1"}, "negative figure"),
    ("treatment", {"w/distance": "0.1250000000001"}, "places"),
    ("treatment-nothing", {"w/distance": "0.1"}, "distance in no batch"),
    ("treatment", {"verdict": "FAIL"}, "verdict of a claim"),
    ("treatment-open", {"verdict": "PASS"}, "verdict of a claim"),
    ("treatment", {"estimate": "0.125"}, "estimate"),
    ("radius", {"estimate": "0.003"}, "estimate"),
    ("treatment", {"lower": "0.126"}, "lower, upper"),
    ("treatment", {"upper": "0.449999999999", "estimate": "0.449999999999"}, "lower, upper"),
    ("treatment-open", {"upper": "0.45", "estimate": "0.45"}, "lower, upper"),
    ("radius-open", {"lower": "0.002", "estimate": "0.002"}, "lower, upper"),
    ("together", {"w/batches": 3, "w/counted": 3}, "different numbers of batches"),
    ("stream", {"w/batches": 6, "w/counted": 6}, "more collections than batches"),
    ("stream", {"w/batches": 16, "w/counted": 16}, "too few collections"),
    # treatment
    ("treatment", {"w/worst/difference": "0.3"}, "verdict"),
    ("treatment", {"w/worst/difference": "-0.1"}, "negative figure"),
    ("treatment", {"w/worst/difference": "0.2000000000001"}, "places"),
    ("treatment-wide", {"w/worst/difference": "3.000000000002"}, "wider than the box"),
    ("treatment", {"w/worst/distance": "0.26"}, "farther than all"),
    ("treatment", {"w/worst/distance": "-0.05"}, "negative figure"),
    ("treatment", {"w/worst/other": F}, "equal groups"),
    ("treatment", {"w/worst/other/group": ["x"]}, "a member's group"),
    ("treatment", {"w/worst/other/group": ["m", "m"]}, "length of a member's group"),
    ("treatment", {"w/worst/favoured/condition": "north"}, "a member's condition"),
    ("conditional", {"w/worst/other/condition": "south"}, "members of two conditions"),
    ("conditional", {"w/worst/other/condition": None}, "members of two conditions"),
    ("treatment", {"w/shown/other": "r1"}, "shown twice"),
    ("treatment", {"w/shown/difference": "2/16"}, "lowest terms"),
    ("treatment", {"w/shown/difference": "1/3"}, "float64"),
    ("treatment", {"w/shown/difference": "-1/8"}, "difference shown is none"),
    ("treatment", {"w/shown/difference": "0", "lower": "0"}, "difference shown is none"),
    ("treatment", {"w/shown/difference": "1/2", "lower": "0.5"}, "larger than the largest"),
    ("treatment", {"w/shown": None}, "lower, upper"),
    ("treatment", {"w/worst": None}, "shown where nobody"),
    ("treatment-open", {"w/counted": 0, "w/undecided": 2, "w/distance": "0"}, "worst of no batch"),
    # differentiable
    ("differentiable", {"w/differentiable": 3, "w/failing": []}, "more batches with a derivative"),
    ("differentiable", {"w/differentiable": 2}, "without a derivative"),
    ("differentiable", {"w/failing": []}, "without a derivative"),
    ("joint", {"w/failing/1/batch": "b0"}, "without a derivative twice"),
    ("differentiable", {"w/ranks": None}, "ranks or null"),
    ("differentiable-nothing", {"w/ranks": [0, 0]}, "ranks or null"),
    ("differentiable", {"w/ranks": [29, 28]}, "order of the ranks"),
    (
        "differentiable-fail",
        {
            "threshold": "1.1",
            "statement": VALID["differentiable-fail"]["claims"][0]["statement"].replace("0.51", "1.1"),
        },
        "threshold of a share",
    ),
    ("differentiable-open", {"upper": "0.5"}, "lower, upper"),
    ("differentiable-open", {"lower": None, "estimate": None}, "lower, upper"),
    # radius
    ("radius", {"w/decades/1/exponent": -3}, "order of the decades"),
    ("radius-zero", {"w/decades/0/exponent": -13}, "below what 12 places"),
    ("radius", {"w/decades/0/batches": 2}, "add up"),
    ("radius", {"w/zero": 1}, "add up"),
    ("radius", {"w/zero": 1, "w/decades": [{"exponent": -3, "batches": 1}]}, "how many are 0"),
    ("radius-zero", {"w/zero": 0, "w/decades/0/batches": 2}, "how many are 0"),
    ("radius", {"w/decades/0/exponent": -2}, "first decade"),
    ("radius", {"w/worst/radius": "0.0009", "lower": "0.0009", "estimate": "0.0009"}, "first decade"),
    ("radius", {"w/worst/radius": "0.01", "lower": "0.01", "estimate": "0.01"}, "first decade"),
    ("radius", {"w/worst/radius": "0.0020000000001"}, "places"),
    ("radius", {"w/worst": None}, "radius or null"),
    ("radius-unlimited", {"w/worst": KINK}, "radius or null"),
    ("radius-unlimited", {"w/atMost": "1", "upper": "1"}, "exact radius of nothing"),
    ("radius-unlimited", {"verdict": "UNDECIDED"}, "verdict"),
    ("radius", {"w/atMost": "0.0019", "upper": "0.0019"}, "below the smallest"),
    ("radius", {"w/atMost": None}, "lower, upper"),
    # sensitivity
    ("sensitivity", {"w/worst": None}, "changes or null"),
    ("sensitivity", {"w/joining": None}, "changes or null"),
    ("sensitivity-nothing", {"w/joining": "0"}, "changes or null"),
    ("sensitivity-nothing", {"lower": None}, "lower, upper"),
    ("sensitivity", {"w/joining": "0.31", "lower": "0.31"}, "joining, change"),
    ("sensitivity", {"w/joining": "-0.25", "lower": "-0.25"}, "negative figure"),
    ("sensitivity", {"w/worst/change": "3.1", "upper": "3.1", "estimate": "3.1", "verdict": "UNDECIDED"}, "joining"),
    ("sensitivity", {"w/worst/from": F}, "nothing changes"),
    ("sensitivity", {"w/worst/to": None}, "nothing changes"),
    ("sensitivity", {"w/worst/whose": None}, "whose prediction"),
    ("sensitivity-still", {"w/worst/whose": F}, "whose prediction"),
    ("sensitivity", {"w/worst/whose/group": ["x"]}, "a member's group"),
    ("sensitivity", {"w/worst/to/condition": "1"}, "a member's condition"),
    ("sensitivity", {"w/score/batches": 3}, "more derivatives"),
    ("sensitivity", {"w/tolerance/batches": 3}, "more derivatives"),
    ("sensitivity", {"w/tolerance/batches": 0}, "derivative of no batch"),
    ("sensitivity", {"w/score/own": "1.000000000001"}, "no projection has"),
    ("sensitivity", {"w/score/others": "0.500000000001"}, "no projection has"),
    ("sensitivity", {"w/score/other": "-0.1"}, "negative figure"),
    ("sensitivity", {"w/tolerance/all": "-1"}, "negative figure"),
    ("sensitivity", {"w/tolerance/one": "0.0000000000001"}, "places"),
    # the network
    ("lipschitz", {"decisionThreshold": "0.5"}, "fixed members"),
    ("treatment", {"decisionThreshold": "0"}, "fixed members"),
    ("lipschitz", {"intersectional": True}, "fixed members"),
    ("lipschitz", {"sampleSize": 29}, "fixed members"),
    ("lipschitz", {"tau": "0.1"}, "fixed members"),
    ("lipschitz", {"comparator": ">="}, "fixed members"),
    ("lipschitz", {"threshold": "-1"}, "negative threshold"),
    ("lipschitz", {"domain": BOX}, "domain or null"),
    ("lipschitz-domain", {"domain": None}, "domain or null"),
    ("lipschitz-domain", {"domain": [BOX[1], BOX[1]]}, "column twice"),
    ("lipschitz-domain", {"domain/1/eps": "1"}, "relaxed"),
    ("lipschitz-domain", {"domain/2": BOX[2] | {"kind": "number", "low": None, "high": None}}, "a range that is none"),
    ("lipschitz-domain", {"domain/2/low": "4"}, "ends of a range"),
    ("lipschitz-domain", {"domain/2/high": None}, "without ends"),
    ("lipschitz-domain", {"domain/1/high": "6.5"}, "whole number"),
    ("lipschitz-domain", {"domain/0/values": ["f", "f"]}, "value twice"),
    ("lipschitz-domain", {"statement": VALID["lipschitz-ranges"]["claims"][0]["statement"]}, "statement"),
    ("lipschitz", {"w/model": "0" * 64}, "model of a claim"),
    ("lipschitz", {"w/preprocessing": "0" * 64}, "inputs of a claim"),
    ("lipschitz-unsupported", {"w/model": None, "w/preprocessing": None}, "model or null"),
    ("lipschitz-nothing", {"w/bounds": [{"method": "norms", "bound": "3"}]}, "bounds of no network"),
    ("lipschitz", {"w/proof": "0" * 64}, "proof"),
    ("lipschitz", {"w/proof": None}, "proof"),
    ("lipschitz-norms", {"w/proof": VALID["lipschitz"]["claims"][0]["witness"]["proof"]}, "proof"),
    ("lipschitz-norms", {"w/least": "1.5", "lower": "1.5"}, "proof"),
    ("lipschitz", {"w/bounds/0/method": "l1_linf"}, "order of the bounds"),
    ("lipschitz", {"w/bounds/1/method": "norms"}, "order of the bounds"),
    ("lipschitz", {"w/bounds/0/bound": "-3"}, "negative figure"),
    ("lipschitz", {"w/bounds/2/bound": "1.9999999999999"}, "places"),
    ("lipschitz", {"w/bounds/0/bound": "1.4", "upper": "1.4", "estimate": "1.4"}, "more than a bound"),
    ("lipschitz", {"w/least": "2.1", "lower": "2.1"}, "more than a bound"),
    ("lipschitz", {"w/least": "-1", "lower": "-1"}, "negative figure"),
    ("lipschitz", {"w/bounds": []}, "least without bounds"),
    ("lipschitz", {"w/bounds/2/bound": "1.75"}, "lower, upper, estimate"),
    ("lipschitz", {"verdict": "UNDECIDED"}, "verdict"),
    ("lipschitz-unsupported", {"estimate": "0", "upper": "0"}, "lower, upper, estimate"),
    ("lipschitz-served", {"lower": "1.5"}, "lower, upper, estimate"),
    ("lipschitz-served", {"w/served": None}, "served or null"),
    ("lipschitz-served", {"w/served/layer/epsilon": "0.1"}, "layer of a claim"),
    ("lipschitz-served", {"w/served/distance": "-1"}, "negative figure"),
    ("lipschitz-served", {"w/served/distance": None}, "verdict"),
    ("lipschitz-served", {"//system/layer": None}, "without layer or box"),
    ("lipschitz-served", {"//system/online": {"algorithm": "pooled", "eta0": None}}, "serves online"),
    ("lipschitz", {"w/served": {"layer": LAYER, "distance": "0"}}, "served or null"),
]
SCHEMA: list[tuple[str, Json]] = [
    ("treatment", {"kind": "feasibility"}),
    ("treatment", {"form": "radius"}),
    ("treatment", {"map": "scores"}),
    ("treatment", {"scope": "domain"}),
    ("treatment", {"method": "everywhere"}),
    ("treatment", {"domain": []}),
    ("treatment", {"span": 1}),
    ("treatment", {"confidence": "0.9"}),
    ("treatment", {"bound": "0"}),
    ("treatment", {"decisionGap": "0"}),
    ("treatment-open", {"neededSampleSize": 100}),
    ("treatment", {"metric": None}),
    ("treatment", {"w/batches": 0}),
    ("treatment", {"w/worst/nearest": None}),
    ("treatment", {"w/shown/difference": "0.125"}),
    ("treatment", {"w/worst/favoured/condition": ...}),
    ("differentiable", {"w/ranks": [1]}),
    ("differentiable", {"w/ranks": [-1, 1]}),
    ("joint", {"w/failing": [{"batch": f"b{k}", "reason": "a tie"} for k in range(101)]}),
    ("radius", {"w/decades/0/batches": 0}),
    ("radius", {"w/decades/0/exponent": 401}),
    ("radius", {"w/decades/0/exponent": -401}),
    ("sensitivity", {"w/score/rank": 1}),
    ("sensitivity", {"w/tolerance/all": ...}),
    ("lipschitz", {"form": "domain"}),
    ("lipschitz", {"scope": "batch"}),
    ("lipschitz", {"map": "decisions"}),
    ("lipschitz", {"method": "real"}),
    ("lipschitz", {"metric": "demographic_parity"}),
    ("lipschitz", {"sensitiveFeatures": ["sex"]}),
    ("lipschitz", {"w/bounds/0/method": "spectral"}),
    ("lipschitz", {"w/bounds/0/bound": "3.0"}),
    ("lipschitz", {"w/least": ...}),
]


@pytest.mark.parametrize(
    ("name", "edits", "rule"), INCONSISTENT, ids=[f"{name}-{rule}" for name, _, rule in INCONSISTENT]
)
def test_inconsistent(name: str, edits: Json, rule: str) -> None:
    content = lied(name, edits)
    step, message = second(content)
    assert (step, product(content)) == ("inconsistent", "inconsistent")
    with pytest.raises(second_verifier.Fault, match=rule):
        raise second_verifier.Fault(message)


@pytest.mark.parametrize(("name", "edits"), SCHEMA, ids=[f"{name}-{'-'.join(edits)}" for name, edits in SCHEMA])
def test_schema(name: str, edits: Json) -> None:
    content = lied(name, edits)
    assert (second(content)[0], product(content)) == ("schema", "schema")


# What stands differently, and may.
FREE: list[tuple[str, Json]] = [
    ("treatment", {"reason": "because", "assumptions": ["none"]}),
    ("treatment", {"w/distance": "0.5"}),
    ("conditional", {"w/worst/favoured/condition": None, "w/worst/other/condition": None}),
    ("differentiable", {"w/failing/0/reason": "another"}),
    ("radius", {"w/worst/nearest": None}),
    ("radius", {"w/decades/1/exponent": 0}),
    ("sensitivity", {"w/worst/from": M}),
    ("sensitivity", {"w/worst/whose": F}),
    ("lipschitz", {"w/bounds/2/method": "absolute"}),
    ("lipschitz-nothing", {"//system/threshold": "0.4"}),
]


@pytest.mark.parametrize(("name", "edits"), FREE, ids=[f"{name}-{'-'.join(edits)}" for name, edits in FREE])
def test_free(name: str, edits: Json) -> None:
    content = lied(name, edits)
    assert (product(content), second(content)[0]) == ("PASS" if name != "lipschitz-nothing" else "UNDECIDED",) * 2


def gradients(role: str) -> bytes:
    found = copy.deepcopy(VALID["together"])
    found["materials"].append({"path": "training/gradients.json", "role": role, "rowCount": None, "sha256": "0" * 64})
    return certificate(found)


def test_a_record_of_gradients_is_a_material() -> None:
    for role, step in (("gradients", "PASS"), ("gradient", "schema"), ("policy", "inconsistent")):
        assert (product(gradients(role)), second(gradients(role))[0]) == (step, step)
