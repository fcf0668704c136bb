"""An audit of the derivative that training goes through: the layer's backward pass, on a sample of batches.

The layer serves the projection P, up to rounding. P is piecewise affine and its pieces are convex; so if z − e and
z + e lie on one piece, P is affine on the segment between them, and for every gradient g

    g · (P(z + e) − P(z − e)) / 2 = g · P'(z; e)      without any truncation error.

What the backward pass says of the same is w · e, w its vector–Jacobian product of g. Recorded for each batch, in units
of |g| |e| (‖P'‖ ≤ 1, so 1 is as much as there is to be wrong about):

- `bound`: how far w · e is from P at both ends *in exact arithmetic* (`_exact_piece`), rounded upwards. That both ends
  lie on one piece is proven there too. So it bounds the error of the layer's derivative along e, and is proven.
- `difference`: how far w · e is from what the layer itself serves at both ends. With `delta` ≥ ‖y − P‖ there, it is at
  most bound + delta / step: the layer serves points of a grid.
- `cvxpylayers`: |w − w'| / |g|, w' somebody else's derivative, of a conic solver and to its tolerance: no proof.

Gradients are that of the loss, as training passes it on, and two random ones; each of the three is a direction too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, final

import numpy as np
import torch

from certifair.errors import CertifairError, InputError
from certifair.exact.decimals import sqrt_up
from certifair.layer import FairnessLayer, ProjectionError, solvers
from certifair.layer.result import Projection
from certifair.training._directions import (
    Direction,
    Floats,
    find_direction,
    forward,
    norm2_up,
    norm_down,
    pulled,
    quantum,
)
from certifair.training.batches import plan_batches
from certifair.training.data import Dataset
from certifair.training.gradient_record import PLACES, BatchAudit, Comparison, GradientAudit
from certifair.training.losses import BaseLoss, base_loss
from certifair.training.methods.base import labels_of
from certifair.training.model import FairModel

MOST_COMPARED: Final = 512
"""People that cvxpylayers is given, which takes it a second: of a larger batch a stratified part, as its own batch."""
KINK: Final = "no step to both sides was proven to stay on one piece: at a kink, or within rounding of one"
CONSTRAINED: Final = "the layer's solver has constraints of its own"


def audit_gradients(
    model: FairModel,
    data: Dataset,
    batches: int = 3,
    seed: int = 0,
    *,
    size: int = 512,
    loss: str | BaseLoss = "bce",
    epoch: int = 1,
) -> GradientAudit:
    """Audit so many of the batches that a trainer with this seed and batch `size` draws in an epoch, evenly drawn.

    The scores are the network's as it is, in evaluation mode; the model is not changed. Raises InputError without a
    layer or labels, and for a number of batches or a seed below 0. A batch, or a part of its audit, that cannot be done
    says why.
    """
    if model.layer is None:
        raise InputError("there is no fairness layer to audit", advice="FairModel(backbone, layer)")
    if batches < 0 or seed < 0:
        raise InputError(f"batches = {batches} and seed = {seed} must not be negative", where="audit_gradients")
    labels_of(data)
    rng = np.random.default_rng([seed, 3])
    people = list(plan_batches(data, model.layer, size).epoch(seed, epoch))
    chosen = np.sort(rng.permutation(len(people))[:batches]).tolist()
    auditor = _Auditor(model, model.layer, base_loss(loss), rng)
    found = tuple(auditor.audit(k, data.take(people[k])) for k in chosen)
    return GradientAudit(seed, str(model.dtype).removeprefix("torch."), found)


@final
class _Auditor:
    """The same network, loss and random numbers for all batches."""

    def __init__(self, model: FairModel, layer: FairnessLayer, loss: BaseLoss, rng: np.random.Generator) -> None:
        self.model, self.layer, self.loss, self.rng = model, layer, loss, rng

    def audit(self, number: int, data: Dataset) -> BatchAudit:
        """One batch."""
        if getattr(self.layer.solver, "constraints", None) is not None:
            return BatchAudit(number, len(data), kink=CONSTRAINED, cvxpylayers=Comparison(reason=CONSTRAINED))
        scores = self._scores(data)
        z, served = forward(self.layer, data, scores, self.model.dtype)
        if not served:
            reason = ProjectionError(served).what
            return BatchAudit(number, len(data), kink=reason, cvxpylayers=Comparison(reason=reason))
        gradients = self._gradients(data, served.predictions.detach())
        backward = [pulled(z, served, g) for g in gradients]
        tried = [find_direction(self.layer, data, scores, g) for g in gradients]
        found = [item for item in tried if item is not None]
        return BatchAudit(
            batch=number,
            people=len(data),
            rows=sum(len(item.problem.rows) for item in served.problems),
            active=sum(int(np.count_nonzero(item.answer.multipliers)) for item in served.problems),
            clipped=_clipped(served),
            directions=len(found),
            step=min((norm_down(d.move) for d in found), default=None),
            delta=max((sqrt_up(d.delta2, PLACES) for d in found), default=None),
            difference=_largest(found, gradients, backward, Direction.difference),
            bound=_largest(found, gradients, backward, Direction.error),
            kink=f"{len(tried) - len(found)} of {len(tried)} directions: {KINK}" if len(found) < len(tried) else "",
            cvxpylayers=self._compared(data, scores, gradients, tried),
        )

    def _scores(self, data: Dataset) -> Floats:
        """(n,) or (n, m): the network's own, to 2⁻⁵¹ of the largest."""
        device = next((item.device for item in self.model.backbone.parameters()), torch.device("cpu"))
        mode = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                scores = self.model.scores(data.to(device, self.model.dtype).inputs)
        finally:
            self.model.train(mode)
        plain = scores.cpu().double().numpy()
        unit = quantum(self.layer, plain)
        found: Floats = np.rint(plain / unit) * unit
        return found

    def _gradients(self, data: Dataset, served: torch.Tensor) -> list[Floats]:
        """Of the loss at what is served, and two random ones, all in the network's dtype; none of them 0."""
        fair = served.clone().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(fair, labels_of(data).cpu())
        (found,) = torch.autograd.grad(loss, fair)
        draws = [torch.from_numpy(self.rng.normal(size=tuple(fair.shape))).to(fair.dtype) for _ in range(2)]
        return [item.double().numpy() for item in (found, *draws) if item.any()]

    def _compared(
        self, data: Dataset, scores: Floats, gradients: Sequence[Floats], tried: Sequence[Direction | None]
    ) -> Comparison:
        """The largest |w − w'| / |g| on the batch, or on a part of it that has everybody's joint cell."""
        part = next(plan_batches(data, self.layer, MOST_COMPARED).epoch(0, 1))
        if len(part) > 2 * MOST_COMPARED:
            return Comparison(reason=f"no part of at most {2 * MOST_COMPARED} people has all groups")
        few, z, parts = data.take(part), scores[part], [g[part] for g in gradients if g[part].any()]
        if len(part) < len(data):
            tried = [find_direction(self.layer, few, z, g) for g in parts]
        if not all(tried):
            return Comparison(len(part), reason=KINK)
        try:
            other = copy.copy(self.layer)
            other.solver = solvers.get("cvxpylayers")
            worst = _farthest([self.layer, other], few, z, parts)
        except Exception as error:  # whatever the packages behind it raise: that it failed is recorded, and why
            told = error.what if isinstance(error, CertifairError) else f"{type(error).__name__}: {error}"
            return Comparison(len(part), reason=told.partition("\n")[0])
        return Comparison(len(part), worst, str(getattr(other.solver, "solver_args", {}).get("eps", "")))


def _farthest(layers: Sequence[FairnessLayer], data: Dataset, scores: Floats, gradients: Sequence[Floats]) -> Fraction:
    """The largest |w − w'| / |g| of two layers, in float64. Raises ProjectionError where one has no answer."""
    ways = [forward(layer, data, scores, torch.float64) for layer in layers]
    if failed := [served for _, served in ways if not served]:
        raise ProjectionError(failed[0])
    found = Fraction(0)
    for g in gradients:
        mine, theirs = (pulled(z, served, g) for z, served in ways)
        found = max(found, sqrt_up(norm2_up(mine - theirs), PLACES) / norm_down(g))
    return found


def _largest(
    directions: Sequence[Direction],
    gradients: Sequence[Floats],
    backward: Sequence[Floats],
    error: Callable[[Direction, Floats, Floats], Fraction],
) -> Fraction | None:
    """The largest error of the backward pass in units of |g| |e|; None without a direction."""
    pairs = list(zip(gradients, backward, strict=True))
    return max((error(d, g, w) / norm_down(g) / norm_down(d.move) for d in directions for g, w in pairs), default=None)


def _clipped(projection: Projection) -> int:
    """How many are served an end of the box."""
    lower, upper = projection.problems[0].problem.box
    served = projection.predictions
    return int(((served <= lower) | (served >= upper)).sum())
