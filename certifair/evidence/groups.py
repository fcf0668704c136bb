"""How many people each group has, and what was served to them: exact, over all rows of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from certifair.evidence.bundle import Evidence
from certifair.evidence.cube import Coded, Codes
from certifair.exact.decimals import PLACES, format_rational, parse_decimal, round_down
from certifair.exact.sums import exact_counts
from certifair.spec import Json
from certifair.spec.groups import Partition


def group_codes(features: Sequence[str], coded: Coded) -> tuple[Codes, int]:
    """(the index of each row's or cell's group in the product of the features, the number of groups)."""
    codes, width = coded.codes[features[0]], len(coded.values[features[0]])
    for feature in features[1:]:
        size = len(coded.values[feature])
        codes, width = codes * size + coded.codes[feature], width * size
    return codes, width


def group_table(evidence: Evidence, partition: Partition) -> Json:
    """One entry of a certificate's `groups` (certificates/README.md 9.1)."""
    cube = evidence.cube
    codes, width = group_codes(partition.features, cube)
    counts = exact_counts(cube.counts, codes, width).tolist()
    threshold = parse_decimal(evidence.system["threshold"])
    positives = exact_counts(cube.positives("served", threshold), codes, width).tolist()
    sums = cube.sums("served").regroup(codes, width)
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
