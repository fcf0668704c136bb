"""Files, tables and policies with something changed in them, drawn at random: for tests/attack.py."""

from __future__ import annotations

import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from certifair.evidence.canonical import canonical
from tests.golden.forge import payload_of, seal


def changed_bytes(draw: random.Random, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 3))):
        at = draw.randrange(len(found))
        action = draw.choice(["flip", "flip", "set", "drop", "insert", "cut", "swap"])
        if action == "flip":
            found[at] ^= 1 << draw.randrange(8)
        elif action == "set":
            found[at] = draw.choice(b"\x00\xff09 .\"']}fm")
        elif action == "drop" and len(found) > 1:
            del found[at]
        elif action == "insert":
            found.insert(at, draw.choice(b"\x00 \n0#"))
        elif action == "cut" and at > 0:
            del found[at:]
        else:
            other = draw.randrange(len(found))
            found[at], found[other] = found[other], found[at]
    return bytes(found)


def changed_metadata(draw: random.Random, content: bytes) -> bytes:
    """A segment with other key-value metadata, written again without a look at its records."""
    table = pq.read_table(pa.BufferReader(content))
    metadata = dict(pq.ParquetFile(pa.BufferReader(content)).metadata.metadata)
    key = draw.choice([b"certifair.log", b"certifair.segment", b"certifair.segment", b"pandas"])
    value = json.loads(metadata.get(key, b'{"pandas": 1}'))
    member = draw.choice(list(value))
    others = ["0" * 64, 1, 2, 10, None, "another log", True, {}, value[member]]
    metadata[key] = canonical({**value, member: draw.choice(others)})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, store_schema=False, write_statistics=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return bytes(sink.getvalue().to_pybytes())


def changed_head(draw: random.Random, content: bytes) -> bytes:
    """A head that says something else, signed again by its owner."""
    found = payload_of(content)
    container = draw.choice([found["predicate"], found["predicate"], found["subject"][0]["digest"], found])
    container[draw.choice(list(container))] = draw.choice(["0" * 64, 1, 2, "2", None, True, [], {}, "another log"])
    return seal(canonical(found))


def spread(columns: dict[str, list[Any]], name: str, k: int) -> list[Any]:
    """The column with the value of row k for everybody in its batch."""
    batch = columns["batch"][k]
    return [
        columns[name][k] if other == batch else value
        for value, other in zip(columns[name], columns["batch"], strict=True)
    ]


def changed_columns(draw: random.Random, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    found = {name: list(values) for name, values in columns.items()}
    n = len(found["sex"])
    for _ in range(draw.choice((1, 1, 2, 20))):
        i, j = draw.randrange(n), draw.randrange(n)
        names = ["sex", "sex", "served", "served", "score", "label", "batch", "region", "age"]
        duals = [name for name in found if name in ("step", "eta") or name.startswith("multiplier.")]
        name = draw.choice([*names, *duals])
        action = draw.choice(["swap", "copy", "nudge", "nudge"])
        if action == "swap":
            found[name][i], found[name][j] = found[name][j], found[name][i]
        elif action == "copy":
            found[name][i] = found[name][j]
        elif name in ("served", "score"):
            found[name][i] += draw.choice([1e-17, 1e-9, 0.01, -0.01, 0.3, -0.3, 5e-324, 1e300, -1.0])
        elif name in duals:
            found[name][i] = found[name][i] + 1 if name == "step" else found[name][i] * (1 + 2**-52)
        elif name == "label":
            found[name][i] = 1 - found[name][i]
    if draw.random() < 0.1:
        keep = draw.sample(range(n), n - draw.randrange(1, 5))
        found = {name: [values[k] for k in keep] for name, values in found.items()}
    return found


def changed_policy(draw: random.Random, text: str) -> str:
    action = draw.random()
    if action < 0.2:
        return changed_bytes(draw, text.encode()).decode("utf-8", "replace")
    lines = text.split("\n")
    for _ in range(draw.choice((1, 1, 2))):
        k = draw.choice([k for k, line in enumerate(lines) if line.strip()])
        key = lines[k].partition("=")[0].strip()
        new = {
            "epsilon": ["0", "0.01", "0.05", "0.1", "0.149999999", "0.2", "0.5", "1", "1e-3", "0.20000000000000001"],
            "ratio": ["0", "0.1", "0.5", "0.8", "0.9", "1", "1.0000001"],
            "min_group_size": ["0", "1", "3", "10", "30", "31", "1000"],
            "confidence": ["0.5", "0.9", "0.95", "0.99", "0.999", "0." + "9" * 40, "1"],
            "threshold": ["0", "0.4", "0.5", "0.75", "1"],
            "metric": [
                f'"{m}"' for m in ("demographic_parity", "equalized_odds", "equal_opportunity", "equalized_residuals")
            ],
            "map": ['"served"', '"scores"', '"decisions"'],
            "kind": ['"feasibility"', '"population"', '"replay"', '"aggregate"', '"stability"'],
            "max_treatment_difference": ["0", "0.1", "0.303999999999", "0.304000000003", "0.34", "0.5", "3"],
            "share_differentiable": ["0", "0.5", "0.500000000001", "1", "1.1"],
            "min_radius": ["0", "0.178885438199", "0.1789", "0.619390829767", "0.62", "2"],
            "max_change": ["0", "0.08", "0.09", "0.182301980199", "0.3", "1"],
            "max_lipschitz": ["0", "0.6", "0.683", "1.35", "1.3516", "1.351600001259", "1.4", "4.08", "4.97", "5.1"],
            "hours": [f'{{ kind = "{kind}", low = 0, high = 5 }}' for kind in ("integer", "continuous")],
            "inputs": ['"everywhere"', '"domain"', '"ranges"'],
            "form": [f'"{form}"' for form in ("pooled", "moment", "window", "weighted", "skipped", "bound", "steps")],
            "after": ["1", "10", "19", "20", "21", "40", "1000"],
            "window": ["1", "9", "12", "13", "1000"],
            "online": ['"paper"', '"pooled"'],
            "eta0": ["0.5", "0.25", "0.499", "1"],
            "method": ['"clopper_pearson"', '"beta_mixture"', '"empirical_bernstein"'],
            "sensitive_features": ['["sex"]', '["age"]', '["sex", "age"]', '["age", "sex"]'],
            "intersectional": ["true", "false"],
            "sex": ['["f", "m"]', '["m", "f"]', '["f", "m", "x"]', '["f"]', '["F", "m"]'],
            "frozen": ["true", "false"],
            "lower": ["0", "0.1", "-1"],
            "upper": ["1", "0.9", "2"],
            "batch": ['"batch"', "7"],
        }.get(key)
        if new is None or draw.random() < 0.1:
            extra = ["tau = 0.1", "min_group_size = 1", "intersectional = true", "threshold = 0.4", "confidence = 0.9"]
            extra += ["max_lipschitz = 1", "min_radius = 0.1", "max_treatment_difference = 0.3", 'inputs = "ranges"']
            extra += ["after = 20", "window = 12", 'online = "paper"', 'form = "weighted"', 'form = "skipped"']
            lines.insert(k + 1, draw.choice([*extra, 'map = "decisions"', 'map = "scores"']))
        else:
            lines[k] = f"{key} = {draw.choice(new)}"
    return "\n".join(lines)
