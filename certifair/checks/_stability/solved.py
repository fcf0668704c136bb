"""Every batch of the evidence as its layer served it: solved exactly, once for all claims about one layer."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, final

from certifair.checks._stability.differentiable import Differentiable, differentiable
from certifair.checks._stability.problem import Batch, batches_of
from certifair.checks._stability.solution import Solution, Undecided, solve
from certifair.errors import InputError
from certifair.exact.decimals import format_decimal, largest_float_at_most
from certifair.spec import Json
from certifair.spec.policy import LayerSpec
from certifair.spec.terms import Terms

if TYPE_CHECKING:
    from certifair.evidence.bundle import Evidence


@final
@dataclass(frozen=True, eq=False)
class Solved:
    """A batch, its exact projection or why there is none, and ρ, which is the largest |served − P(z)| of a person."""

    batch: Batch
    solution: Solution | Undecided
    distance: Fraction = Fraction(0)

    @functools.cached_property
    def derivative(self) -> Differentiable | Undecided:
        """Whether the projection has one, and how deep; several claims ask for it."""
        return self.solution if isinstance(self.solution, Undecided) else differentiable(self.solution)


def layer_of(terms: Terms, evidence: Evidence) -> LayerSpec:
    """The layer that served. Errors: InputError where none did, or an online algorithm in its place."""
    policy = evidence.policy
    if policy.layer is None or policy.served_metric is None or policy.serve.online is not None:
        advice = "leave the property out; it needs [layer] metric and epsilon, and no [serve] online"
        raise InputError(f"claim {terms.id!r} speaks of a layer, but none served these predictions", advice=advice)
    return policy.layer


def described(layer: LayerSpec) -> Json:
    """What a witness says of the layer."""
    assert layer.epsilon is not None
    numbers = {"epsilon": layer.epsilon, "lower": layer.lower, "upper": layer.upper}
    return {name: format_decimal(value) for name, value in numbers.items()}


def solved(terms: Terms, evidence: Evidence) -> tuple[Solved, ...]:
    """Every batch; the latest evidence's are kept, as several claims ask for them."""
    about = (terms.metric_name, terms.sensitive_features, terms.intersectional, terms.condition_on)
    return _solved(_Same(terms, evidence), about)


@final
class _Same:
    """Evidence that is the same object: arrays have no hash."""

    def __init__(self, terms: Terms, evidence: Evidence) -> None:
        self.terms, self.evidence = terms, evidence

    def __hash__(self) -> int:
        return id(self.evidence)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.evidence is self.evidence


@functools.lru_cache(maxsize=1)
def _solved(same: _Same, about: object) -> tuple[Solved, ...]:
    return tuple(_solve(batch, same.evidence) for batch in batches_of(same.terms, same.evidence))


def _solve(batch: Batch, evidence: Evidence) -> Solved:
    found, served = solve(batch.problem, batch.hints), evidence.predictions[batch.at]
    if not found:
        return Solved(batch, found)
    assert isinstance(found, Solution)
    lower, upper = batch.problem.box
    # x < t exactly if −x > −t
    if (served > largest_float_at_most(upper)).any() or (-served > largest_float_at_most(-lower)).any():
        return Solved(batch, Undecided("something was served outside the layer's box"))
    return Solved(batch, found, found.farthest(served))
