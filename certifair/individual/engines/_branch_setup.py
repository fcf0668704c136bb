"""A network and a domain as the arrays that the compiled search reads, and room for it to work in."""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.witness import SPLIT, Tree
from certifair.individual.engines._branch_count import CONTINUOUS, INTEGER, ONE_HOT, Axes, Grid
from certifair.individual.engines._branch_enclosure import Box, Form, Lines, Net
from certifair.individual.engines._branch_leaf import Room
from certifair.individual.engines._branch_search import Nodes, Slots
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers

BINS: Final = 192
_KINDS: Final = {"integer": INTEGER, "continuous": CONTINUOUS, "one_hot": ONE_HOT}


def net_of(layers: Layers) -> Net:
    """Hidden layers in float32. A network without any gets an identity layer of its inputs' linear form."""
    hidden, last = list(layers.layers[:-1]), layers.layers[-1]
    weights = [layer.weight for layer in hidden] or [last.weight]
    biases = [layer.bias for layer in hidden] or [last.bias]
    slopes = [layer.slope for layer in hidden] or [np.ones(1)]
    width = np.array([len(bias) for bias in biases], dtype=np.int64)
    rows = _most_rows(width, layers.inputs)
    return Net(
        width,
        np.concatenate([weight.T.ravel() for weight in weights]).astype(np.float32),
        np.concatenate([weight.ravel() for weight in weights]).astype(np.float32),
        _starts([weight.size for weight in weights]),
        np.concatenate(biases).astype(np.float32),
        np.concatenate(slopes).astype(np.float32),
        _starts(width.tolist()),
        _starts((rows * width).tolist()),
        last.weight[0].astype(np.float32) if hidden else np.ones(1, dtype=np.float32),
        float(last.bias[0]) if hidden else 0.0,
    )


def _starts(sizes: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)


def _most_rows(width: NDArray[np.int64], inputs: int) -> NDArray[np.int64]:
    """Of each layer: the inputs, and errors of all layers below but one; the last layer does without the latter's."""
    rows = [inputs]
    for k in range(1, len(width)):
        rows.append(rows[-1] + (int(width[k - 1]) if k < len(width) - 1 else 0))
    return np.array(rows, dtype=np.int64)


def axes_of(domain: Domain) -> Axes:
    features = domain.features
    return Axes(
        np.array([_KINDS[feature.kind] for feature in features], dtype=np.int64),
        np.array([columns[0] for columns in domain.columns], dtype=np.int64),
        np.array([feature.width for feature in features], dtype=np.int64),
        np.array([feature.sensitive for feature in features], dtype=np.bool_),
        np.array([feature.eps for feature in features], dtype=np.float64),
        np.array([feature.low for feature in features], dtype=np.float64),
        np.array([f.width - 1 if f.kind == "one_hot" else f.high for f in features], dtype=np.float64),
    )


def room_of(net: Net, axes: Axes) -> Room:
    inputs, neurons = int(axes.width.sum()), int(net.width.sum())
    wide = int(max(net.width.max(), inputs))
    features, rows = len(axes.kind), int((_most_rows(net.width, inputs) * net.width).sum())

    def floats(n: int) -> NDArray[np.float32]:
        return np.zeros(n, dtype=np.float32)

    def whole(n: int) -> NDArray[np.int64]:
        return np.zeros(n, dtype=np.int64)

    lines = Lines(
        rows=floats(rows),
        centre=floats(neurons),
        radius=floats(neurons),
        slope=floats(neurons),
        middle=floats(neurons),
        error=floats(neurons),
        bend=floats(neurons),
        factor=floats(wide),
        used=whole(wide),
        signed=floats(wide),
        absolute=floats(wide),
        signed2=floats(wide),
        absolute2=floats(wide),
        weight=floats(wide),
        gain=floats(wide),
        size=floats(neurons),
        price=floats(neurons),
    )
    box = Box(
        mid=floats(inputs),
        half=floats(inputs),
        free=whole(inputs),
        worst=np.zeros(inputs, dtype=np.bool_),
        variance=floats(inputs),
        fourth=floats(inputs),
        lost=floats(inputs),
    )
    bins = 2 * BINS + 4 * features
    grid = Grid(BINS, floats(bins), floats(bins), np.zeros(bins + 1), whole(features), np.zeros(features), np.zeros(4))
    return Room(
        lines=lines,
        box=box,
        form=Form(floats(inputs), floats(inputs), floats(inputs)),
        grid=grid,
        g=floats(inputs),
        rho=floats(inputs),
        score=floats(inputs),
        here=floats(inputs),
        used=whole(5),
        total=np.zeros(3),
        point=np.zeros(inputs),
        unit=np.zeros(features),
        values=np.zeros(neurons),
        stack=whole(8192),
    )


def bytes_per_leaf(features: int) -> int:
    """Of slots, and of two nodes a leaf; and the tree that is made of them at last."""
    return 16 * features + 30 + 2 * 15 + 2 * 30


def arrays_of(leaves: int, features: int) -> tuple[Nodes, Slots]:
    """Room for so many leaves. Memory that is never written is never taken."""
    nodes = 2 * leaves
    return (
        Nodes(
            np.empty(nodes, dtype=np.int32),
            np.empty(nodes, dtype=np.int8),
            np.empty(nodes, dtype=np.int16),
            np.empty(nodes, dtype=np.float64),
        ),
        Slots(
            np.empty((leaves, features)),
            np.empty((leaves, features)),
            np.empty(leaves, dtype=np.int32),
            np.zeros(leaves),
            np.zeros(leaves),
            np.zeros(leaves),
            np.empty(leaves, dtype=np.int16),
        ),
    )


def plant(tree: Tree | None, axes: Axes, nodes: Nodes, slots: Slots) -> int:
    """The boxes of a tree's leaves (None: of the whole domain) into the first slots; how many.

    Errors: ValueError for a split that this search does not make, or more leaves than there is room for.
    """
    low, high = axes.low[None], axes.high[None]
    if tree is None:
        slots.low[:1], slots.high[:1], slots.node[0] = low, high, 0
        return 1
    kind = np.frombuffer(tree.kind, dtype=np.uint8)
    feature, cut = np.array(tree.feature, dtype=np.int64), np.array(tree.cut)
    if len(kind) > len(nodes.kind):
        raise ValueError(f"the tree has {len(kind)} nodes, and there is room for {len(nodes.kind)}")
    leaves, first = 0, 0
    while len(low):
        here = np.arange(first, first + len(low))
        split = kind[here] == SPLIT
        ends = int((~split).sum())
        slots.low[leaves : leaves + ends], slots.high[leaves : leaves + ends] = low[~split], high[~split]
        slots.node[leaves : leaves + ends] = here[~split]
        inner, first, leaves = here[split], first + len(low), leaves + ends
        nodes.child[inner] = first + 2 * np.arange(len(inner))
        nodes.kind[inner], nodes.feature[inner], nodes.cut[inner] = SPLIT, feature[inner], cut[inner]
        low, high = _halves(axes, low[split], high[split], feature[inner], cut[inner])
    return leaves


def _halves(
    axes: Axes,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    feature: NDArray[np.int64],
    cut: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The boxes of both children, in turn."""
    if axes.sensitive[feature].any():
        raise ValueError("the tree splits a sensitive feature, which this search does not")
    both = np.repeat(low, 2, axis=0), np.repeat(high, 2, axis=0)
    n = np.arange(len(low))
    both[0][2 * n + 1, feature] = cut
    both[1][2 * n, feature] = np.where(axes.kind[feature] == CONTINUOUS, cut, cut - 1)
    return both


def tree_of(nodes: Nodes) -> Tree:
    """The tree under node 0, breadth first. A thread may still be adding to it."""
    here = np.zeros(1, dtype=np.int64)
    kinds, features, cuts = [], [], []
    while len(here):
        kind = nodes.kind[here]
        kinds.append(kind.astype(np.uint8))
        features.append(nodes.feature[here].astype(np.uint16))
        cuts.append(nodes.cut[here])
        first = nodes.child[here[kind == SPLIT]].astype(np.int64)
        here = (first[:, None] + np.arange(2)).reshape(-1)
    column = array("H", np.concatenate(features).tobytes())
    return Tree(np.concatenate(kinds).tobytes(), column, array("d", np.concatenate(cuts).tobytes()))
