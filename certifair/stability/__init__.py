"""Producers of bounds on how far a network's outputs can move: what they propose, `certifair.checks` proves."""

from certifair.stability.api import Proposal, Rung, box_of, propose, units_of

__all__ = ["Proposal", "Rung", "box_of", "propose", "units_of"]
