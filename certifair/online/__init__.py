"""Online algorithms: batches too small for the layer, served so that the rows hold over time."""

from __future__ import annotations

from certifair.online.base import Demand, Online, Record
from certifair.online.paper import PrimalDual, PrimalDualState
from certifair.online.people import People
from certifair.online.pooled import PooledPrimalDual, PooledState, WarmUp

__all__ = [
    "Demand",
    "Online",
    "People",
    "PooledPrimalDual",
    "PooledState",
    "PrimalDual",
    "PrimalDualState",
    "Record",
    "WarmUp",
]
