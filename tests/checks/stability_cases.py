"""Small batches of a layer with random groups and scores, as the verifier sees them and person by person."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from certifair.checks._stability.problem import LayerRow, Member, Problem, problem_of
from certifair.checks._stability.solution import Solution, solve
from tests.oracles.projection_oracle import Infeasible, project
from tests.oracles.stability_layer_oracle import Tiny

BOX = (Fraction(0), Fraction(1))


@dataclass(frozen=True)
class Case:
    scores: np.ndarray
    cells: np.ndarray
    members: list[Member]
    rows: list[LayerRow]
    labels: np.ndarray | None

    @property
    def problem(self) -> Problem:
        return problem_of(self.scores, self.cells, self.members, self.rows, BOX, self.labels)

    def at(self, scores: np.ndarray) -> Case:
        return replace(self, scores=scores)

    def without(self, person: int) -> Case:
        keep = np.arange(len(self.scores)) != person
        labels = None if self.labels is None else self.labels[keep]
        return replace(self, scores=self.scores[keep], cells=self.cells[keep], labels=labels)

    def plus(self, score: float, cell: int, label: float = 0.0) -> Case:
        labels = None if self.labels is None else np.append(self.labels, label)
        return replace(self, scores=np.append(self.scores, score), cells=np.append(self.cells, cell), labels=labels)

    @property
    def tiny(self) -> Tiny:
        """The rows as the definition says, without any joint cells."""
        rows, offsets, limits = [], [], []
        for row in self.rows:
            line, offset = [Fraction(0)] * len(self.cells), Fraction(0)
            groups = [[i for i, c in enumerate(self.cells) if c in part] for part in row.parts]
            if not all(groups):
                continue
            for group, factor in zip(groups, row.factors, strict=True):
                for i in group:
                    line[i] += factor / len(group)
                    if self.labels is not None:
                        offset += factor / len(group) * Fraction(float(self.labels[i]))
            rows.append(line)
            offsets.append(offset)
            limits.append(row.epsilon)
        return Tiny([Fraction(float(z)) for z in self.scores], rows, offsets, limits, *BOX)

    def projected(self) -> list[Fraction] | None:
        """P(z) by the oracle of the projection; None if nobody can satisfy the rows."""
        tiny = self.tiny
        epsilon = tiny.epsilon[0] if tiny.epsilon else Fraction(0)
        try:
            return project(tiny.z, list(zip(tiny.rows, tiny.offsets, strict=True)), epsilon, *BOX).y
        except Infeasible:
            return None


def random_case(
    rng: np.random.Generator,
    n: int,
    sizes: Sequence[int],
    epsilon: Fraction,
    *,
    coarse: int | None = None,
    residual: bool = False,
    spread: float = 1.0,
) -> Case:
    """Attributes with so many groups each, nobody's group empty; scores on a grid of 1/coarse if that is given."""
    cells = list(itertools.product(*(range(size) for size in sizes)))
    while True:
        chosen = rng.integers(0, len(cells), n)
        if all(any(cells[k][a] == g for k in chosen) for a, size in enumerate(sizes) for g in range(size)):
            break
    scores = rng.normal(0.5, spread, n)
    scores = np.round(scores * coarse) / coarse if coarse else scores
    rows = []
    for a, size in enumerate(sizes):
        parts = [tuple(j for j, m in enumerate(cells) if m[a] == g) for g in range(size)]
        if residual:
            rows += [LayerRow(f"{a}: {g}", (parts[g],), (Fraction(1),), True, epsilon) for g in range(size)]
        else:
            rows += [
                LayerRow(f"{a}: {g} - {h}", (parts[g], parts[h]), (Fraction(1), Fraction(-1)), False, epsilon)
                for g, h in itertools.combinations(range(size), 2)
            ]
    labels = rng.integers(0, 5, n) / 4 if residual else None
    return Case(scores, chosen, [Member(tuple(map(str, m))) for m in cells], rows, labels)


def served(case: Case, solution: Solution) -> list[Fraction]:
    """P(z) by the solution's shifts."""
    lower, upper = BOX
    return [
        min(max(Fraction(float(z)) - solution.shifts[j], lower), upper)
        for z, j in zip(case.scores, case.cells, strict=True)
    ]


def solved(case: Case) -> Solution:
    found = solve(case.problem)
    assert isinstance(found, Solution), found
    return found
