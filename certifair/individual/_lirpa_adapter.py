"""auto_LiRPA as it is installed: 0.3, which needs help on today's torch and numpy, or 0.5 and newer, which need none.

0.3 imports two names that are gone (`numpy.lib.arraysetops.isin`, `torch.onnx.symbolic_helper._set_opset_version`) and
reads a graph's attributes by a third (`torch._C.Node.__getitem__`). They are supplied where they are missing, and taken
away again. So is what the package changes for the whole process: the filters of warnings, the root logger, and the
profiling of TorchScript. Bounds are computed in float64, by making it torch's default meanwhile: not for several
threads at once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import torch

from certifair.errors import InputError
from certifair.individual.query import Array
from certifair.spec.layers import CURVES, Layers

if TYPE_CHECKING:
    from certifair.spec._step_layers import Layer

Method = Literal["IBP", "CROWN-IBP", "CROWN", "alpha-CROWN"]
METHODS: Final[tuple[Method, ...]] = ("IBP", "CROWN-IBP", "CROWN", "alpha-CROWN")
INSTALL: Final = "pip install --no-deps auto_LiRPA==0.3 && pip install tqdm packaging appdirs pyyaml"
ITERATIONS: Final = 20
"""Of α-CROWN, for each of the two bounds: the package's own number."""


def bounds(layers: Layers, low: Array, high: Array, method: Method, end: float) -> tuple[float, float]:
    """The package's bounds on f over the box. α-CROWN stops optimising at `end` (of perf_counter).

    Errors: InputError if the package is not installed. Whatever the package raises passes through.
    """
    package = _package()
    with _supplied():
        module = _module(layers)
        module.bound_opts["optimize_bound_args"]["stop_criterion_func"] = functools.partial(_stop, end)
        box = package.PerturbationLpNorm(norm=np.inf, x_L=_tensor(low), x_U=_tensor(high))
        point = package.BoundedTensor(_tensor((low + high) / 2), box)
        name = "CROWN-Optimized" if method == "alpha-CROWN" else method  # the name that all versions know
        found = module.compute_bounds(x=(point,), method=name)
    return float(found[0].item()), float(found[1].item())


def _stop(end: float, found: torch.Tensor) -> torch.Tensor:
    return torch.full_like(found, time.perf_counter() >= end, dtype=torch.bool)


def _tensor(row: Array) -> torch.Tensor:
    return torch.tensor(row[None], dtype=torch.float64)


@functools.lru_cache(maxsize=4)
def _module(layers: Layers) -> Any:
    example = torch.zeros(1, layers.inputs)
    options = {
        "optimize_bound_args": {"iteration": ITERATIONS},
        "sparse_spec_alpha": False,  # with one of these, 0.3 fails on networks where some neurons are unstable
        "sparse_features_alpha": False,
    }
    return _package().BoundedModule(_Network(layers), example, bound_opts=options, device="cpu")


@functools.cache
def _package() -> types.ModuleType:
    try:
        with _supplied():
            return importlib.import_module("auto_LiRPA")
    except ModuleNotFoundError as error:
        raise InputError(f"the engine 'lirpa' needs {error.name}", advice=INSTALL) from None


class _Network(torch.nn.Module):
    """The layers as the operators that every version bounds: Linear, ReLU, LeakyReLU, Sigmoid, Tanh, Mul, Add."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.linear = torch.nn.ModuleList(_linear(layer) for layer in layers.layers)
        self.parts = torch.nn.ModuleList(_Neurons(layer) for layer in layers.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for linear, part in zip(self.linear, self.parts, strict=True):
            x = part(linear(x))
        return x


def _linear(layer: Layer) -> torch.nn.Linear:
    linear = torch.nn.Linear(layer.weight.shape[1], layer.width)
    linear.weight.data = torch.tensor(layer.weight)
    linear.bias.data = torch.tensor(layer.bias)
    return linear


class _Neurons(torch.nn.Module):
    """One activation, or where a layer has several kinds: the sum of each, times 1 for the neurons that have it.

    slope·z below 0 and z above is slope·z + (1 − slope)·ReLU(z).
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        kinked = layer.curve == 0
        self.single = _single(layer)
        shares = {
            "plain": kinked * layer.slope,
            "relu": kinked * (1 - layer.slope),
            "sigmoid": layer.curve == CURVES.index("sigmoid"),
            "tanh": layer.curve == CURVES.index("tanh"),
        }
        self.shares = {kind: torch.tensor(share[None] * 1.0) for kind, share in shares.items() if share.any()}

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        if self.single is not None:
            return self.single(z)
        functions = {"plain": torch.clone, "relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
        terms = [functions[kind](z) * share for kind, share in self.shares.items()]
        return functools.reduce(torch.add, terms)


def _single(layer: Layer) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The activation of all neurons, if they have the same."""
    kinds = set(zip(layer.curve.tolist(), layer.slope.tolist(), strict=True))
    if len({code for code, _ in kinds}) > 1 or (0 in layer.curve and len(kinds) > 1):
        return None
    code, slope = kinds.pop()
    if code:
        return torch.sigmoid if CURVES[code] == "sigmoid" else torch.tanh
    if slope == 1:
        return torch.nn.Identity()
    return torch.relu if slope == 0 else torch.nn.LeakyReLU(slope) if slope > 0 else None


@contextlib.contextmanager
def _supplied() -> Iterator[None]:
    """What 0.3 needs, and everything as it was afterwards."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(record=True))  # recorded: it sets filters of its own
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))  # it prints when it stops early
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        stack.callback(sys.setrecursionlimit, sys.getrecursionlimit())  # with a million, deep JSON crashes the process
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)  # several only wait for each other in layers of a few dozen neurons
        root = logging.getLogger()
        stack.callback(setattr, root, "handlers", root.handlers[:])
        _supply_names(stack)
        _keep_profiling(stack)
        yield


def _supply_names(stack: contextlib.ExitStack) -> None:
    import torch.onnx.symbolic_helper as helper

    if "numpy.lib.arraysetops" not in sys.modules:
        stand_in = types.ModuleType("numpy.lib.arraysetops")
        vars(stand_in)["isin"] = np.isin
        sys.modules[stand_in.__name__] = stand_in
        stack.callback(sys.modules.pop, stand_in.__name__, None)
    if not hasattr(helper, "_set_opset_version"):
        vars(helper)["_set_opset_version"] = lambda _: None
        stack.callback(vars(helper).pop, "_set_opset_version")
    if not hasattr(torch._C.Node, "__getitem__"):
        node: Any = torch._C.Node
        node.__getitem__ = lambda self, name: getattr(self, self.kindOf(name))(name)
        stack.callback(delattr, node, "__getitem__")


def _keep_profiling(stack: contextlib.ExitStack) -> None:
    """Setting a switch tells what it was."""
    for switch in (torch._C._jit_set_profiling_executor, torch._C._jit_set_profiling_mode):
        before = switch(True)
        switch(before)
        stack.callback(switch, before)
