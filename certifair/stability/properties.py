"""Proofs for the Lipschitz properties of a bundle's policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from certifair.evidence.domain import features_of, place_of
from certifair.spec.network import Network
from certifair.spec.terms import Terms
from certifair.stability.api import Proposal, propose


def propose_properties(network: Network, wanted: Sequence[Terms], seconds: float) -> Iterator[tuple[Terms, Proposal]]:
    """A proposal for each of these, which are of form `lipschitz`, in its part of the time."""
    for terms in wanted:
        place = place_of(features_of(terms.domain or ()), terms.method)
        yield terms, propose(network, *place, seconds=seconds / len(wanted))
