"""The witness of a Lipschitz claim (certificates/README.md 9.12), from the evidence.

Of the map that is served: P is nonexpansive, so the exact projections of a batch's scores move by at most L times as
far as its people's inputs together: ‖P(f(X)) − P(f(X'))‖² ≤ Σ |f(x_i) − f(x'_i)|² ≤ L² Σ ‖x_i − x'_i‖², groups fixed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from certifair.checks._stability.networks import Lipschitz, lipschitz
from certifair.checks._stability.solution import Undecided
from certifair.checks._stability.solved import described, layer_of, solved
from certifair.checks.base import Measured
from certifair.errors import InputError
from certifair.evidence.bundle import PATHS
from certifair.evidence.domain import features_of, place_of
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.proofs import read_proofs
from certifair.exact.decimals import PLACES, round_down, round_up, sqrt_up
from certifair.spec import Json
from certifair.spec import lipschitz as witnesses
from certifair.spec.network import Network
from certifair.spec.policy import LayerSpec, stability_property
from certifair.spec.terms import Terms, terms_of

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence

MARGIN: Final = 1 + Fraction(1, 1 << 30)
"""What is published is wider by it, so that another processor's rounding finds no tighter claim than its own."""


def measure(terms: Terms, evidence: Evidence, *, published: bool) -> Measured:
    """Bounds that are proven here; a network that has none says why."""
    digests = {item["role"]: item["sha256"] for item in evidence.materials}
    proof = _proof(terms, evidence)
    found, reason = _bounds(terms, evidence, proof)
    margin = MARGIN if published else Fraction(1)
    rungs = [] if found is None else [(rung.method, rung.bound) for rung in found.rungs]
    least = None if found is None or not rungs else found.lower
    witness = {
        "model": digests.get("model"),
        "preprocessing": digests.get("preprocessing"),
        "proof": digests["witness"] if any(name == "lipsdp" for name, _ in rungs) or least is not None else None,
        "bounds": [{"method": name, "bound": round_up(bound * margin, PLACES)} for name, bound in rungs],
        "least": None if least is None else round_down(least / margin, PLACES),
        "served": _served(terms, evidence) if terms.map == "served" else None,
    }
    return Measured(witness, {"reason": reason} if reason else {})


def network_of(evidence: Evidence) -> Network | str:
    """The network of a bundle, or why there is none to speak of."""
    if evidence.model is None:
        return "there is no network in the evidence"
    try:
        return read_network(evidence.model, PATHS["model"])
    except InputError as error:
        return f"the network {error.what}"


def _bounds(terms: Terms, evidence: Evidence, proof: witnesses.Witness | None) -> tuple[Lipschitz | None, str]:
    """(what is proven, why nothing is)."""
    network = network_of(evidence)
    if isinstance(network, str):
        return None, network
    features = features_of(terms.domain or ())
    inputs = sum(feature.width for feature in features)
    if terms.method != "everywhere" and inputs != network.inputs:
        return None, f"the network takes {network.inputs} inputs, the domain has {inputs}"
    found = lipschitz(network, proof, *place_of(features, terms.method))
    return found, "" if found.rungs else f"the network {found.reason}"


def _proof(terms: Terms, evidence: Evidence) -> witnesses.Witness | None:
    """The bundle's proof for this claim, if it is one of a bound."""
    if evidence.witness is None:
        return None
    found = read_proofs(evidence.witness, PATHS["witness"]).get(terms.id)
    return found if isinstance(found, witnesses.Witness) else None


def _served(terms: Terms, evidence: Evidence) -> Json:
    """The layer, and how far a batch's predictions lie from the exact projection in all; null if that is not known."""
    layer = layer_of(terms, evidence)
    found = solved(_terms_of_the_layer(layer, evidence), evidence)
    if any(isinstance(one.solution, Undecided) for one in found):
        return {"layer": described(layer), "distance": None}
    squares = [one.distance**2 * len(one.batch.at) for one in found]
    return {"layer": described(layer), "distance": round_up(sqrt_up(max(squares), PLACES), PLACES)}


def _terms_of_the_layer(layer: LayerSpec, evidence: Evidence) -> Terms:
    return terms_of(stability_property(layer, "treatment", Fraction(0), "layer"), evidence.values)
