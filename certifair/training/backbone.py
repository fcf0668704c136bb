"""The built-in network: standardised inputs, affine layers, one kind of activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, final

import torch
from torch import nn

from certifair.errors import InputError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@final
class Standardize(nn.Module):
    """(x − mean) / scale, by column. `mean` and `scale` (d,) are buffers: saved, never trained."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, mean: Any, scale: Any) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).clone())
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32).clone())
        if self.mean.shape != self.scale.shape or self.mean.ndim != 1:
            raise InputError("mean and scale must have the shape (inputs,)", where="Standardize")
        if not (torch.isfinite(self.mean).all() and torch.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise InputError("mean must be finite and scale above 0", where="Standardize")

    @staticmethod
    def fitted(inputs: torch.Tensor) -> Standardize:
        """From the training split (n, d): mean and standard deviation; a column that never varies keeps scale 1."""
        wide = inputs.double()
        scale = wide.std(dim=0, unbiased=False)
        return Standardize(wide.mean(dim=0), torch.where(scale > 1e-9 * wide.abs().amax(dim=0), scale, 1.0))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs - self.mean) / self.scale

    def extra_repr(self) -> str:
        """How many columns."""
        return f"{len(self.mean)}"


def mlp(
    inputs: int,
    hidden: Sequence[int] = (32, 16),
    outputs: int = 1,
    *,
    activation: str = "relu",
    final: str | None = "sigmoid",
    layer_norm: bool = False,
    seed: int = 0,
    standardize: Standardize | None = None,
) -> nn.Sequential:
    """A multi-layer perceptron (n, inputs) → (n, outputs), its first module a `Standardize` (default: identity).

    `final` is "sigmoid" or None. `layer_norm` puts one before each activation. The weights depend on `seed` alone, and
    torch's global generator is left as it was. Raises InputError.
    """
    if activation not in ACTIVATIONS:
        raise InputError(f"there is no activation {activation!r}", advice=f"known: {', '.join(ACTIVATIONS)}")
    if final is not None and final != "sigmoid":
        raise InputError(f"final = {final!r} is neither 'sigmoid' nor None", where="mlp")
    sizes = [inputs, *hidden, outputs]
    if any(type(size) is not int or size < 1 for size in sizes):
        raise InputError(f"the sizes {sizes} are not all whole numbers above 0", where="mlp")
    first = Standardize([0.0] * inputs, [1.0] * inputs) if standardize is None else standardize
    if len(first.mean) != inputs:
        raise InputError(f"standardize has {len(first.mean)} columns for {inputs} inputs", where="mlp")
    modules: list[nn.Module] = [first]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for before, after in pairwise(sizes[:-1]):
            modules.append(nn.Linear(before, after))
            if layer_norm:
                modules.append(nn.LayerNorm(after))
            modules.append(ACTIVATIONS[activation]())
        modules.append(nn.Linear(sizes[-2], sizes[-1]))
    if final == "sigmoid":
        modules.append(nn.Sigmoid())
    return nn.Sequential(*modules)
