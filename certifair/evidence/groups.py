"""How many people each group has, and what was served to them: exact, over all rows of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certifair.evidence.bundle import Evidence, largest_float_at_most
from certifair.exact.decimals import format_rational, parse_decimal, round_down
from certifair.exact.sums import exact_counts, exact_sums
from certifair.spec.groups import Partition

Json = dict[str, Any]
PLACES = 12


def group_codes(features: Sequence[str], evidence: Evidence) -> tuple[NDArray[np.int64], int]:
    """(the index of each row's group in the product of the features, the number of groups)."""
    codes, width = evidence.codes[features[0]], len(evidence.values[features[0]])
    for feature in features[1:]:
        size = len(evidence.values[feature])
        codes, width = codes * size + evidence.codes[feature], width * size
    return codes, width


def group_table(evidence: Evidence, partition: Partition) -> Json:
    """One entry of a certificate's `groups` (certificates/README.md 9.1)."""
    codes, width = group_codes(partition.features, evidence)
    positive = evidence.predictions > largest_float_at_most(parse_decimal(evidence.system["threshold"]))
    counts = exact_counts(np.ones(evidence.n, dtype=bool), codes, width).tolist()
    positives = exact_counts(positive, codes, width).tolist()
    sums = exact_sums(evidence.predictions, codes, width)
    return {
        "features": list(partition.features),
        "cells": [
            {
                "value": list(value),
                "n": counts[k],
                "positives": positives[k],
                "sum": format_rational(sums.exact(k)),
                "share": round_down(Fraction(counts[k], evidence.n), PLACES),
            }
            for k, value in enumerate(partition.groups)
        ],
    }
