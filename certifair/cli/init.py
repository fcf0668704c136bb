"""Write a commented certifair.toml; with --data, filled in from the table's columns."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from certifair.errors import InputError

NO_ID = '# id = "row"                    # a column of unique ids; default: the row number'
NO_LABEL = '# label = "outcome"             # 0 or 1, which equalized_odds, equal_opportunity and residuals need'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("certifair.toml"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a table to take the groups' values from")
    parser.add_argument("--sensitive", nargs="+", default=["sex"], metavar="COLUMN", help="default: sex")
    parser.add_argument("--score", default="score", metavar="COLUMN", help="default: score")
    parser.add_argument("--label", metavar="COLUMN")
    parser.add_argument("--id", metavar="COLUMN")


def run(args: argparse.Namespace) -> int:
    from certifair.evidence.files import write_atomic
    from certifair.spec.policy import Policy

    if args.out.exists():
        raise InputError("exists already", where=str(args.out), advice="remove it, or choose another --out")
    content = template(args.score, args.label, args.id, _values(args.data, args.sensitive)).encode()
    Policy.parse(content, str(args.out))
    write_atomic(args.out, content)
    print(f"{args.out}: edit the thresholds, then: certifair ingest PREDICTIONS --policy {args.out} --out run")
    return 0


def _values(data: Path | None, features: Sequence[str]) -> dict[str, list[str]]:
    """Each feature's values in the table, sorted; without a table, a place to write them."""
    if data is None:
        return {name: ["female", "male"] if name == "sex" else ["write", "its", "values"] for name in features}
    from certifair.evidence.tables import read_table, texts

    table, where = read_table(data, list(features))
    return {name: sorted(texts(table[name], name, where).dictionary.to_pylist()) for name in features}


def template(score: str, label: str | None, row_id: str | None, values: Mapping[str, Sequence[str]]) -> str:
    """The text of a policy. Names are quoted as TOML basic strings, which JSON's are."""
    import json

    def quoted(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    features = quoted(list(values))
    declared = "\n".join(f"{quoted(name)} = {quoted(list(found))}" for name, found in values.items())
    return f"""# certifair policy: what is certified, and under which names. Unknown keys are refused.

[data]
{f"id = {quoted(row_id)}" if row_id else NO_ID}
{f"label = {quoted(label)}" if label else NO_LABEL}
sensitive_features = {features}
missing = "error"               # or "group": people whose value is missing are a group of their own
# split = "split"               # certify only some rows; the others are counted in the certificate
# certify = ["test"]

[data.values]                   # every value that a feature or condition may take; any other is an error
{declared}

[predictions]                   # columns of the table
score = {quoted(score)}         # the model's output for one person
# prediction = "served"         # what was served, where a layer or rule changed the score
# batch = "batch"               # what was served together; default: all rows at once

[system]                        # the subject of the certificate
name = "my-system"
version = "1"
# model = "model.onnx"          # digested into the subject
frozen = false                  # true: the score was fixed before these rows were seen,
held_out = false                # true: and not trained on them. Both are needed by kind = "population"

# [layer]                       # the box that predictions must lie in
# lower = 0
# upper = 1
# metric = "demographic_parity" # with the next two: the fairness layer that served them
# sensitive_features = {features}
# epsilon = 0.05

# To train with the layer (certifair train): leave [predictions] out, and write
# [data] split = {{train = 0.7, test = 0.3}}, or the name of a column; inputs = [...], default: all other columns
# [model]
# factory = "mlp"               # or "module:function", called with the number of inputs
# hidden = [32, 16]
# seed = 0
# [training]
# method = "flayer"             # or projection, penalty, strict_penalty, plain
# epochs = 50
# batch = 512
# learning_rate = 0.001
# [serve]
# batch = 0                     # how many people are served together; 0: everybody
# online = "pooled"             # small batches, as a stream through a log: the gap over everybody so far is kept;
                                # or "paper", which keeps the average of the batches' gaps

[[property]]
id = "parity"
kind = "feasibility"            # exactly, in every batch of the evidence
metric = "demographic_parity"   # or conditional_parity, equalized_odds, equal_opportunity, equalized_residuals
sensitive_features = {features}
# intersectional = true         # the product of the features instead of each by itself
epsilon = 0.05                  # the decimal as written: 1/20
min_group_size = 10             # smaller groups are undecided

# [[property]]
# id = "stream"
# kind = "aggregate"            # over everybody, in the order of the rows
# form = "moment"               # at every moment; or pooled, window, weighted, skipped; with a log also bound, steps
# after = 1000                  # once so many people were there (window = 1000: over the latest so many)
# metric = "demographic_parity"
# sensitive_features = {features}
# epsilon = 0.05

# [[property]]
# id = "selection"
# kind = "population"           # everybody whom these rows stand for, with confidence
# metric = "demographic_parity"
# sensitive_features = {features}
# ratio = 0.80                  # or epsilon
# threshold = 0.5               # a decision is score > 0.5
# confidence = 0.95
# method = "beta_mixture"       # where you look again as data come in; default: clopper_pearson, one look

# [[property]]
# id = "unlike"
# kind = "stability"            # of the layer and the network; needs a [layer] with a metric, or a model
# max_treatment_difference = 0.2  # what equal scores of unequal groups are served apart; stated in any case
# # instead of it: share_differentiable, min_radius, max_change (of others, by one person), or
# # max_lipschitz = 25, with inputs = "everywhere", "domain" or "ranges", map = "scores" or "served"
"""
