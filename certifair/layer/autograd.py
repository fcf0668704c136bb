"""The layer as one node of torch's graph, with the derivative of the real projection in closed form."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from certifair.layer.derivative import pull_back
from certifair.layer.result import Solved
from certifair.layer.solvers.base import Floats


@final
class Project(torch.autograd.Function):
    """Forward: the predictions that were solved for. Backward: `derivative.pull_back`, problem by problem."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: torch.Tensor,
        epsilon: torch.Tensor | None,
        offsets: torch.Tensor | None,
        solved: tuple[Solved, ...],
    ) -> torch.Tensor:
        """(scores' shape)."""
        ctx.solved, ctx.like = solved, (epsilon, offsets)
        ctx.save_for_backward(scores)  # torch then refuses to go back through scores that were changed in place
        if len(solved) == 1:
            found = torch.from_numpy(solved[0].answer.predictions).reshape(scores.shape)
        else:
            columns = scores.shape[-1]
            found = torch.from_numpy(np.stack([item.answer.predictions for item in solved]))
            found = found.reshape(-1, columns, found.shape[-1]).transpose(1, 2).reshape(scores.shape)
        return found.to(dtype=scores.dtype, device=scores.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Vector–Jacobian products with respect to scores, ε and offsets. Differentiating twice is an error."""
        _ = ctx.saved_tensors
        plain = gradient.detach().cpu().numpy()
        count = len(ctx.solved)
        if count == 1:
            parts = [pull_back(ctx.solved[0], plain.reshape(-1))]
            moved = parts[0].scores
        else:
            columns = gradient.shape[-1]
            by_problem = plain.reshape(-1, *gradient.shape[-2:]).swapaxes(1, 2).reshape(count, -1)
            parts = [pull_back(item, part) for item, part in zip(ctx.solved, by_problem, strict=True)]
            moved = np.stack([part.scores for part in parts]).reshape(-1, columns, by_problem.shape[1]).swapaxes(1, 2)
        scores = torch.from_numpy(np.ascontiguousarray(moved)).reshape(gradient.shape)
        epsilon, offsets = ctx.like
        return (
            scores.to(dtype=gradient.dtype, device=gradient.device),
            _summed(epsilon, [part.epsilon for part in parts]),
            _summed(offsets, [part.offsets for part in parts]),
            None,
        )


def _summed(like: torch.Tensor | None, parts: list[Floats]) -> torch.Tensor | None:
    """The derivative in the shape of the tensor that was given; one number for all rows collects all."""
    if like is None or not like.requires_grad:
        return None
    shared = like.numel() == 1  # batches may then have different rows
    total = np.array([sum(float(part.sum()) for part in parts)]) if shared else np.sum(parts, axis=0)
    return torch.from_numpy(total).reshape(like.shape).to(dtype=like.dtype, device=like.device)
