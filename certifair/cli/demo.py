"""The main job on embedded data: train, serve, certify, verify, gate, report; under two minutes on two cores."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from certifair.cli.options import claim_lines, say
from certifair.errors import InputError

if TYPE_CHECKING:
    from certifair.certificate.verify import Verified

_MARKER = ".certifair-demo"
SECONDS = 12.0
"""For the proof about everybody."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("certifair-demo"), metavar="DIR", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    from certifair.cli import lending
    from certifair.cli.train import log_keeping, pictures, summary, train
    from certifair.evidence.files import write_atomic

    out: Path = args.out
    _prepare(out)
    write_atomic(out / "applications.csv", lending.table())
    for name, policy in (("certifair", lending.POLICY), ("stream", lending.STREAM), ("strict", lending.STRICT)):
        write_atomic(out / f"{name}.toml", policy)
    say(f"1/7  train and serve: {lending.PEOPLE} made-up loan applications, a small network, the fairness layer …")
    trained = train(out / "certifair.toml", out / "applications.csv")
    made = trained.serve(out / "certifair.toml", out / "run")
    say("2/7  individual: whose decision does not depend on the career, which goes with sex? For everybody: a proof …")
    _prove(out / "run")
    say("3/7  certify: run the policy's checks, sign …")
    public = _keys(out)
    verified = _certify(out, "run", "lending", public)
    say("5/7  gate: the same certificate before two policies …")
    _gates(out, verified)
    say("6/7  stream: the same people, 16 at a time, through a log; certified as well …")
    stream = trained.serve(out / "stream.toml", out / "stream-run", log_keeping(out / "key.pem"))
    streamed = _certify(out, "stream-run", "stream", public)
    print("\nthe stream's certificate:", *claim_lines(streamed.predicate["claims"]), sep="\n  ")
    say("7/7  report: pictures of training, of what the layer did, of the stream's gap over time …")
    drawn = pictures(made, out / "report") + pictures(stream, out / "report" / "stream")
    print("\nwhat the layer did, on the served rows:", *summary(made), sep="\n  ")
    print(
        "\nindividual fairness, of the network and of what is served:", *_individual(verified, out / "run"), sep="\n  "
    )
    predicate = verified.predicate
    certificate, key = out / "lending.certificate.json", out / "key.pub.pem"
    print(f"\npictures: {', '.join(map(str, drawn))}")
    print(f"certificates: {certificate} ({predicate['verdict']}, serial {predicate['serial']}),")
    print(f"  {out / 'stream.certificate.json'} ({streamed.predicate['verdict']})")
    print("verify them, every claim computed again from the evidence, gate them, audit the log:")
    print(f"  {_command()} verify {certificate} --public-key {key} --evidence {out / 'run'}")
    print(f"  {_command()} gate {certificate} --policy {out / 'certifair.toml'} --public-key {key}")
    print(f"  {_command()} audit {out / 'stream-run' / 'log'} --policy {out / 'stream.toml'}")
    return 0


def _command() -> str:
    """How the reader can call certifair: as it was found, in this checkout's environment if not on the path."""
    import sys

    local = Path(sys.executable).parent / "certifair"
    if shutil.which("certifair") or not local.exists():
        return "certifair"
    return str(local.relative_to(Path.cwd()) if local.is_relative_to(Path.cwd()) else local)


def _prepare(out: Path) -> None:
    """An empty folder; an earlier demo's is replaced, anything else is left alone."""
    if out.is_dir() and (out / _MARKER).exists():
        shutil.rmtree(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("exists already and is no earlier demo", where=str(out), advice="choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARKER).touch()
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=str(out)) from None


def _keys(out: Path) -> Path:
    """A new key pair; the public key's path."""
    from certifair.certificate.sign import generate

    return generate(out / "key.pem", None)


def _certify(out: Path, run: str, name: str, public: Path) -> Verified:
    """The certificate of a bundle, and its verification."""
    from datetime import UTC, datetime
    from uuid import uuid4

    from certifair.certificate.certify import certify_bundle
    from certifair.certificate.keys import load_public_key
    from certifair.certificate.sign import load_signer
    from certifair.certificate.verify import Expectations, verify_certificate
    from certifair.evidence.files import write_atomic

    now = datetime.now(UTC).replace(microsecond=0)
    signer = load_signer(out / "key.pem", None)
    certified = certify_bundle(out / run, signer, now=now, serial=str(uuid4()))
    write_atomic(out / f"{name}.certificate.json", certified.content)
    if run == "run":  # the other one is verified without a word
        say("4/7  verify: signature, schema, consistency, and every claim again from the evidence …")
    expect = Expectations(keys=[load_public_key(public)], now=now)
    return verify_certificate(certified.content, expect, out / run)


def _prove(run: Path) -> None:
    """The proof about everybody in the domain; about the people served none is needed."""
    from certifair.cli.proofs import Search, into_bundle
    from certifair.individual import prepare

    prepare()
    for line in into_bundle(run, Search(seconds=SECONDS)):
        say(f"     {line}")


def _individual(verified: Verified, run: Path) -> list[str]:
    """What is claimed of the network, and what can be said of the map that is served."""
    from certifair.checks.individual import COUPLED

    lines = []
    for claim in verified.predicate["claims"]:
        if claim["kind"] == "individual":
            ends = [f"{100 * float(claim[end]):.2f}%" for end in ("lower", "upper")]
            lines.append(f"{claim['id']}: {claim['verdict']}, between {ends[0]} and {ends[1]} of all are fair")
    lines.append(f"served: UNDECIDED, for {COUPLED};")
    lines.append(
        f"        in one batch, equal scores of different groups are served up to {_difference(run):.4f} apart"
    )
    return lines


def _difference(run: Path) -> float:
    """The treatment difference: the layer moves everybody of a group in a batch alike, but for the ends of the box."""
    import numpy as np
    import pyarrow.parquet as pq

    served = pq.read_table(run / "predictions.parquet", columns=["batch_id", "score", "prediction"])
    batch, score, prediction = (served[name].to_numpy() for name in served.column_names)
    inside = (prediction > 0) & (prediction < 1)
    return max(float(np.ptp((prediction - score)[inside & (batch == one)])) for one in np.unique(batch))


def _gates(out: Path, verified: Verified) -> None:
    from certifair.certificate.times import parse_time
    from certifair.gate.evaluate import evaluate
    from certifair.gate.outputs import get
    from certifair.spec.policy import Policy

    now = parse_time(verified.predicate["issuedAt"])
    for name, title in (("strict", "a cautious relying party's"), ("certifair", "the lender's own")):
        path = out / f"{name}.toml"
        result = evaluate(verified, Policy.load(path), now, str(path))
        print(f"\n{title} policy, {path} (gate exits {result.verdict.exit_code}):")
        print(get("text").render(result, str(path), path.read_text(encoding="utf-8")), end="")
