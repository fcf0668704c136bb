"""A witness: what an engine found out about a decision, in a form that a checker can follow step by step.

A witness claims nothing by itself: `certifair.checks._individual` counts what its leaves prove. It is one JSON document
with the network and the domain inside, so the standard library is enough to read and to check it; long columns are
little-endian arrays, compressed (zlib) and written in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from certifair.errors import InputError
from certifair.spec import Json
from certifair.spec.domain import Domain, Feature

FORMAT: Final = "certifair-witness/0"
SPLIT, OPEN, ENUMERATED, COUNTED, FIBRES, COUNTEREXAMPLE, TRIMMED = range(7)
"""Kinds of nodes of a tree."""
BOUNDED: Final = (COUNTED, FIBRES, TRIMMED)
"""Leaves that ask for bounds."""
UNDECIDED, ALL, PAIR, SWEPT, TREE = range(5)
"""What is said of a row: nothing; every point of its flip set was evaluated; two points decide differently; its one or
two continuous inputs were swept; a tree over its flip set."""
MOST_FLIPS: Final = 1 << 20
"""Combinations of one person's flip set that are all evaluated."""
SWEPT_INPUTS: Final = 2
"""Continuous inputs that a sweep decides completely."""
MOST_NODES: Final = 1 << 27
"""Nodes, numbers or rows of one column."""


@final
@dataclass(frozen=True)
class Tree:
    """Nodes in breadth-first order: the two children of each split follow in the order of the splits.

    feature: the position in the domain that a split divides, or along which fibres run; else 0. cut: of a split:
    integers
    and one-hot positions go left if < cut, continuous values if ≤ cut; else 0.
    pairs: the two points (all inputs) of each counterexample, in the order of these nodes.
    """

    kind: bytes
    feature: array[int]
    cut: array[float]
    pairs: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not len(self.kind) == len(self.feature) == len(self.cut) == 1 + 2 * self.kind.count(SPLIT):
            raise ValueError("the columns of a tree have different lengths, or not two children for every split")
        if len(self.pairs) != self.kind.count(COUNTEREXAMPLE) or max(self.kind) > TRIMMED:
            raise ValueError("a tree has nodes of unknown kinds, or not a pair for every counterexample")


@final
@dataclass(frozen=True)
class Rows:
    """One code for each row; for each PAIR, in order, the flipped inputs of both points; for each TREE a tree."""

    code: bytes
    pairs: array[float] = field(default_factory=lambda: array("d"))
    trees: tuple[Tree, ...] = ()


def bytes_to_check(nodes: int, features: int) -> int:
    """About the memory that checking a tree takes: engines and checker mean the same limit by it."""
    return nodes * (192 + 16 * features)


def plain_rows(domain: Domain, n: int) -> Rows:
    """What needs no engine: every row evaluated or swept; undecided where its flip set is too large for that."""
    combinations, continuous = domain.freedom
    feasible = combinations <= MOST_FLIPS and continuous <= SWEPT_INPUTS
    return Rows(bytes([(SWEPT if continuous else ALL) if feasible else UNDECIDED]) * n)


@final
@dataclass(frozen=True)
class Witness:
    """About all units of a domain (a tree), or about rows (the units of a table, which is kept elsewhere)."""

    layers: tuple[Json, ...]
    domain: Domain
    about: Tree | Rows
    engine: str


def digest(layers: Sequence[Json]) -> str:
    """The SHA-256 of a network's layers."""
    return hashlib.sha256(json.dumps(list(layers), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def layers_to_json(layers: Any) -> tuple[Json, ...]:
    """`certifair.spec.layers.Layers` as JSON: every float as its 8 bytes."""
    return tuple(
        {
            "shape": list(layer.weight.shape),
            "weight": _packed(array("d", layer.weight.reshape(-1).tolist())),
            **{name: _packed(array("d", getattr(layer, name).tolist())) for name in _VECTORS},
            "curve": layer.curve.tolist(),
            "rounds": layer.rounds.tolist(),
            "float32": layers.float32,
        }
        for layer in layers.layers
    )


_VECTORS: Final = ("bias", "slope", "size", "relative")


@final
@dataclass(frozen=True)
class PlainLayer:
    """A layer as lists of Python floats, rows first."""

    weight: list[list[float]]
    bias: list[float]
    slope: list[float]
    size: list[float]
    relative: list[float]
    curve: list[int]
    rounds: list[int]


def plain_layers(layers: Sequence[Json]) -> list[PlainLayer]:
    """The layers of a witness. Errors: ValueError if they do not fit together."""
    found: list[PlainLayer] = []
    for item in layers:
        (m, n), flat = item["shape"], _unpacked(item["weight"], "d")
        vectors = {name: list(_unpacked(item[name], "d")) for name in _VECTORS}
        lengths = {len(values) for values in (*vectors.values(), item["curve"], item["rounds"])}
        if not (m >= 1 and n >= 1 and len(flat) == m * n and lengths == {m}) or (found and n != len(found[-1].bias)):
            raise ValueError("layers do not fit together")
        weight = [list(flat[row * n : (row + 1) * n]) for row in range(m)]
        found.append(PlainLayer(weight, curve=item["curve"], rounds=item["rounds"], **vectors))
    if not found or len(found[-1].bias) != 1:
        raise ValueError("the last layer has not one output")
    return found


def write_witness(witness: Witness) -> bytes:
    """The document."""
    about = witness.about
    body = {"tree": _tree_json(about)} if isinstance(about, Tree) else {"rows": _rows_json(about)}
    domain = {
        "name": witness.domain.name,
        "features": [
            {**feature.__dict__, "values": list(feature.values), **_hex(feature)} for feature in witness.domain.features
        ],
    }
    document = {"format": FORMAT, "engine": witness.engine, "domain": domain, **body, "layers": list(witness.layers)}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def read_witness(content: bytes, where: str) -> Witness:
    """The inverse of `write_witness`. Errors: InputError for anything that is not such a document."""
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}, not {FORMAT!r}")
        features = [_feature(item) for item in document["domain"]["features"]]
        about = _tree(document["tree"]) if "tree" in document else _rows(document["rows"])
        plain_layers(document["layers"])
        domain = Domain(document["domain"]["name"], tuple(features))
        return Witness(tuple(document["layers"]), domain, about, str(document["engine"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        what = f"is no witness: {type(error).__name__}: {str(error)[:200]}"
        raise InputError(what, where=where, advice="make it again with certifair individual --witness") from None


def _hex(feature: Feature) -> dict[str, str]:
    return {name: getattr(feature, name).hex() for name in ("low", "high", "eps")}


def _feature(item: Mapping[str, Any]) -> Feature:
    numbers = {name: float.fromhex(item[name]) for name in ("low", "high", "eps")}
    if not isinstance(item["sensitive"], bool) or not isinstance(item["name"], str):
        raise ValueError("a feature's name is a text, and it is sensitive or not")
    values = tuple(str(value) for value in item["values"])
    return Feature(item["name"], item["kind"], values=values, sensitive=item["sensitive"], **numbers)


def _tree_json(tree: Tree) -> Json:
    pairs = array("d", [value for pair in tree.pairs for point in pair for value in point])
    return {
        "kind": _packed(array("B", tree.kind)),
        "feature": _packed(tree.feature),
        "cut": _packed(tree.cut),
        "pairs": _packed(pairs),
    }


def _tree(item: Mapping[str, Any]) -> Tree:
    kind = _unpacked(item["kind"], "B").tobytes()
    flat, count = _unpacked(item["pairs"], "d"), kind.count(COUNTEREXAMPLE)
    if bool(count) != bool(flat) or (count and len(flat) % (2 * count)):
        raise ValueError("the pairs of a tree have the wrong length")
    width = len(flat) // (2 * count) if count else 0
    points = [tuple(flat[i * width : (i + 1) * width]) for i in range(2 * count)]
    pairs = tuple(zip(points[::2], points[1::2], strict=True))
    return Tree(kind, _unpacked(item["feature"], "H"), _unpacked(item["cut"], "d"), pairs)


def _rows_json(rows: Rows) -> Json:
    return {
        "code": _packed(array("B", rows.code)),
        "pairs": _packed(rows.pairs),
        "trees": [_tree_json(tree) for tree in rows.trees],
    }


def _rows(item: Mapping[str, Any]) -> Rows:
    trees = tuple(_tree(tree) for tree in item["trees"])
    return Rows(_unpacked(item["code"], "B").tobytes(), _unpacked(item["pairs"], "d"), trees)


def _packed(column: array[Any]) -> str:
    if sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return base64.b64encode(zlib.compress(column.tobytes(), 6)).decode()


def _unpacked(text: str, typecode: str) -> array[Any]:
    """Errors: ValueError for what is no such column, or unpacks to more than MOST_NODES numbers."""
    column: array[Any] = array(typecode)
    inflate = zlib.decompressobj()
    most = MOST_NODES * column.itemsize
    try:
        content = inflate.decompress(base64.b64decode(text, validate=True), most)
    except (zlib.error, binascii.Error) as error:
        raise ValueError(f"a column cannot be unpacked: {error}") from None
    if not inflate.eof or inflate.unused_data or len(content) % column.itemsize:
        raise ValueError("a column is too long, cut off, or followed by something")
    column.frombytes(content)
    if sys.byteorder == "big":
        column.byteswap()
    return column
