"""Serving a stream: batch after batch through an online algorithm, each logged before the next is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.log.batches import Batch
from certifair.evidence.log.header import Header, columns_of
from certifair.evidence.log.writer import Clock, LogWriter, Sign
from certifair.online import Online, PrimalDual
from certifair.online.pooled import PooledPrimalDual
from certifair.spec.policy import Policy, Values

Floats = NDArray[np.float64]
GROUP = 256
"""People whose batches are logged by one commit: nobody waits for an answer here."""


@final
@dataclass(frozen=True)
class LogKeeping:
    """What is injected into a log: its id (no two logs share one), who signs its head, and the clock."""

    id: str
    sign: Sign | None
    clock: Clock


@final
@dataclass(frozen=True, eq=False)
class People:
    """Those who are served, in their order, (n,) each: ids, scores, features and conditions by name."""

    ids: Sequence[str]
    scores: Floats
    features: Mapping[str, NDArray[Any]]


def algorithm_of(policy: Policy, values: Values) -> Online[Any]:
    """The algorithm that the policy's [serve] online names, for the rows of its [layer]."""
    layer = policy.layer
    assert layer is not None
    assert layer.metric is not None
    assert layer.epsilon is not None
    columns = [*layer.sensitive_features, *([layer.condition] if layer.condition else [])]
    rows: dict[str, Any] = {
        "features": layer.sensitive_features,
        "values": {name: values[name] for name in columns},
        "intersectional": layer.intersectional,
        "condition": layer.condition,
    }
    limits = (layer.metric, layer.epsilon, layer.lower, layer.upper)
    if policy.serve.online == "paper":
        assert policy.serve.eta0 is not None
        return PrimalDual(*limits, eta0=policy.serve.eta0, **rows)
    return PooledPrimalDual(*limits, **rows)


def serve_stream(
    policy: Policy, values: Values, people: People, system: str, folder: Path, keeping: LogKeeping
) -> tuple[Floats, NDArray[np.int64]]:
    """Serve everybody in batches of [serve] batch (0: all at once) and log it; (predictions, batch numbers), (n,).

    `system`: the digest of system.json. `folder`: the log's, a new one; it is sealed. Raises InputError.
    """
    algorithm, n = algorithm_of(policy, values), len(people.scores)
    assert policy.layer is not None
    named = [*policy.layer.sensitive_features, *([policy.layer.condition] if policy.layer.condition else [])]
    columns = columns_of(list(values), algorithm.row_names if algorithm.name == "paper" else None)
    header = Header(keeping.id, system, algorithm.description, columns)
    size = policy.serve.batch or n
    predictions, waiting, state = np.empty(n), [], algorithm.init()
    with LogWriter.create(folder, header, keeping.sign, keeping.clock) as log:
        for start in range(0, n, size):
            part = slice(start, min(start + size, n))
            features = {name: people.features[name][part].tolist() for name in values}
            condition = None if policy.layer.condition is None else features[policy.layer.condition]
            given = {name: features[name] for name in named[: len(policy.layer.sensitive_features)]}
            state, predictions[part], record = algorithm.step(state, people.scores[part], given, condition)
            waiting.append(Batch(people.ids[part], features, people.scores[part], predictions[part], record.columns))
            if len(waiting) * size >= GROUP or part.stop == n:
                log.append_many(waiting)
                waiting = []
        log.seal()
    return predictions, np.arange(n) // size + 1
