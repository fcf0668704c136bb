"""The paper's synthetic sets: four ways to train, served in large batches and in small ones, one run certified.

    python examples/synthetic/run.py                     # eight of the 32 sets, full size
    python examples/synthetic/run.py --all               # all 32
    python examples/synthetic/run.py --people 4000 --features 30 --batch 500 --large 1000

Each set is 40 000 people with 150 features and one binary group; ε = 0.05 on the difference of the groups' mean
prediction. The generator is this project's own, by the paper's description, so losses are to be compared between
methods rather than with the paper's. Batches of 16 are too small for the layer; the paper serves them with its online
algorithm, and so does this script, beside the one that keeps the pooled gap.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import network
import numpy as np
import pyarrow.parquet as pq
import torch
from measure import EPSILON, Judged, judge
from sets import ALL, EIGHT, UPPER, Drawn, SyntheticSet, draw

import certifair
import certifair.gate
from certifair.certificate.sign import generate
from certifair.errors import CertifairError, InputError
from certifair.layer import FairnessLayer
from certifair.online import Online, PooledPrimalDual, PrimalDual
from certifair.training import Dataset, FairModel, Trainer, TrainerConfig
from certifair.training.run import train_run

ONLINE: dict[str, type[Online]] = {"paper": PrimalDual, "pooled": PooledPrimalDual}
Compared = dict[str, tuple[Judged, ...]]
METHODS = ("flayer", "projection", "penalty", "strict_penalty")
PAPER = {
    "flayer": (0.794, 0.009),
    "projection": (0.844, 0.030),
    "penalty": (0.793, 0.156),
    "strict_penalty": (0.903, 0.0),
}
"""(loss, violation), means over the 32 rows of the paper's results for training batches of 2000, served 16 at a time
(this project's shared/reference/flayer_synthetic_2000_16.csv). There loss and violation of the methods other than
flayer seem swapped, and are put right here; of projection the last column is taken, its first one (0.651) left out."""


def dataset(drawn: Drawn) -> tuple[Dataset, Dataset]:
    """(train, test); the group is an input too."""
    inputs = np.column_stack([drawn.features, drawn.group])
    data = Dataset.of(inputs, {"group": drawn.group}, drawn.target)
    return data.take(np.flatnonzero(drawn.train)), data.take(np.flatnonzero(~drawn.train))


def layer(chosen: SyntheticSet) -> FairnessLayer:
    return FairnessLayer("demographic_parity", "0.05", chosen.lower, UPPER, features=["group"])


def trained(method: str, chosen: SyntheticSet, train: Dataset, args: argparse.Namespace) -> FairModel:
    model = FairModel(network.build(train.inputs.shape[1], chosen.lower, args.seed), layer(chosen))
    config = TrainerConfig(method, args.epochs, args.batch, float(args.rate), patience=0, seed=args.seed, loss="mse",
                           measure_train=False)  # fmt: skip
    Trainer(config).fit(model, train)
    return model


def served(method: str, model: FairModel, test: Dataset, batch: int, online: str = "") -> np.ndarray:
    """(n,): through the layer or the online algorithm where the method serves with one, else clipped to the box."""
    assert model.layer is not None
    scores = FairModel(model.backbone).predict(test.inputs).predictions.reshape(-1).numpy()
    if method in ("flayer", "projection"):
        if online:
            return streamed(ONLINE[online], model.layer, scores, test.sensitive["group"], batch)
        return model.predict(test.inputs, test.sensitive, batch=batch).predictions.reshape(-1).numpy()
    clipped: np.ndarray = np.clip(scores, float(model.layer.lower), float(model.layer.upper))
    return clipped


def streamed(kind: type[Online], layer: FairnessLayer, scores: np.ndarray, group: np.ndarray, batch: int) -> np.ndarray:
    """(n,): everybody in order, so many at a time, by an online algorithm for the layer's metric."""
    limits = (layer.metric.name, layer.epsilon, layer.lower, layer.upper)
    algorithm = kind(*limits, features=["group"], values={"group": ["0", "1"]})
    state, found = algorithm.init(), np.empty(len(scores))
    for start in range(0, len(scores), batch):
        part = slice(start, start + batch)
        state, found[part], _ = algorithm.step(state, scores[part], {"group": group[part]})
    return found


def compare(chosen: SyntheticSet, args: argparse.Namespace) -> Compared:
    """The four methods on one set: served in large batches, and in small ones by either algorithm."""
    train, test = dataset(draw(chosen, args.people, args.features, args.seed))
    assert test.labels is not None
    group, target = test.sensitive["group"].astype(int), test.labels.numpy()
    found = {}
    print(chosen.name)
    for method in METHODS:
        model = trained(method, chosen, train, args)
        ways = ((args.large, ""), (args.small, "paper"), (args.small, "pooled"))
        found[method] = tuple(judge(served(method, model, test, b, how), target, group, b) for b, how in ways)
        told = [_told(one, b, how) for one, (b, how) in zip(found[method], ways, strict=True)]
        print(f"  {method:<15} {'  | '.join(told)}", flush=True)
    return found


def _told(one: Judged, size: int, how: str) -> str:
    loss = f"{size} at a time{', ' + how if how else ''}: loss {one.loss:.4f}"
    if how:
        return f"{loss}, gap {float(one.pooled):.4f} pooled"
    return f"{loss}, gap {float(one.worst):.4f} at most, {one.over} of {one.batches} batches over"


def summary(found: list[Compared], args: argparse.Namespace) -> None:
    small = f"{args.small} at a time"
    print(f"\nmeans over {len(found)} sets; violation: how far the pooled gap is above 0.05")
    columns = [f"{args.large} at a time", f"{small}, paper's", f"{small}, pooled", f"the paper, 32 sets, {small}"]
    print(f"{'':<15} " + " ".join(f"{name:<21}" for name in columns))
    print(f"{'':<15} " + " ".join([f"{'loss    violation':<21}"] * 4))
    for method in METHODS:
        cells = []
        for k in range(3):
            loss = np.mean([one[method][k].loss for one in found])
            cells.append((loss, np.mean([float(max(one[method][k].pooled - EPSILON, 0)) for one in found])))
        shown = [f"{f'{loss:.3f}   {violation:.3f}':<21}" for loss, violation in (*cells, PAPER[method])]
        print(f"{method:<15} {' '.join(shown)}".rstrip())


def policy(chosen: SyntheticSet, args: argparse.Namespace) -> str:
    """What `certifair train` needs to do the same as `trained` with flayer."""
    inputs = ", ".join(f'"x{k}"' for k in range(1, args.features + 1))
    factory = "nonnegative" if chosen.lower == 0 else "symmetric"
    return f"""# {chosen.name}. `network` is the file beside run.py.
[data]
label = "target"
sensitive_features = ["group"]
inputs = [{inputs}, "group"]
split = "part"

[data.values]
group = ["0", "1"]

[system]
name = "{chosen.name}"
version = "1"
frozen = true
held_out = true

[model]
factory = "network:{factory}"
seed = {args.seed}

[training]
method = "flayer"
epochs = {args.epochs}
batch = {args.batch}
learning_rate = {args.rate}
patience = 0
validation = 0
loss = "mse"

[layer]
metric = "demographic_parity"
sensitive_features = ["group"]
epsilon = 0.05
lower = {chosen.lower}
upper = {UPPER}

[serve]
batch = {args.large}

[[property]]
id = "parity"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = ["group"]
epsilon = 0.05

[[property]]
id = "replay"
kind = "replay"
epsilon = 0.000001
"""


def certified(chosen: SyntheticSet, out: Path, args: argparse.Namespace) -> tuple[int, float]:
    """Train, serve, certify, verify with every claim computed again, gate: (exit code, mean squared error)."""
    table, rules = out / "people.parquet", out / "certifair.toml"
    pq.write_table(draw(chosen, args.people, args.features, args.seed).table(), table)
    rules.write_text(policy(chosen, args), encoding="utf-8")
    made = train_run(table, rules, out / "run")
    public = generate(out / "key.pem", passphrase=None)
    certificate = certifair.certify(out / "run", out / "key.pem")
    (out / "synthetic.certificate.json").write_bytes(certificate.content)
    seen = certifair.verify(certificate.content, public, evidence=out / "run")
    claims = ", ".join(f"{claim['id']} {claim['verdict']}" for claim in seen.predicate["claims"])
    judged = certifair.gate.judge(certificate.content, rules, public, evidence=out / "run")
    error = next(found.served for found in made.figures() if found.name == "mean squared error")
    print(
        f"\n{chosen.name}, certified: {claims}; loss {error:.4f}; gate: {judged.verdict.value}; everything is in {out}"
    )
    return judged.verdict.exit_code, error


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sets", nargs="+", default=list(EIGHT), metavar="NAME", help="default: eight of them")
    which.add_argument("--all", action="store_true", help="all 32")
    which.add_argument("--list", action="store_true", help="print the names of the 32 and stop")
    for name, default, what in (
        ("people", 40_000, "people in a set; three fifths are trained on"),
        ("features", 150, "features beside the group"),
        ("epochs", 20, "epochs"),
        ("batch", 2000, "people a training step"),
        ("large", 2000, "people served at a time"),
        ("small", 16, "people served at a time, the second time"),
        ("seed", 0, "of people, network and training"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (default: %(default)s)")
    parser.add_argument("--rate", default="0.003", help="learning rate (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder (default: one among temporary files)")
    return parser


def main(args: argparse.Namespace) -> int:
    torch.set_num_threads(1)  # the same figures everywhere
    if args.list:
        print("\n".join(ALL))
        return 0
    names = list(ALL) if args.all else args.sets
    if unknown := [name for name in names if name not in ALL]:
        raise InputError(f"there is no set {unknown[0]!r}", advice="--list names them")
    out = args.out or Path(tempfile.mkdtemp(prefix="synthetic-"))
    out.mkdir(parents=True, exist_ok=args.out is None)
    found = [compare(ALL[name], args) for name in names]
    summary(found, args)
    code, _ = certified(ALL[names[0]], out, args)
    losses = {method: np.mean([one[method][0].loss for one in found]) for method in METHODS}
    layered = [one[method][0] for one in found for method in ("flayer", "projection")]
    checks = {
        "mean loss of flayer ≤ projection's": losses["flayer"] <= losses["projection"],
        f"no large batch of flayer or projection over 0.05, exactly ({sum(one.batches for one in layered)} batches)":
            not any(one.over for one in layered),
        "small batches, pooled: no gap over 0.05, exactly":
            all(one[method][2].pooled <= EPSILON for one in found for method in ("flayer", "projection")),
        "the certificate passes its gate": code == 0,
    }  # fmt: skip
    for name, holds in checks.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {name}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(arguments().parse_args()))
    except CertifairError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
