"""Proofs of semidefiniteness: against minors in fractions, and against matrices perturbed within their balls."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from certifair.exact.ball import Ball, exact
from certifair.exact.quadratic import product
from certifair.exact.semidefinite import exactly_semidefinite, norm_up, semidefinite


def fractions(matrix: np.ndarray) -> list[list[Fraction]]:
    return [[Fraction(float(value)) for value in row] for row in matrix]


def determinant(rows: list[list[Fraction]]) -> Fraction:
    """By Leibniz's formula."""
    total = Fraction(0)
    for order in itertools.permutations(range(len(rows))):
        inversions = sum(a > b for a, b in itertools.combinations(order, 2))
        term = Fraction((-1) ** inversions)
        for row, column in enumerate(order):
            term *= rows[row][column]
        total += term
    return total


def by_minors(rows: list[list[Fraction]]) -> bool:
    """Every principal minor is ≥ 0."""
    n = len(rows)
    chosen = (some for size in range(1, n + 1) for some in itertools.combinations(range(n), size))
    return all(determinant([[rows[i][j] for j in some] for i in some]) >= 0 for some in chosen)


def test_exactly_as_by_minors() -> None:
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(400):
        n = int(rng.integers(1, 5))
        factor = rng.integers(-2, 3, size=(n, int(rng.integers(1, n + 1))))
        matrix = factor @ factor.T
        if rng.random() < 0.5:
            i, j = rng.integers(n, size=2)
            matrix[i, j] = matrix[j, i] = matrix[i, j] + rng.integers(-2, 2)
        rows = [[Fraction(int(v), 3) for v in row] for row in matrix]
        answers.append(exactly_semidefinite(rows))
        assert answers[-1] == by_minors(rows)
    assert 50 < sum(answers) < 350


def test_exactly_takes_all_kinds_of_numbers() -> None:
    large = np.array([[2**62, 2**61], [2**61, 2**62]])  # their products overflow an int64
    assert exactly_semidefinite(large.tolist())
    quarter = Fraction(1, 4)
    assert exactly_semidefinite([[large[0, 0], quarter], [quarter, large[0, 0]]])
    assert not exactly_semidefinite([[0.1, quarter], [quarter, 0.1]])  # type: ignore[list-item]
    assert not exactly_semidefinite([[2**62, 2**62 + 1], [2**62 + 1, 2**62]])
    assert exactly_semidefinite([])
    with pytest.raises(ValueError, match="not symmetric"):
        exactly_semidefinite([[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="not symmetric"):
        exactly_semidefinite([[1, 2], [2]])


def nearly_singular(rng: np.random.Generator) -> np.ndarray:
    """Singular but for a shift of about a rounding, or of ten thousand, up or down; scaled by powers of two."""
    n = int(rng.integers(1, 9))
    factor = rng.normal(size=(n, int(rng.integers(1, n + 1))))
    matrix = factor @ factor.T + np.eye(n) * rng.choice([-1, 1]) * 10.0 ** rng.uniform(-17, -10)
    power = rng.integers(-400, 400) + rng.integers(-40, 40, size=n)
    return np.ldexp((matrix + matrix.T) / 2, power[:, None] + power)


def test_in_floats_only_what_is_so() -> None:
    rng = np.random.default_rng(1)
    proven = wrong = 0
    for _ in range(1500):
        matrix = nearly_singular(rng)
        answer, truth = semidefinite(exact(matrix)), exactly_semidefinite(fractions(matrix))
        assert truth or not answer
        proven += answer
        wrong += not truth
    assert proven > 300
    assert wrong > 300


def test_in_floats_every_matrix_of_the_ball() -> None:
    """The worst of the corners lowers xᵀAx for the x of the least eigenvalue by Σ|x_i||x_j|r_ij."""
    rng = np.random.default_rng(2)
    proven = 0
    for _ in range(400):
        n = int(rng.integers(1, 7))
        factor = rng.normal(size=(n, n))
        middle = factor @ factor.T
        middle = (middle + middle.T) / 2
        radius = np.abs(rng.normal(size=(n, n))) * np.linalg.eigvalsh(middle)[0] / n * rng.uniform(0, 1.5)
        if not semidefinite(Ball(middle, radius)):
            continue
        proven += 1
        radius = np.minimum(radius, radius.T)
        sign = np.sign(np.linalg.eigh(middle)[1][:, 0])
        for signs in (np.outer(sign, sign), *(np.sign(np.outer(s, s)) for s in rng.normal(size=(3, n)))):
            corner = middle - signs * radius
            assert np.linalg.eigvalsh(corner)[0] >= -1e-13 * np.linalg.norm(middle)
    assert proven > 100


def test_enough_is_proven() -> None:
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(100, 100))
    for shift, answer in ((1e-9, True), (-1e-9, False)):
        low = factor[:, :60] @ factor[:, :60].T
        assert semidefinite(exact((low + low.T) / 2 + shift * np.diag(np.diagonal(low)))) is answer


def test_what_is_not_known_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    assert semidefinite(exact(np.zeros((3, 3))))
    assert not semidefinite(Ball(np.eye(2), np.full((2, 2), np.inf)))
    assert not semidefinite(Ball(np.zeros((1, 1)), np.full((1, 1), 1e-300)))
    assert not semidefinite(exact(np.array([[0.0, 1e-300], [1e-300, 1.0]])))
    assert not semidefinite(exact(np.array([[1e-300, 1e300], [1e300, 1.0]])))
    with pytest.raises(ValueError, match="no symmetric"):
        semidefinite(exact(np.array([[1.0, 0.5], [0.0, 1.0]])))
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    for factor in (np.eye(2), np.full((2, 2), np.nan), np.zeros((2, 2)), np.array([[1.0, 0.0], [2.0, 0.0]])):
        with monkeypatch.context() as patch:  # a LAPACK that answers anything
            patch.setattr(np.linalg, "cholesky", lambda _, answer=factor: answer)
            assert not semidefinite(exact(indefinite))
    monkeypatch.setattr(np.linalg, "cholesky", lambda _: np.eye(2) / 2)
    assert semidefinite(Ball(np.eye(2), np.full((2, 2), 0.3)))
    assert not semidefinite(Ball(np.eye(2), np.full((2, 2), 0.5)))


def test_norms_from_above() -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        shape = rng.integers(1, 7, size=2)
        matrix = rng.normal(size=shape) * 2.0 ** rng.integers(-300, 300)
        bound = norm_up(exact(matrix))
        rows, t = fractions(matrix), Fraction(bound)
        gram = [[-sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
        assert exactly_semidefinite([[v + t * t * (i == j) for j, v in enumerate(r)] for i, r in enumerate(gram)])
        assert bound <= np.linalg.norm(matrix, 2) * (1 + 1e-9)
        radius = np.abs(rng.normal(size=shape)) * np.abs(matrix).max() / 10
        wide = norm_up(Ball(matrix, radius))
        for _ in range(5):
            other = matrix + radius * rng.choice([-1, 1], size=shape)
            assert np.linalg.norm(other, 2) <= wide * (1 + 1e-14)


def test_norms_of_what_is_hardly_known() -> None:
    assert norm_up(exact(np.zeros((2, 3)))) == 0
    assert 1 <= norm_up(Ball(np.zeros((1, 1)), np.ones((1, 1)))) < 4
    assert norm_up(Ball(np.zeros((1, 1)), np.full((1, 1), np.inf))) == np.inf


def test_products_of_balls() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        n, d, m = rng.integers(1, 6, size=3)
        a, b = rng.normal(size=(n, d)), rng.normal(size=(d, m))
        r, s = np.abs(rng.normal(size=(n, d))) / 8, np.abs(rng.normal(size=(d, m))) / 8
        found = product(Ball(a, r), Ball(b, s))
        corner = [(np.abs(a) + r) @ (np.abs(b) + s), np.abs(a) @ np.abs(b)]
        assert (found.rad <= (corner[0] - corner[1]) * (1 + 1e-5) + 1e-12).all()
        left, right = (v + w * rng.choice([-1, 1], size=v.shape) for v, w in ((a, r), (b, s)))
        exactly = np.array(fractions(left)) @ np.array(fractions(right))
        off = np.abs(exactly - np.array(fractions(found.mid)))
        assert (off <= np.array(fractions(found.rad))).all()
    nothing = product(exact(np.ones((1, 2))), Ball(np.ones((2, 1)), np.full((2, 1), np.inf)))
    assert nothing.rad.tolist() == [[np.inf]]
