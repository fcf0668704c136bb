"""The theorem of `independence` in the standard library alone, from the output down: which inputs f reads at all."""

from __future__ import annotations

from collections.abc import Sequence

from certifair.evidence.witness import PlainLayer
from certifair.spec.domain import Domain


def inputs_read(layers: Sequence[PlainLayer]) -> set[int]:
    """The inputs that a path of weights other than 0 joins to the output."""
    read = {0}
    for layer in reversed(layers):
        read = {i for j in read for i, weight in enumerate(layer.weight[j]) if weight != 0}
    return read


def independent(layers: Sequence[PlainLayer], domain: Domain) -> bool:
    """Whether no input that f reads belongs to a sensitive or relaxed feature."""
    read = inputs_read(layers)
    groups = zip(domain.features, domain.columns, strict=True)
    return not any((f.sensitive or f.eps) and not read.isdisjoint(columns) for f, columns in groups)
