"""Proposes proofs of individual fairness about a network; what decides is `certifair.checks`."""

from __future__ import annotations

from certifair.individual.api import Proof, decision_of, prepare, prove

__all__ = ["Proof", "decision_of", "prepare", "prove"]
