"""Train with the fairness layer, serve the held-out rows through it, and write the evidence bundle."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certifair.cli.options import needed, passphrase, say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from certifair.training.history import EpochRecord, History
    from certifair.training.serve import Run, Trained
    from certifair.training.stream import LogKeeping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy", type=Path, required=True, metavar="FILE", help="[data], [model], [training], [layer]"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="CSV, Parquet or JSONL")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the bundle's folder, a new one")
    parser.add_argument(
        "--key",
        type=Path,
        metavar="key.pem",
        help="with [serve] online: signs the log's head",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="pictures of training and of what the layer did")


def run(args: argparse.Namespace) -> int:
    from certifair.evidence.files import require_new

    require_new(args.out)
    keeping = None if args.key is None else log_keeping(args.key)
    made = train(args.policy, args.data).serve(args.policy, args.out, keeping)
    print("\n".join(summary(made)))
    if args.plots is not None:
        print("pictures:", *pictures(made, args.plots))
    print(f"{args.out}: {len(made.people)} served rows; next: certifair certify {args.out} --key key.pem --out NAME")
    return 0


def train(policy: Path, data: Path) -> Trained:
    """The trained network, with a line of progress now and then on standard error."""
    with needed("training needs"):
        from certifair.training.run import train
    return train(data, policy, _Progress())


def log_keeping(key: Path) -> LogKeeping:
    """A new log by this machine's clock, its head signed by the key."""
    from datetime import UTC, datetime
    from uuid import uuid4

    from certifair.certificate.log_head import sign_head
    from certifair.certificate.sign import load_signer
    from certifair.training.stream import LogKeeping

    signer = load_signer(key, passphrase())
    return LogKeeping(
        id=str(uuid4()),
        sign=lambda head: sign_head(head, signer, datetime.now(UTC).replace(microsecond=0)),
        clock=lambda: time.time_ns() // 1000,
    )


class _Progress:
    """Tells of an epoch when a second has passed since the last time."""

    def __init__(self) -> None:
        self.told = 0.0

    def __call__(self, record: EpochRecord) -> None:
        now = time.monotonic()
        if now - self.told < 1:
            return
        self.told = now
        text = f"  epoch {record.epoch}: loss {record.train_loss:.4f}"
        seen = record.validation
        if seen is not None and seen.objective is not None and seen.score_gap is not None:
            text += f"; held out: {seen.objective:.4f}, gap of the scores {seen.score_gap:.4f}"
        if record.skipped.batches:
            text += f"; {record.skipped.batches} batches skipped ({record.skipped.reason})"
        say(text)


def summary(made: Run) -> list[str]:
    """What training and layer did, in figures that the certificate states again: before the layer and after it."""
    lines = [f"trained on {made.trained} rows, {len(made.history.epochs)} epochs"]
    lines += [f"note: {count} rows have a {name} that no training row has" for name, count in made.unseen.items()]
    lines.append(f"{'':<24} {'scores':>10} {'served':>10}")
    lines += [f"{figure.name:<24} {figure.scores:>10.4f} {figure.served:>10.4f}" for figure in made.figures()]
    return lines if made.gradients is None else [*lines, made.gradients.summary()]


def pictures(made: Run, folder: Path) -> list[Path]:
    """Training history, and each group before and after the layer, as PNG. Needs matplotlib."""
    from certifair.evidence.files import write_atomic
    from certifair.report.plots import plot_groups, plot_history, plot_stream

    folder.mkdir(parents=True, exist_ok=True)
    epsilon = None if made.layer is None else float(made.layer.epsilon)
    found = {"history.png": plot_history(_series(made.history), epsilon)}
    for feature, groups in made.people.sensitive.items():
        name = "".join(c if c.isalnum() else "-" for c in feature)
        found[f"groups-{name}.png"] = plot_groups(made.scores, made.predictions, groups)
    if made.ends is not None:
        found["gap-over-time.png"] = plot_stream(made.scores, made.predictions, _compared(made), made.ends, epsilon)
    for name, content in found.items():
        write_atomic(folder / name, content)
    return [folder / name for name in found]


def _compared(made: Run) -> list[NDArray[Any]]:
    """The groups that the layer compares, each person's as a text, "" where a person is in none."""
    import numpy as np

    layer, people = made.layer, made.people
    assert layer is not None
    features = [people.sensitive[name] for name in layer.features or ()]
    if layer.intersectional:
        features = [np.array([" × ".join(parts) for parts in zip(*features, strict=True)])]
    if people.conditions is None:
        return features
    return [np.where(people.conditions == value, f, "") for value in np.unique(people.conditions) for f in features]


def _series(history: History) -> list[dict[str, float | None]]:
    """One flat record an epoch."""
    found = []
    for record in history.epochs:
        flat: dict[str, float | None] = {"epoch": record.epoch, "training loss": record.train_loss}
        if record.validation is not None:
            flat["held-out loss"] = record.validation.objective
            flat["held-out gap of the scores"] = record.validation.score_gap
            flat["held-out gap of what is served"] = record.validation.gap
        found.append(flat)
    return found
