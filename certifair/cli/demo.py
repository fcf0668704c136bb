"""The main job on embedded data: train, serve, certify, verify, gate, report; under two minutes on two cores."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from certifair.cli.options import claim_lines, say
from certifair.errors import InputError
from certifair.spec import Json

if TYPE_CHECKING:
    from certifair.certificate.verify import Verified

_MARKER = ".certifair-demo"
SECONDS = 12.0
"""For the proof about everybody."""
STEEP_SECONDS = 3.0
"""For that of how steep the network is."""


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
    say("2/7  prove: whose decision does not depend on the career, which goes with sex; how steep the network is …")
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
    predicate = verified.predicate
    print("\nindividual fairness, of the network and of what is served:", *_individual(predicate), sep="\n  ")
    drawn += _stability(predicate, out / "report")
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
    """The proofs about everybody in the domain, and about all inputs; about the people served none is needed."""
    from certifair.cli import bounds
    from certifair.cli.proofs import into_bundle
    from certifair.individual import prepare
    from certifair.individual.properties import Search

    prepare()
    for line in [*into_bundle(run, Search(seconds=SECONDS)), *bounds.put_into_bundle(run, STEEP_SECONDS)]:
        say(f"     {line}")


def _individual(predicate: Json) -> list[str]:
    """What is claimed of the network, and what can be said of the map that is served."""
    from certifair.checks.individual import COUPLED
    from certifair.cli.bounds import treatment_line

    lines = []
    for claim in predicate["claims"]:
        if claim["kind"] == "individual":
            ends = [f"{100 * float(claim[end]):.2f}%" for end in ("lower", "upper")]
            lines.append(f"{claim['id']}: {claim['verdict']}, between {ends[0]} and {ends[1]} of all are fair")
    lines.append(f"served: UNDECIDED, for {COUPLED};")
    (treatment,) = (claim for claim in predicate["claims"] if claim["form"] == "treatment")
    lines.append(f"        equal scores of unequal groups are served at most {treatment['upper'][:8]} apart:")
    lines.append(f"        {treatment_line(treatment['witness'])}")
    return lines


def _stability(predicate: Json, folder: Path) -> list[Path]:
    """Pictures of the radii and of the bounds."""
    from certifair.cli.bounds import draw_claims

    return draw_claims([claim for claim in predicate["claims"] if claim["kind"] == "stability"], folder)


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
