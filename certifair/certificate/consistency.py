"""Step 9: whatever a certificate implies about itself must come out the same (certificates/README.md 9)."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction

from certifair.certificate.claims import rederive
from certifair.certificate.figures import regulatory_views, unknown_counts
from certifair.certificate.predicate import context_of, digest_of
from certifair.certificate.streams import check_constraint, check_streams, check_system
from certifair.checks.base import Context, InconsistentError, require
from certifair.exact.decimals import PLACES, parse_dyadic, round_down
from certifair.spec import Json, metrics
from certifair.spec.groups import Partition, partition_of, partitions_of
from certifair.spec.terms import OF_THE_LAYER, Terms
from certifair.spec.verdict import Verdict

NEEDED_ROLES = {"data", "predictions", "policy", "system", "manifest"}
NETWORK_ROLES = {"model", "preprocessing"}


def check_consistency(predicate: Json, subject_sha256: str) -> None:
    """Raise InconsistentError naming the first contradiction. The predicate matches the schema."""
    n = _check_materials(predicate, subject_sha256)
    partitions = _check_groups(predicate, n)
    claims = predicate["claims"]
    populations = sum(claim["kind"] == "population" for claim in claims)
    require(predicate["multiplicity"] == populations, "multiplicity is not the number of population claims")
    expected = "superpopulation" if populations else "census"
    require(predicate["population"]["estimand"] == expected, "the estimand does not fit the claims")
    require(len({claim["id"] for claim in claims}) == len(claims), "two claims have one id")
    context = context_of(predicate["system"], n, populations)
    check_system(predicate["system"])
    for claim in claims:
        _check_claim(claim, context, partitions)
        if claim["kind"] in ("replay", "individual") or claim["form"] == "lipschitz":
            _check_network(claim, predicate)
        if claim["kind"] not in ("replay", "individual", "aggregate"):
            _check_system(claim, predicate["system"])
        _check_people(claim, predicate, n)
    check_streams(predicate, n)
    _check_agreement(claims)
    _check_layers(claims)
    _check_partitions_used(predicate, partitions)
    verdict = Verdict.all(Verdict(claim["verdict"]) for claim in claims)
    require(predicate["verdict"] == verdict.value, "the verdict contradicts the claims")
    views = regulatory_views(predicate["groups"], n)
    require(predicate["regulatoryViews"] == views, "the regulatory views do not follow from the groups")


def _check_materials(predicate: Json, subject_sha256: str) -> int:
    """The number of people."""
    materials = predicate["materials"]
    roles = [item["role"] for item in materials]
    require(len(set(roles)) == len(roles) and set(roles) >= NEEDED_ROLES, "materials are missing or doubled")
    require(len(NETWORK_ROLES & set(roles)) != 1, "a network without its preprocessing, or the other way round")
    require(digest_of(materials, "policy") == predicate["policy"]["sha256"], "two digests of the policy")
    require(digest_of(materials, "system") == subject_sha256, "the system's digest is not the subject's")
    rows = {item["rowCount"] for item in materials if item["role"] in ("data", "predictions", "log")}
    require(len(rows) == 1, "data, predictions and log have different row counts")
    tables = ("data", "predictions", "multipliers", "log")
    require(all((item["rowCount"] is not None) == (item["role"] in tables) for item in materials), "rows of no table")
    (n,) = rows
    require(n is not None and n >= 1, "nobody is in the evidence")
    return int(n)


def _check_groups(predicate: Json, n: int) -> list[Partition]:
    tables = predicate["groups"]
    partitions = [
        Partition(tuple(table["features"]), tuple(tuple(cell["value"]) for cell in table["cells"])) for table in tables
    ]
    require(len({p.features for p in partitions}) == len(partitions), "a partition stands twice")
    values: Mapping[str, tuple[str, ...]] = {
        p.features[0]: tuple(group[0] for group in p.groups) for p in partitions if len(p.features) == 1
    }
    for partition in partitions:
        require(set(partition.features) <= set(values), "an intersection of unknown features")
        # counted before it is built: a product of long lists would outgrow every file
        size = math.prod(len(values[feature]) for feature in partition.features)
        require(size == len(partition.groups), "groups are not the product of the values")
        require(len(set(partition.features)) == len(partition.features), "a feature crossed with itself")
        require(partition_of(partition.features, values) == partition, "groups are not the product of the values")
        require(len(set(partition.groups)) == len(partition.groups), "a group stands twice")
    require(len({_check_table(table, n) for table in tables}) == 1, "partitions have different totals")
    unknown = predicate["population"]["unknownCounts"]
    require(unknown == unknown_counts(tables), "the unknown counts do not follow from the groups")
    return partitions


def _check_table(table: Json, n: int) -> tuple[int, Fraction]:
    """(positives, sum) of everybody."""
    cells = table["cells"]
    require(sum(cell["n"] for cell in cells) == n, "groups do not add up to everybody")
    for cell in cells:
        require(cell["positives"] <= cell["n"], "more positives than people")
        require(cell["n"] > 0 or cell["sum"] == "0", "nobody has a sum")
        require(cell["share"] == round_down(Fraction(cell["n"], n), PLACES), "a share is not n over everybody")
    return sum(c["positives"] for c in cells), sum((parse_dyadic(c["sum"]) for c in cells), Fraction(0))


def _check_claim(claim: Json, context: Context, partitions: list[Partition]) -> None:
    terms = Terms.from_json(claim)
    _check_terms(terms, partitions)
    _check_size(terms, claim)
    try:
        derived = rederive(claim, context)
    except InconsistentError as error:
        raise InconsistentError(f"claim {terms.id!r}: {error}") from None
    for member, value in derived.items():
        require(claim[member] == value, f"claim {terms.id!r}: its {member} does not follow from its witness")


def _check_terms(terms: Terms, partitions: list[Partition]) -> None:
    """Groups, conditions and comparator are those that the metric and the features imply."""
    where = f"claim {terms.id!r}"
    require(terms.threshold >= 0 and terms.tau >= 0, f"{where}: a negative threshold")
    if not terms.metric_name:
        return  # no groups; the rest is its check's to say
    metric = terms.metric
    known = {partition.features: partition for partition in partitions}
    for partition in terms.partitions:
        require(known.get(partition.features) == partition, f"{where}: groups that the certificate does not list")
    values = {p.features[0]: tuple(g[0] for g in p.groups) for p in partitions if len(p.features) == 1}
    features = set(terms.sensitive_features)
    shape = [terms.sensitive_features] if terms.intersectional else [(name,) for name in terms.sensitive_features]
    require([p.features for p in terms.partitions] == shape, f"{where}: partitions are not those of its features")
    require(features <= set(values) and len(features) == len(terms.sensitive_features), f"{where}: wrong features")
    expected = partitions_of(terms.sensitive_features, values, intersectional=terms.intersectional)
    require(terms.partitions == expected, f"{where}: partitions are not those of its features")
    if metric.label_conditions:
        require(terms.conditions == metric.label_conditions, f"{where}: wrong conditions")
    require(terms.condition_on == metric.condition_on(terms.condition_on), f"{where}: wrong condition")
    conditioned = metric.needs_condition or bool(metric.label_conditions)
    require((terms.condition_on is not None) == conditioned == bool(terms.conditions), f"{where}: wrong conditions")
    require(len(set(terms.conditions)) == len(terms.conditions), f"{where}: a condition stands twice")
    require(terms.form != "ratio" or metric.has_ratio, f"{where}: a ratio of residuals")
    _check_population_terms(terms, where)


def _check_network(claim: Json, predicate: Json) -> None:
    """It is of the network that is in the evidence, which is the system's; all but replays may be without one."""
    where, witness, system = f"claim {claim['id']!r}", claim["witness"], predicate["system"]
    digests = {item["role"]: item["sha256"] for item in predicate["materials"]}
    if claim["kind"] != "replay":
        require(witness["proof"] in (None, digests.get("witness")), f"{where}: another proof than the evidence's")
        if not NETWORK_ROLES & set(digests):
            require(witness["model"] is witness["preprocessing"] is None, f"{where}: a network that is not there")
            return
    stated = {"model": (system["model"] or {}).get("sha256"), "preprocessing": system["preprocessing"]}
    for role, digest in stated.items():
        require(witness[role] == digests.get(role) == digest, f"{where}: another {role} than the system's")


def _check_system(claim: Json, system: Json) -> None:
    """What a claim says of layer and box is what the subject says."""
    where = f"claim {claim['id']!r}"
    if claim["form"] in OF_THE_LAYER or (claim["form"] == "lipschitz" and claim["map"] == "served"):
        layer, box = system["layer"], system["box"]
        witness = claim["witness"]["served"] if claim["form"] == "lipschitz" else claim["witness"]
        require(layer is not None and box is not None, f"{where}: the system has no layer")
        require(system["online"] is None, f"{where}: the system serves by an online algorithm")
        require(witness["layer"] == {"epsilon": layer["epsilon"], **box}, f"{where}: another layer's epsilon")
        if claim["form"] != "lipschitz":
            check_constraint(claim, layer)
    elif claim["kind"] == "feasibility":
        bounds = claim["witness"]["bounds"]
        shown = None if bounds is None else {"lower": bounds["lower"], "upper": bounds["upper"]}
        expected = system["box"] if claim["map"] == "served" else None
        require(shown == expected, f"{where}: another box than the system's")


def _listed(claim: Json) -> list[list[Json]]:
    """The lists of cells in a claim's witness: of the population, or of each batch or collection that is listed."""
    witness = claim["witness"]
    if claim["kind"] == "population":
        return [witness["cells"]]
    batches = witness.get("batches")
    return [entry["cells"] for entry in batches["listed"]] if isinstance(batches, dict) else []


def _check_people(claim: Json, predicate: Json, n: int) -> None:
    """The groups of a claim have no more people than `groups` says; the same figures where both count everybody."""
    listed = _listed(claim)
    if claim["form"] in ("moment", "window"):  # collections overlap: each by itself
        for cells in listed:
            _check_listed_people(claim, [cells], predicate, n)
    elif listed:
        _check_listed_people(claim, listed, predicate, n)


def _check_listed_people(claim: Json, listed: list[list[Json]], predicate: Json, n: int) -> None:
    witness, where = claim["witness"], f"claim {claim['id']!r}"
    single = claim["kind"] == "population" or witness["batches"]["total"] == 1
    if claim["form"] == "window" and claim["span"] <= n:
        single = False  # the only window may be a part of everybody
    whole = single and metrics.get(claim["metric"]).covers_everybody
    served = whole and claim["map"] == "served"
    decided = served and claim["decisionThreshold"] == predicate["system"]["threshold"]
    people: Counter[tuple[int, tuple[str, ...]]] = Counter()
    positives: Counter[tuple[int, tuple[str, ...]]] = Counter()
    sums: dict[tuple[int, tuple[str, ...]], Fraction] = {}
    for cell in itertools.chain.from_iterable(listed):
        key = (cell["partition"], tuple(cell["group"]))
        people[key] += cell["n"]
        positives[key] += cell.get("positives", 0)
        sums[key] = sums.get(key, Fraction(0)) + parse_dyadic(cell["sum"])
    tables = {tuple(table["features"]): table["cells"] for table in predicate["groups"]}
    for p, partition in enumerate(claim["partitions"]):
        for group in tables[tuple(partition["features"])]:
            key = (p, tuple(group["value"]))
            count = people[key]
            require(count == group["n"] if whole else count <= group["n"], f"{where}: other people than the groups'")
            require(not served or sums[key] == parse_dyadic(group["sum"]), f"{where}: another sum than the group's")
            require(not decided or positives[key] == group["positives"], f"{where}: other positives than the group's")


def _check_agreement(claims: list[Json]) -> None:
    """Claims about the same people and the same map count and sum them alike."""
    seen: dict[tuple[object, ...], tuple[int, str]] = {}
    for claim in claims:
        witness = claim["witness"]
        population = claim["kind"] == "population"
        listed = _listed(claim)
        if claim["form"] in ("moment", "window") or not listed:
            continue
        if not population and witness["batches"]["total"] > 1:
            continue
        (cells,) = listed
        threshold = claim["decisionThreshold"] if claim["map"] == "decisions" else None
        # the sums of a population claim about residuals are of residuals
        kind = (claim["map"], threshold, population and claim["metric"] == "equalized_residuals", claim["conditionOn"])
        for cell in cells:
            features = tuple(claim["partitions"][cell["partition"]]["features"])
            key = (*kind, features, tuple(cell["group"]), cell["condition"])
            figures = seen.setdefault(key, (cell["n"], cell["sum"]))
            require(figures == (cell["n"], cell["sum"]), f"claim {claim['id']!r}: contradicts another claim's cells")


def _check_layers(claims: list[Json]) -> None:
    """Claims about the layer say the same of its batches, those of one form all the same."""
    seen: dict[str, Json] = {}
    for claim in claims:
        if claim["kind"] != "stability" or claim["form"] == "lipschitz":
            continue
        witness, where = claim["witness"], f"claim {claim['id']!r}"
        require(seen.setdefault(claim["form"], witness) == witness, f"{where}: contradicts another claim of its form")


def _check_size(terms: Terms, claim: Json) -> None:
    """As many cells and rows as the witness lists, counted before any is built: the work is bounded by the file."""
    witness = claim["witness"]
    if "rows" not in witness:
        return
    conditions = max(1, len(terms.conditions))
    sizes = [len(partition.groups) for partition in terms.partitions]
    rows = conditions * sum(n * (n - 1) // 2 if terms.metric.has_ratio else n for n in sizes)
    require(rows == len(witness["rows"]), f"claim {terms.id!r}: rows are not the metric's")
    cells = conditions * sum(sizes)
    require(all(len(found) == cells for found in _listed(claim)), f"claim {terms.id!r}: cells are missing or too many")


def _check_population_terms(terms: Terms, where: str) -> None:
    if terms.kind != "population":
        return
    assert terms.confidence is not None
    require(0 < terms.confidence < 1, f"{where}: no confidence between 0 and 1")
    fits = (terms.map == "scores") == (terms.method == "empirical_bernstein")
    require(fits and (terms.metric.has_ratio or terms.map == "scores"), f"{where}: method and map do not fit")


def _check_partitions_used(predicate: Json, partitions: list[Partition]) -> None:
    used = itertools.chain.from_iterable(Terms.from_json(claim).partitions for claim in predicate["claims"])
    products = {p for p in partitions if len(p.features) > 1}
    require(products <= set(used), "groups hold an intersection that no claim speaks of")
