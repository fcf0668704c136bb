"""What `stability` does once it knows what is asked: propose, prove, tell, draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from certifair.errors import InputError
from certifair.exact.decimals import PLACES, round_down, round_up
from certifair.spec import Json
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from certifair.checks._stability.networks import Lipschitz
    from certifair.evidence.bundle import Evidence
    from certifair.spec.lipschitz import Witness
    from certifair.spec.network import Network
    from certifair.spec.terms import Terms

    Array = NDArray[np.float64]

FORMAT: Final = "certifair-stability/0"
NAMES: Final = {
    "norms": "product of norms",
    "l1_linf": "of ℓ1 and ℓ∞ norms",
    "absolute": "of magnitudes",
    "lipsdp": "semidefinite",
}


@final
@dataclass(frozen=True, eq=False)
class Asked:
    """A network, where its inputs are (None: anywhere), and what a distance of 1 is (None: 1 of every input)."""

    network: Network
    digest: str
    box: tuple[Array, Array] | None
    units: Array | None


def asked(model: Path, domain: Path | None, units: str) -> Asked:
    """From files. Raises InputError."""
    from certifair.evidence.canonical import sha256
    from certifair.evidence.domain import place_of
    from certifair.evidence.files import read_input
    from certifair.evidence.onnx_reader import read_network
    from certifair.spec.domain_file import load_domain

    content = read_input(model)
    network = read_network(content, str(model))
    if domain is None:
        return Asked(network, sha256(content), None, None)
    found = load_domain(domain).domain
    if found.inputs != network.inputs:
        raise InputError(f"has {found.inputs} inputs, the network {network.inputs}", where=str(domain))
    return Asked(network, sha256(content), *place_of(found.features, "ranges" if units == "ranges" else "domain"))


def proposed(question: Asked, seconds: float) -> tuple[Witness | None, str]:
    """(a proof, or why there is none)."""
    from certifair.stability import propose

    found = propose(question.network, question.box, question.units, seconds=seconds)
    return found.witness, found.reason or ""


def proven(question: Asked, witness: Witness | None) -> Lipschitz:
    """What is proven of it."""
    from certifair.checks._stability.networks import lipschitz

    return lipschitz(question.network, witness, question.box, question.units)


def document(question: Asked, found: Lipschitz) -> Json:
    """Everything, as decimal texts that are rounded outwards."""
    return {
        "format": FORMAT,
        "model": question.digest,
        "within": "anywhere" if question.box is None else "domain",
        "units": "inputs" if question.units is None else "ranges",
        "bounds": {rung.method: round_up(rung.bound, PLACES) for rung in found.rungs},
        "upper": None if found.bound is None else round_up(found.bound, PLACES),
        "lower": None if found.lower is None else round_down(found.lower, PLACES),
        "reason": found.reason,
    }


def lines(question: Asked, found: Lipschitz, why: str) -> list[str]:
    """The ladder of bounds, for a person."""
    where = "anywhere" if question.box is None else "in the domain"
    units = "the inputs' units" if question.units is None else "units of the inputs' ranges"
    told = [f"how far the score can move, for each unit of Euclidean distance, {where}, in {units}:", *_ladder(found)]
    reason = found.reason or why
    return told + ([f"note: {reason}"] if reason else [])


def _ladder(found: Lipschitz) -> Iterator[str]:
    for rung in found.rungs:
        yield f"  at most  {_up(rung.bound):>12}  {NAMES[rung.method]}"
    if found.lower:
        part = "" if not found.bound else f" ({float(100 * found.lower / found.bound):.1f}% of the bound)"
        yield f"  at least {_down(found.lower):>12}  two points that were found{part}"


def _up(value: Fraction) -> str:
    return round_up(value, 6)


def _down(value: Fraction) -> str:
    return round_down(value, 6)


def verdict(found: Lipschitz, threshold: Fraction) -> Verdict:
    """Whether the constant is at most so large."""
    if found.bound is not None and found.bound <= threshold:
        return Verdict.PASS
    return Verdict.FAIL if found.lower is not None and found.lower > threshold else Verdict.UNDECIDED


def put_into_bundle(root: Path, seconds: float) -> list[str]:
    """Look for proofs of the Lipschitz properties of a bundle and put them into it; a line for each."""
    from certifair.checks._stability.network_claim import network_of
    from certifair.evidence.proofs import add_proofs
    from certifair.stability.properties import propose_properties

    evidence, about = _claims(root)
    wanted = [terms for terms in about if terms.form == "lipschitz"]
    network = network_of(evidence)
    if isinstance(network, str):
        return [f"{terms.id}: {network}" for terms in wanted]
    proofs: dict[str, Any] = {}
    told = []
    for terms, found in propose_properties(network, wanted, seconds):
        if found.witness is None:
            told.append(f"{terms.id}: {found.reason}")
            continue
        proofs[terms.id] = found.witness
        told.append(f"{terms.id}: at most {found.witness.bound:.6g}, by a semidefinite program")
    if proofs:
        add_proofs(root, proofs)
    return told


def claims_of(root: Path) -> list[str]:
    """What a bundle's certificate will claim about stability, and what stands behind it."""
    return [line for claim in _measured(*_claims(root)) for line in _told(claim)]


def _claims(root: Path) -> tuple[Evidence, list[Terms]]:
    """A bundle, and the stability claims that its certificate will make. Raises InputError if there are none."""
    from certifair.certificate.derive import all_terms
    from certifair.evidence.bundle import load, read_bundle_log, read_contents

    evidence = load(read_contents(root), str(root), read_bundle_log(root))
    found = [terms for terms in all_terms(evidence) if terms.kind == "stability"]
    if not found:
        advice = "a [[property]] of kind = 'stability' asks for one; scores that a layer served need none"
        raise InputError("asks nothing about stability", where=str(root), advice=advice)
    return evidence, found


def _measured(evidence: Evidence, about: list[Terms]) -> list[Json]:
    from certifair.certificate.claims import measure_claim
    from certifair.certificate.predicate import context_of

    context = context_of(evidence.system, evidence.n, 0)
    return [measure_claim(terms, evidence, context) for terms in about]


def _told(claim: Json) -> Iterator[str]:
    from certifair.cli.options import claim_lines

    yield from claim_lines([claim])
    witness = claim["witness"]
    if claim["form"] == "lipschitz":
        for entry in witness["bounds"]:
            yield f"            at most  {entry['bound']:>16}  {NAMES[entry['method']]}"
        if witness["least"] is not None:
            yield f"            at least {witness['least']:>16}  two points that were found"
    elif claim["form"] == "treatment" and witness["worst"] is not None:
        yield f"            {treatment_line(witness)}"
    elif claim["form"] == "radius":
        yield f"            {_nearest(witness)}"


def treatment_line(witness: Mapping[str, Any]) -> str:
    """Whom the largest treatment difference concerns."""
    worst, shown = witness["worst"], witness["shown"]
    names = [" ".join(worst[end]["group"]) for end in ("favoured", "other")]
    told = f"batch {worst['batch']!r} favours {names[0]} over {names[1]}"
    if shown is None:
        return told
    more = f"{float(Fraction(shown['difference'])):.4f} more"
    rows = f"row {shown['favoured']} is served {more} than row {shown['other']}, whose score is no lower"
    return f"{told}; {rows} (batch {shown['batch']!r})"


def _nearest(witness: Mapping[str, Any]) -> str:
    worst = witness["worst"]
    return "no batch has a limit" if worst is None else f"batch {worst['batch']!r}: {worst['nearest']}"


def draw(found: Any, folder: Path) -> list[Path]:
    """The ladder of bounds of one network."""
    from certifair.report.plots import plot_bounds

    bounds = {NAMES[name]: float(value) for name, value in found["bounds"].items()}
    least = None if found["lower"] is None else float(found["lower"])
    return _write(folder, {"bounds.png": plot_bounds(bounds, least)})


def draw_bundle(root: Path, folder: Path) -> list[Path]:
    """The ladder of each Lipschitz claim of a bundle, and the radii of its batches."""
    return draw_claims(_measured(*_claims(root)), folder)


def draw_claims(claims: list[Json], folder: Path) -> list[Path]:
    """Of claims of kind stability: the ladder of each Lipschitz claim, and the radii of the batches."""
    from certifair.report.plots import plot_bounds, plot_radii

    pictures: dict[str, bytes] = {}
    for claim in claims:
        witness = claim["witness"]
        if claim["form"] == "lipschitz" and witness["bounds"]:
            bounds = {NAMES[entry["method"]]: float(entry["bound"]) for entry in witness["bounds"]}
            least = None if witness["least"] is None else float(witness["least"])
            name = "".join(c if c.isalnum() else "-" for c in claim["id"])
            pictures[f"bounds-{name}.png"] = plot_bounds(bounds, least)
        elif claim["form"] == "radius" and witness["counted"]:
            counts = {entry["exponent"]: entry["batches"] for entry in witness["decades"]}
            pictures["radii.png"] = plot_radii(counts, witness["zero"], witness["unlimited"])
    return _write(folder, pictures)


def _write(folder: Path, pictures: Mapping[str, bytes]) -> list[Path]:
    from certifair.evidence.files import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        write_atomic(folder / name, content)
    return [folder / name for name in pictures]
