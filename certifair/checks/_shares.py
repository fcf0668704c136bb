"""The witness of an individual claim (certificates/README.md 9.11), from the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from certifair.checks._individual.boxes import Frame
from certifair.checks._individual.check import Checked, check_witness
from certifair.checks._individual.leaves import Pair
from certifair.checks._individual.points import LEVELS
from certifair.checks._individual.rows import FAIR, OUTSIDE, UNFAIR
from certifair.checks._individual.smooth import judge_of
from certifair.checks.base import Measured
from certifair.checks.individual import EXAMPLES, share_units
from certifair.evidence.bundle import PATHS
from certifair.evidence.domain import domain_of
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.proofs import read_proofs
from certifair.evidence.witness import Tree, Witness, layers_to_json, plain_rows
from certifair.exact.decimals import format_decimal, format_rational, parse_decimal
from certifair.spec import Json
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers, layers_of
from certifair.spec.ranges import Range
from certifair.spec.terms import Terms

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

Array = NDArray[np.float64]
NO_PROOF = "the evidence has no proof about the domain; `certifair individual RUN` looks for one"


@final
@dataclass(frozen=True, eq=False)
class _Found:
    """What a claim says, and why no more."""

    certified: Fraction = Fraction(0)
    falsified: Fraction = Fraction(0)
    outside: int = 0
    proof: bool = False
    examples: tuple[Json, ...] = ()
    reason: str = ""


def measure(terms: Terms, evidence: Evidence) -> Measured:
    """Everything that is claimed is proved here, from the network, the domain, and what a proof suggests."""
    digests = {item["role"]: item["sha256"] for item in evidence.materials}
    units = Fraction(evidence.n) if terms.form == "rows" else share_units(terms)
    found = _found(terms, evidence, units)
    witness: Json = {
        "model": digests.get("model"),
        "preprocessing": digests.get("preprocessing"),
        "proof": digests["witness"] if found.proof else None,
        "units": format_rational(units),
        "certified": format_rational(found.certified),
        "falsified": format_rational(found.falsified),
        "outside": found.outside,
        "examples": list(found.examples),
    }
    return Measured(witness, {"reason": found.reason} if found.reason else {})


def _found(terms: Terms, evidence: Evidence, units: Fraction) -> _Found:
    if terms.map == "served" or evidence.model is None:
        return _Found()
    rows = evidence.inputs if terms.form == "rows" else None
    domain = domain_of(terms.domain or (), terms.sensitive_features, rows)
    if domain is None:  # nothing that may change is an input
        return _Found(certified=units)
    try:
        layers = layers_of(read_network(evidence.model, PATHS["model"]), terms.decision_threshold)
    except ValueError as error:
        return _Found(reason=f"the network {error}")
    witness = _proof(terms, evidence, layers, domain)
    own = witness is None
    if witness is None:
        if rows is None:
            return _Found(reason=NO_PROOF)
        witness = Witness(layers_to_json(layers), domain, plain_rows(domain, len(rows)), "")
    checked = check_witness(witness, layers, domain, rows)
    return _figures(terms, evidence, domain, checked, proof=not own)


def _proof(terms: Terms, evidence: Evidence, layers: Layers, domain: Domain) -> Witness | None:
    """The bundle's proof for this claim, if it is about the same decision and kind of question."""
    if evidence.witness is None:
        return None
    found = read_proofs(evidence.witness, PATHS["witness"]).get(terms.id)
    if not isinstance(found, Witness) or isinstance(found.about, Tree) != (terms.form == "domain"):
        return None
    return found if found.layers == layers_to_json(layers) and found.domain == domain else None


def _figures(terms: Terms, evidence: Evidence, domain: Domain, checked: Checked, *, proof: bool) -> _Found:
    outside, reason = 0, ""
    if terms.form == "domain":
        share = checked.shares[terms.method]
        certified, falsified = share.certified * share.units, share.falsified
        pairs = checked.pairs if falsified else ()
    else:
        verdicts = checked.verdicts[terms.method]
        assert checked.reasons is not None
        certified, falsified = (Fraction(int((verdicts == code).sum())) for code in (FAIR, UNFAIR))
        outside = int((checked.reasons == OUTSIDE).sum())
        pairs = tuple(pair for pair in checked.pairs if verdicts[pair[0]] == UNFAIR)
    shown = (_example(terms, evidence, domain, row, points) for row, points in sorted(pairs)[: 4 * EXAMPLES])
    examples = tuple(example for example in shown if _is_short(example))[:EXAMPLES]
    return _Found(certified, falsified, outside, proof, examples, reason)


def _example(terms: Terms, evidence: Evidence, domain: Domain, row: int, points: Pair) -> Json:
    """The points with f > 0 and f ≤ 0, by column."""
    entries = []
    for one, feature, columns in zip(terms.domain or (), domain.features, domain.columns, strict=True):
        if terms.form == "rows" and not (feature.sensitive or feature.eps):
            continue
        positive, negative = (_text(one, [point[i] for i in columns]) for point in points)
        entries.append({"column": one.column, "positive": positive, "negative": negative})
    return {"row": evidence.row_id(row) if terms.form == "rows" else None, "inputs": entries}


def _text(one: Range, inputs: list[float]) -> str:
    if one.kind == "category":
        return one.values[inputs.index(1.0)]
    return format_decimal(Fraction(inputs[0]))


def _is_short(example: Json) -> bool:
    """Numbers next to 0 have hundreds of digits; a certificate's have at most 400."""
    return all(len(entry[side]) <= 400 for entry in example["inputs"] for side in ("positive", "negative"))


def examples_hold(terms: Terms, examples: Sequence[Json], evidence: Evidence) -> bool:
    """Whether the two points of each are in one flip set, and decide as they are said to."""
    if not examples:
        return True
    rows = evidence.inputs if terms.form == "rows" else None
    domain = domain_of(terms.domain or (), terms.sensitive_features, rows)
    if domain is None or evidence.model is None:
        return False
    layers = layers_of(read_network(evidence.model, PATHS["model"]), terms.decision_threshold)
    judge, frame = judge_of(layers), Frame(domain)
    ids = {} if rows is None else {evidence.row_id(row): row for row in range(evidence.n)}
    for example in examples:
        if rows is not None and example["row"] not in ids:
            return False
        own = np.zeros(domain.inputs) if rows is None else rows[ids[example["row"]]]
        points = np.stack([_point(domain, own, example, side) for side in ("positive", "negative")])
        inside = rows is None or all(frame.in_flip_set(own[None], point[None])[0] for point in points)
        signs = judge.signs(points)[:, LEVELS.index(terms.method)]
        if not inside or signs[0] != 1 or signs[1] != -1:
            return False
    return True


def _point(domain: Domain, own: Array, example: Json, side: str) -> Array:
    """The network's inputs, from what the example says of some columns and the person's own in the others."""
    found, said = own.copy(), {entry["column"]: entry[side] for entry in example["inputs"]}
    for feature, columns in zip(domain.features, domain.columns, strict=True):
        if feature.name not in said:
            continue
        if feature.kind == "one_hot":
            found[list(columns)] = [float(value == said[feature.name]) for value in feature.values]
        else:
            found[columns[0]] = float(parse_decimal(said[feature.name]))
    return found
