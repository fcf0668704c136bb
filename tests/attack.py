"""Attacks on the verifier and the gate by the ten thousands: `make attack`, or `python tests/attack.py --count N`.

Four kinds: certificates mutated and signed again by the trusted key, before the true bundle; bundles with changed
bytes; tables changed and ingested again; policies, the owner's and those of a gate. An acceptance is harmless if every
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
from certifair.gate.evaluate import evaluate  # noqa: E402
from certifair.spec.policy import Policy  # noqa: E402
from certifair.spec.terms import terms_of  # noqa: E402
from certifair.spec.verdict import Verdict  # noqa: E402
from tests.golden.cases import CASES, ISSUED, NOW, PRIVATE, Case, pinned  # noqa: E402
from tests.golden.forge import certificate, digest, seal  # noqa: E402
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

    def pick(self) -> tuple[Case, Path, Json]:
        return self.built[self.draw.choice(list(self.built))]

    def certificates(self) -> str:
        """A mutated certificate, signed again, with the evidence at hand."""
        case, evidence, predicate = self.pick()
        mutated = self.mutator.mutated(predicate)
        verify_certificate(seal(payload(mutated)), EXPECT, evidence)
        accepted = mutated["predicate"]
        return "false" if harm(predicate, accepted) or false_claims(accepted, rows_of(case)) else "harmless"

    def bundles(self) -> str:
        """Bytes of one file of the bundle changed; half of the time manifest and certificate go along with it."""
        _, evidence, predicate = self.pick()
        contents = {role: (evidence / path).read_bytes() for role, path in PATHS.items() if (evidence / path).exists()}
        role = self.draw.choice(list(contents))
        contents[role] = changed_bytes(self.draw, contents[role])
        found = copy.deepcopy(predicate)
        if self.draw.random() < 0.5 and role != "manifest":
            exclusions = json.loads(contents["manifest"])["exclusions"]
            try:
                contents["manifest"] = manifest_of(contents, exclusions)
            except Exception:  # not even Parquet: leave the manifest as it was
                contents["manifest"] += b" "
            for item in found["materials"]:
                item["sha256"] = digest(contents[item["role"]])
            found["policy"]["sha256"] = digest(contents["policy"])
        run = self.fresh()
        run.mkdir()
        for name, content in contents.items():
            (run / PATHS[name]).write_bytes(content)
        verify_certificate(certificate(found), EXPECT, run)
        return "false" if false_claims(found, stored_rows(run)) else "harmless"

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
                content = (run / PATHS[item["role"]]).read_bytes()
                item["sha256"] = digest(content)
                if item["rowCount"] is not None and item["role"] != "multipliers":
                    item["rowCount"] = len(rows_of(replace(case, columns=columns)))
        verify_certificate(certificate(found), EXPECT, run)
        return "false" if false_claims(found, rows_of(replace(case, columns=columns))) else "harmless"

    def policies(self) -> str:
        """The owner's policy changed and certified, or the certificate before the policy of a relying party."""
        case, _, predicate = self.pick()
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
            asked = {
                **claim,
                **{key: demanded[key] for key in ("threshold", "tau", "minGroupSize", "decisionThreshold")},
            }
            fixed = ("kind", "form", "map", "metric", "conditionOn", "intersectional")
            about = all(demanded[key] == claim[key] for key in fixed)
            about &= set(demanded["sensitiveFeatures"]) == set(claim["sensitiveFeatures"])
            about &= sorted(demanded["conditions"]) == sorted(set(claim["conditions"]) - {MISSING})
            if demanded["confidence"] is not None:
                about &= Fraction(claim["confidence"]) >= Fraction(demanded["confidence"])
            if not about or not holds(asked, predicate, rows_of(case)):
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
        spec = Policy.parse(text.encode()).data
        rows = people_of(case.columns, "test" if spec.split else None)
        names = Policy.parse(text.encode()).predictions
        rows = [{**row, "served": row[names.prediction or names.score or "score"]} for row in rows]
        if names.batch is None:
            size = Policy.parse(text.encode()).serve.batch or len(rows)
            rows = [{**row, "batch": k // size} for k, row in enumerate(rows)]
        return "false" if false_claims(made.predicate, rows) else "harmless"


def rows_of(case: Case) -> list[Json]:
    return people_of(case.columns, "test" if "certify" in case.policy else None)


def stored_rows(run: Path) -> list[Json]:
    """The people of a bundle as they stand in its files."""
    data, served = (pq.read_table(run / PATHS[role]).to_pylist() for role in ("data", "predictions"))
    names = {"prediction": "served", "batch_id": "batch"}
    rows = [{**one, **other} for one, other in zip(data, served, strict=True)]
    bare = [{k.removeprefix("feature.").removeprefix("input."): value for k, value in row.items()} for row in rows]
    return [{names.get(k, k): value for k, value in row.items()} for row in bare]


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


def changed_columns(draw: random.Random, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    found = {name: list(values) for name, values in columns.items()}
    n = len(found["sex"])
    for _ in range(draw.choice((1, 1, 2, 20))):
        i, j = draw.randrange(n), draw.randrange(n)
        name = draw.choice(["sex", "sex", "served", "served", "score", "label", "batch", "region", "age"])
        action = draw.choice(["swap", "copy", "nudge", "nudge"])
        if action == "swap":
            found[name][i], found[name][j] = found[name][j], found[name][i]
        elif action == "copy":
            found[name][i] = found[name][j]
        elif name in ("served", "score"):
            found[name][i] += draw.choice([1e-17, 1e-9, 0.01, -0.01, 0.3, -0.3, 5e-324, 1e300, -1.0])
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
            "kind": ['"feasibility"', '"population"', '"replay"'],
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
            lines.insert(k + 1, draw.choice([*extra, 'map = "decisions"', 'map = "scores"']))
        else:
            lines[k] = f"{key} = {draw.choice(new)}"
    return "\n".join(lines)


KINDS: dict[str, tuple[int, Callable[[Attacker], str]]] = {
    "certificates": (10, Attacker.certificates),
    "bundles": (4, Attacker.bundles),
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
