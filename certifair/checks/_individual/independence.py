"""A network that cannot see what flips: whoever is in the domain is treated fairly, and no point need be evaluated.

An input is free if it belongs to a sensitive or a relaxed feature. Let T_0 be the free inputs and T_k the neurons of
layer k with a weight other than 0 at a member of T_(k−1). Theorem: if the output is not in T_n, f(x) = f(x') for all
x, x' that differ in free inputs only. Proof: by induction a neuron that is not in T_k has the same value at x and x':
it is a function, whatever its curve or slope, of its bias and of Σ w·h over h that are not in T_(k−1), as all other
weights are 0. They are 0 in the true network too if weights are inexact: by at most relative·|w| = 0. The points of a
flip set differ in free inputs only, so all of them are decided alike, on a side that stays unknown.

This is about the reals. In float32, 0·h is ±0 for finite h, which moves no sum; but the order of a sum may depend on
what is summed: a product that skips the inputs that are 0 (a row in the compressed format of sparse matrices, summed in
lanes) adds the other terms in another order when an input of weight 0 becomes 1, and rounds to another sign next to 0.
So float32 has no such theorem for "whatever the order", and its figures are what the witness proves.
"""

from __future__ import annotations

import numpy as np

from certifair.checks._individual.boxes import Frame
from certifair.spec.domain import Domain
from certifair.spec.layers import Layers


def independent(layers: Layers, domain: Domain) -> bool:
    """Whether f over the reals depends on no input of a sensitive or relaxed feature."""
    moves = np.zeros(layers.inputs, dtype=bool)
    moves[Frame(domain).flipped_inputs] = True
    for layer in layers.layers:
        moves = (layer.weight[:, moves] != 0).any(axis=1)
    return not moves.any()
