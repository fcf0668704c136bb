"""One run: a method, a data set and a seed, in a process of its own, which leaves a folder of evidence.

RUN/bundle is what `certify` takes, RUN/claims.json what it would sign, RUN/run.json everything else, with a key of all
that went in: a folder with the same key is not made again. A folder appears whole or not at all.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, final

from certifair import __version__
from certifair.certificate.derive import own_digest
from certifair.compare import methods
from certifair.compare.base import BASE, Case, DataSet, NothingError
from certifair.compare.measure import PROPERTIES, measure
from certifair.compare.methods._common import one_line
from certifair.compare.table import Figure, Run, Status
from certifair.errors import CertifairError
from certifair.evidence.bundle import PATHS
from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.files import write_atomic
from certifair.spec import Json

FORMAT: Final = "certifair-run/0"
PACKAGES: Final = ("torch", "numpy", "scipy", "pulp", "highspy", "fairlearn", "scikit-learn", "fairness_training")
GRACE: Final = 15.0
"""Seconds beside what a run may take: for starting, reading, writing, and the checks that a certificate takes."""


@final
@dataclass(frozen=True, eq=False)
class Job:
    """out: the comparison's folder. seconds: for the method; proving: for proofs about what it made."""

    data: DataSet
    method: str
    seed: int
    out: Path
    seconds: float
    proving: float

    @property
    def name(self) -> str:
        """The run's folder, relative to the comparison's."""
        safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.data.name)
        return f"runs/{safe}/{self.method}-{self.seed}"

    @property
    def limit(self) -> float:
        """When its process is ended, in seconds from its start."""
        return self.seconds + self.proving + GRACE

    @property
    def base(self) -> Path:
        """The network that others start from."""
        first = dataclasses.replace(self, method=BASE, seed=self.seed)
        return self.out / first.name / "bundle" / PATHS["model"]

    @property
    def key(self) -> str:
        """The digest of all that a run depends on."""
        return sha256(
            canonical(
                {
                    "set": self.data.digest,
                    "method": self.method,
                    "seed": self.seed,
                    "seconds": repr(self.seconds),
                    "proving": repr(self.proving),
                    "certifair": own_digest(),
                    "versions": versions(),
                }
            )
        )


def versions() -> dict[str, str]:
    """Of certifair and what may take part; packages that are absent are left out."""
    found = {"certifair": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def earlier(job: Job) -> Run | None:
    """What an earlier call found, if it is still about the same."""
    path = job.out / job.name / "run.json"
    try:
        document = json.loads(path.read_bytes())
        return _run(document) if document["format"] == FORMAT and document["key"] == job.key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def work(job: Job) -> None:
    """Everything, in this process; the folder is what comes of it."""
    started = time.monotonic()
    folder = job.out / job.name
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    method = methods.get(job.method)
    try:
        base = job.base.read_bytes() if method.needs_base and job.base.exists() else None
        case = Case(job.data, job.method, job.seed, started + job.seconds, base)
        made = method.make(case, draft / "bundle")
        found = measure(draft / "bundle", made, per_person=method.per_person, seconds=job.proving)
        write_atomic(draft / "claims.json", json.dumps(found.claims, indent=1).encode())
        done = _told(job, "done", "", found.figures, made.solver, made.note, time.monotonic() - started)
    except NothingError as error:
        done = nothing(job, _status(error.status), str(error), time.monotonic() - started)
    except CertifairError as error:
        done = nothing(job, "failed", one_line(str(error)), time.monotonic() - started)
    except Exception as error:
        done = nothing(job, "crashed", one_line(f"{type(error).__name__}: {error}"), time.monotonic() - started)
    if done.status != "done":
        shutil.rmtree(draft / "bundle", ignore_errors=True)
    write(job, done, draft)


def write(job: Job, run: Run, draft: Path | None = None) -> None:
    """The run's folder, in place of an earlier one. draft: what else belongs into it."""
    folder = job.out / job.name
    if draft is None:  # what a process that was ended has left is nobody's evidence
        draft = folder.with_name(f".{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    document = {"format": FORMAT, "key": job.key, **dataclasses.asdict(run)}
    write_atomic(draft / "run.json", json.dumps(document, indent=1).encode() + b"\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(draft, folder)  # noqa: PTH105 — of folders


def nothing(job: Job, status: Status, reason: str, seconds: float) -> Run:
    """A run without figures; every property says why."""
    figures = tuple(Figure(item.name, None, verdict="", reason=reason) for item in PROPERTIES)
    return _told(job, status, reason, figures, "", "", seconds)


def _told(
    job: Job, status: Status, reason: str, figures: tuple[Figure, ...], solver: str, note: str, seconds: float
) -> Run:
    return Run(
        data=job.data.name,
        method=job.method,
        seed=job.seed,
        status=status,
        reason=reason,
        figures=figures,
        solver=solver,
        note=note,
        versions=versions(),
        seconds=round(seconds, 2),
        folder=job.name,
    )


def _status(text: str) -> Status:
    known: tuple[Status, ...] = ("infeasible", "time limit", "failed", "does not apply")
    return next((status for status in known if status == text), "failed")


def _run(document: Json) -> Run:
    names = [field.name for field in dataclasses.fields(Run)]
    figures = tuple(Figure(**figure) for figure in document["figures"])
    return Run(**{**{name: document[name] for name in names}, "figures": figures})
