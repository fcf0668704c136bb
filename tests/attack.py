"""Attacks on the verifier and the gate by the ten thousands: `make attack`, or `python tests/attack.py --count N`.

Five kinds: certificates mutated and signed again by the trusted key, before the true bundle; bundles with changed
bytes; logs with changed, swapped or missing segments, or written anew; tables changed and ingested again; policies, the
owner's and those of a gate. An acceptance is harmless if every
claim that passes is true of the raw table, computed with fractions (tests/golden/truth.py). The last line counts the
false claims that were accepted; more than none, or a crash, exits with 1.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from certifair.certificate.certify import certify_bundle  # noqa: E402
from certifair.certificate.sign import signer_of  # noqa: E402
from certifair.certificate.times import parse_time  # noqa: E402
from certifair.certificate.verify import Expectations, Verified, verify_certificate  # noqa: E402
from certifair.errors import InputError, UntrustedError  # noqa: E402
from certifair.evidence.bundle import PATHS, manifest_of  # noqa: E402
from certifair.evidence.canonical import canonical  # noqa: E402
from certifair.exact.decimals import format_decimal  # noqa: E402
from certifair.gate.evaluate import evaluate  # noqa: E402
from certifair.spec.policy import Policy  # noqa: E402
from certifair.spec.terms import terms_of  # noqa: E402
from certifair.spec.verdict import Verdict  # noqa: E402
from tests.golden.cases import CASES, ISSUED, NOW, PRIVATE, Case, pinned  # noqa: E402
from tests.golden.change import (  # noqa: E402
    changed_bytes,
    changed_columns,
    changed_head,
    changed_metadata,
    changed_policy,
    spread,
)
from tests.golden.forge import certificate, digest, seal  # noqa: E402
from tests.golden.logs import as_logged, log_files, log_head, logged_rows, write_log  # noqa: E402
from tests.golden.mutate import Mutator, harm, payload  # noqa: E402
from tests.golden.truth import MISSING, false_claims, holds, people_of  # noqa: E402

Json = dict[str, Any]
EXPECT = Expectations(keys=[pinned("owner")], now=parse_time(NOW), registrar_keys=[pinned("registrar")])
OUTCOMES = ("refused", "harmless", "false", "crashed")
CHUNK = 100


class Attacker:
    """Attacks from one seed, on all runs of tests/golden/cases.py."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.draw = random.Random(seed)
        self.folder = folder
        self.number = 0
        self.built: dict[str, tuple[Case, Path, Json]] = {}
        for name, case in CASES.items():
            evidence, certified = case.build(folder / name)
            self.built[name] = (case, evidence, certified.predicate)
        self.mutator = Mutator(seed, [predicate for _, _, predicate in self.built.values()])

    def fresh(self) -> Path:
        self.number += 1
        return self.folder / f"run-{self.number}"

    def pick(self, *, logged: bool = False) -> tuple[Case, Path, Json]:
        return self.built[self.draw.choice([n for n, (case, _, _) in self.built.items() if case.log or not logged])]

    def certificates(self) -> str:
        """A mutated certificate, signed again, with the evidence at hand."""
        case, evidence, predicate = self.pick()
        mutated = self.mutator.mutated(predicate)
        verify_certificate(seal(payload(mutated)), EXPECT, evidence)
        accepted = mutated["predicate"]
        return "false" if harm(predicate, accepted) or false_claims(accepted, rows_of(case, evidence)) else "harmless"

    def bundles(self) -> str:
        """Bytes of one file of the bundle changed; half of the time manifest and certificate go along with it."""
        _, evidence, predicate = self.pick()
        contents = {role: (evidence / path).read_bytes() for role, path in PATHS.items() if (evidence / path).exists()}
        role = self.draw.choice(list(contents))
        contents[role] = changed_bytes(self.draw, contents[role])
        log = log_files(evidence / "log") if (evidence / "log").exists() else {}
        run = self.laid_out(contents, log)
        found = copy.deepcopy(predicate)
        if self.draw.random() < 0.5 and role != "manifest":
            self.gone_along(run, contents, found)
        verify_certificate(certificate(found), EXPECT, run)
        return "false" if false_claims(found, stored_rows(run)) else "harmless"

    def laid_out(self, contents: dict[str, bytes], log: dict[str, bytes]) -> Path:
        """A fresh bundle of these files."""
        run = self.fresh()
        run.mkdir()
        for name, content in contents.items():
            (run / PATHS[name]).parent.mkdir(exist_ok=True)
            (run / PATHS[name]).write_bytes(content)
        if log:
            (run / "log").mkdir()
        for name, content in log.items():
            (run / "log" / name).write_bytes(content)
        return run

    def gone_along(self, run: Path, contents: dict[str, bytes], found: Json) -> None:
        """Manifest and certificate state the digests of what lies there now."""
        manifest = json.loads(contents["manifest"])
        try:
            contents["manifest"] = manifest_of(contents, manifest["exclusions"])
        except Exception:  # not even Parquet: leave the manifest as it was
            contents["manifest"] += b" "
        else:
            logs = [item for item in manifest["files"] if item["role"] == "log"]
            for item in [*logs, *(item for item in found["materials"] if item["role"] == "log")]:
                item |= {"sha256": log_head(run / "log"), "rowCount": len(logged_rows(run / "log"))}
            stated = json.loads(contents["manifest"])
            contents["manifest"] = canonical({**stated, "files": stated["files"] + logs})
        (run / PATHS["manifest"]).write_bytes(contents["manifest"])
        for item in found["materials"]:
            item["sha256"] = item["sha256"] if item["role"] == "log" else digest(contents[item["role"]])
        for claim in found["claims"]:
            if claim["form"] == "chain":
                claim["witness"]["head"] = next(item["sha256"] for item in found["materials"] if item["role"] == "log")
        found["policy"]["sha256"] = digest(contents["policy"])

    def logs(self) -> str:
        """A log with changed, swapped, missing or new segments, or another; half of the time all else goes along."""
        case, evidence, predicate = self.pick(logged=True)
        contents = {role: (evidence / path).read_bytes() for role, path in PATHS.items() if (evidence / path).exists()}
        run, found = self.laid_out(contents, self.changed_log(case, evidence)), copy.deepcopy(predicate)
        if self.draw.random() < 0.5:
            try:
                self.gone_along(run, contents, found)
            except Exception:  # no log any more: the certificate cannot go along
                return self.verified(found, run)
        return self.verified(found, run)

    def verified(self, found: Json, run: Path) -> str:
        verify_certificate(certificate(found), EXPECT, run)
        return "false" if false_claims(found, stored_rows(run)) else "harmless"

    def changed_log(self, case: Case, evidence: Path) -> dict[str, bytes]:
        """The files of a log that is not the bundle's."""
        files, draw = log_files(evidence / "log"), self.draw
        name, other = draw.choice(list(files)), draw.choice(list(files))
        action = draw.choice(["bytes", "swap", "drop", "copy", "rename", "metadata", "head", "again", "again", "again"])
        if action == "bytes":
            files[name] = changed_bytes(draw, files[name])
        elif action == "swap":
            files[name], files[other] = files[other], files[name]
        elif action == "drop":
            del files[name]
        elif action == "copy":
            files[draw.choice(["00000003.parquet", "more.parquet", "00000002.PARQUET"])] = files[name]
        elif action == "rename":
            files[draw.choice(["00000000.parquet", "00000009.parquet", "head.JSON"])] = files.pop(name)
        elif action == "head" and "head.json" in files:
            files["head.json"] = changed_head(draw, files["head.json"])
        elif action == "metadata":
            files |= {name: changed_metadata(draw, content) for name, content in files.items() if name != "head.json"}
        else:
            folder = self.fresh()
            self.write_again(case, evidence, folder)
            files = {name: content for name, content in log_files(folder).items() if not name.startswith("open.")}
        return files

    def write_again(self, case: Case, evidence: Path, folder: Path) -> None:
        """The same people in a log of another writer: other duals, another start, other segments."""
        assert case.log is not None
        draw, columns, log = self.draw, {k: list(v) for k, v in case.columns.items()}, case.log
        action = draw.choice(["duals", "duals", "start", "segments", "algorithm", "system", "people"])
        if action == "duals":
            name, k = draw.choice(log.shared), draw.randrange(len(columns["sex"]))
            value = columns[name][k] + draw.choice([1, 2, 1e-15, -1e-15, 0.1, -1])
            columns[name][k] = int(value) if name == "step" else float(value)
            columns[name] = spread(columns, name, k)
        elif action == "start":
            start = {**log.algorithm["start"], "step": draw.choice([0, 1, 5, -1, True, "0"])}
            texts = [draw.choice(["0x0.0p+0", "0x1p-3", "0x1.0000000000000p-3", "nan"]) for _ in log.rows]
            start |= {"multipliers": texts} if draw.random() < 0.5 else {}
            log = replace(log, algorithm={**log.algorithm, "start": start})
        elif action == "algorithm":
            key = draw.choice(list(log.algorithm))
            new = draw.choice(["0.1", "1", "zero", None, True, [], ["age"], "demographic_parity", 0])
            log = replace(log, algorithm={**log.algorithm, key: new})
        elif action == "people":
            columns = changed_columns(draw, columns)
        else:
            log = replace(log, segment_records=draw.choice([1, 5, 1000])) if action == "segments" else log
            log = replace(log, names_system=not log.names_system) if action == "system" else log
        policy = (evidence / PATHS["policy"]).read_bytes()
        write_log(folder, columns, log, policy, None)

    def tables(self) -> str:
        """Another table under the same policy, before the old certificate, one with new digests, or a new one."""
        case, evidence, predicate = self.pick()
        columns = changed_columns(self.draw, case.columns)
        run = self.fresh()
        policy = evidence.parent / "policy.toml"
        case.ingest(columns, policy, run)
        found = copy.deepcopy(predicate)
        action = self.draw.choice(["old", "digests", "digests", "new", "new"])
        if action == "new":
            found = certify_bundle(run, signer_of(PRIVATE["owner"]), now=ISSUED, serial="new").predicate
        elif action == "digests":
            for item in found["materials"]:
                of_log = item["role"] == "log"
                item["sha256"] = log_head(run / "log") if of_log else digest((run / PATHS[item["role"]]).read_bytes())
                if item["rowCount"] is not None and item["role"] != "multipliers":
                    item["rowCount"] = len(rows_of(replace(case, columns=columns), run))
            for claim in found["claims"]:
                if claim["form"] == "chain":
                    claim["witness"]["head"] = log_head(run / "log")
        verify_certificate(certificate(found), EXPECT, run)
        return "false" if false_claims(found, rows_of(replace(case, columns=columns), run)) else "harmless"

    def policies(self) -> str:
        """The owner's policy changed and certified, or the certificate before the policy of a relying party."""
        case, evidence, predicate = self.pick()
        text = changed_policy(self.draw, case.policy)
        if self.draw.random() < 0.3:
            return self.certified_anew(case, text)
        policy = Policy.parse(text.encode("utf-8", "surrogatepass"))
        verified = Verified(Verdict(predicate["verdict"]), predicate, "owner", None, with_evidence=False)
        result = evaluate(verified, policy, parse_time(NOW))
        outcome = "refused"
        for item, answer in zip(policy.properties, result.properties, strict=False):
            if not answer.verdict:
                continue
            claim = next(claim for claim in predicate["claims"] if claim["id"] == answer.claim)
            demanded = terms_of(item, policy.declared()).to_json()
            # Cells stand in the owner's order of groups, and bounds have the owner's confidence.
            keys = ("threshold", "tau", "minGroupSize", "decisionThreshold", "span")
            witness = layered(boxed(claim["witness"], policy), policy)
            asked = {**claim, **{key: demanded[key] for key in keys}, "witness": witness}
            fixed = ("kind", "form", "map", "metric", "conditionOn", "intersectional")
            about = all(demanded[key] == claim[key] for key in fixed)
            about &= set(demanded["sensitiveFeatures"]) == set(claim["sensitiveFeatures"])
            about &= sorted(demanded["conditions"]) == sorted(set(claim["conditions"]) - {MISSING})
            if claim["form"] == "lipschitz":
                about &= demanded["method"] == claim["method"] and declared(claim["domain"] or [], policy)
            if demanded["confidence"] is not None:
                about &= Fraction(claim["confidence"]) >= Fraction(demanded["confidence"])
            if not about or not holds(asked, predicate, rows_of(case, evidence)):
                return "false"
            outcome = "harmless"
        return outcome

    def certified_anew(self, case: Case, text: str) -> str:
        folder = self.fresh()
        folder.mkdir()
        (folder / "policy.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
        (folder / "model.bin").write_bytes(b"weights")
        case.ingest(case.columns, folder / "policy.toml", folder / "run")
        signer = signer_of(PRIVATE["owner"])
        made = certify_bundle(folder / "run", signer, now=ISSUED, serial="anew")
        verify_certificate(made.content, EXPECT, folder / "run")
        if case.log is not None:
            return "false" if false_claims(made.predicate, rows_of(case, folder / "run")) else "harmless"
        spec = Policy.parse(text.encode()).data
        rows = people_of(case.columns, "test" if spec.split else None)
        names = Policy.parse(text.encode()).predictions
        rows = [{**row, "served": row[names.prediction or names.score or "score"]} for row in rows]
        if names.batch is None:
            size = Policy.parse(text.encode()).serve.batch or len(rows)
            rows = [{**row, "batch": k // size} for k, row in enumerate(rows)]
        return "false" if false_claims(made.predicate, rows) else "harmless"


def boxed(witness: Json, policy: Policy) -> Json:
    """The witness with the box that the relying party asks for."""
    if not isinstance(witness.get("bounds"), dict):
        return witness
    layer = policy.layer
    return {**witness, "bounds": None if layer is None else {"lower": layer.lower, "upper": layer.upper}}


def declared(domain: list[Json], policy: Policy) -> bool:
    """Whether the ranges of numbers are those that the relying party declares."""
    known = {one.column: (one.kind, one.low, one.high) for one in policy.domain}
    numbers = [one for one in domain if one["kind"] != "category"]
    return all(
        known.get(one["column"]) == (one["kind"], Fraction(one["low"]), Fraction(one["high"])) for one in numbers
    )


def layered(witness: Json, policy: Policy) -> Json:
    """The witness with the layer that the relying party describes, if it does."""
    layer = policy.layer
    if layer is None or layer.epsilon is None:
        return witness
    numbers = {"epsilon": layer.epsilon, "lower": layer.lower, "upper": layer.upper}
    described = {name: format_decimal(value) for name, value in numbers.items()}
    if "layer" in witness:
        return {**witness, "layer": described}
    served = witness.get("served")
    return witness if served is None else {**witness, "served": {**served, "layer": described}}


def rows_of(case: Case, run: Path) -> list[Json]:
    """The people of the case; those of a log with its head, as it lies in the bundle."""
    if case.log is None:
        return people_of(case.columns, "test" if "certify" in case.policy else None)
    more = {"algorithm": case.log.algorithm, "head": log_head(run / "log")}
    return [{**row, **more} for row in people_of(as_logged(case.columns, case.log))]


def stored_rows(run: Path) -> list[Json]:
    """The people of a bundle as they stand in its files."""
    rows = bundled_rows(run)
    if not (run / "log").exists():
        return rows
    return [{**logged, **row} for logged, row in zip(logged_rows(run / "log"), rows, strict=True)]


def bundled_rows(run: Path) -> list[Json]:
    data, served = (pq.read_table(run / PATHS[role]).to_pylist() for role in ("data", "predictions"))
    names = {"prediction": "served", "batch_id": "batch"}
    rows = [{**one, **other} for one, other in zip(data, served, strict=True)]
    bare = [{k.removeprefix("feature.").removeprefix("input."): value for k, value in row.items()} for row in rows]
    return [{names.get(k, k): value for k, value in row.items()} for row in bare]


KINDS: dict[str, tuple[int, Callable[[Attacker], str]]] = {
    "certificates": (10, Attacker.certificates),
    "bundles": (4, Attacker.bundles),
    "logs": (4, Attacker.logs),
    "tables": (3, Attacker.tables),
    "policies": (3, Attacker.policies),
}


def attack(job: tuple[int, int]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """One chunk: (seed, attacks) -> counts by (kind, outcome), and reports of what must not happen."""
    seed, count = job
    counts: Counter[tuple[str, str]] = Counter()
    reports = []
    with tempfile.TemporaryDirectory() as folder:
        attacker = Attacker(seed, Path(folder))
        kinds = random.Random(seed).choices(list(KINDS), [weight for weight, _ in KINDS.values()], k=count)
        for number, kind in enumerate(kinds):
            try:
                outcome = KINDS[kind][1](attacker)
            except (UntrustedError, InputError):
                outcome = "refused"
            except Exception:
                outcome = "crashed"
                reports.append(f"{kind}, seed {seed}, attack {number}: {traceback.format_exc(limit=-4)}")
            if outcome == "false":
                reports.append(f"{kind}, seed {seed}, attack {number}: A FALSE CLAIM WAS ACCEPTED")
            counts[kind, outcome] += 1
    return counts, reports


def jobs(seed: int, count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, CHUNK):
        yield seed * 1_000_000 + start, min(CHUNK, count - start)


def main() -> int:
    parser = argparse.ArgumentParser(description="Attacks on the verifier and the gate.")
    parser.add_argument("--count", type=int, default=20_000, help="attacks (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    args = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    start = shown = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=context) as pool:
        for found, reports in pool.map(attack, jobs(args.seed, args.count)):
            counts += found
            for report in reports:
                print(report, flush=True)
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                print(f"{counts.total()} of {args.count} attacks, {shown - start:.0f} s", file=sys.stderr, flush=True)
    print(f"{'':14}{'tried':>8}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES))
    for kind in [*KINDS, "all"]:
        row = [sum(counts[k, outcome] for k in KINDS if kind in (k, "all")) for outcome in OUTCOMES]
        print(f"{kind:14}{sum(row):>8}" + "".join(f"{number:>10}" for number in row))
    bad = {outcome: sum(counts[kind, outcome] for kind in KINDS) for outcome in ("false", "crashed")}
    print(f"false claims accepted: {bad['false']}; {time.monotonic() - start:.0f} s, seed {args.seed}")
    return 1 if any(bad.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
