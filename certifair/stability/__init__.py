"""Producers of bounds on how far a network's outputs can move: what they propose, `certifair.checks` proves."""

from certifair.stability.api import Proposal, Rung, propose

__all__ = ["Proposal", "Rung", "propose"]
