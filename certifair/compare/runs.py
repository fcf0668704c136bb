"""One run: a method, a data set and a seed, in a process of its own, which leaves a folder of evidence.

RUN/bundle is what `certify` takes, RUN/claims.json what it would sign, RUN/run.json everything else, with a key of all
that went in: a folder with the same key is not made again, unless something failed that may not fail again. A folder
appears whole or not at all.
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
from certifair.compare.measure import measure
from certifair.compare.methods._common import one_line
from certifair.compare.properties import PROPERTIES
from certifair.compare.table import Figure, Run, Status
from certifair.errors import CertifairError
from certifair.evidence.bundle import PATHS, load, read_contents
from certifair.evidence.canonical import canonical, sha256
from certifair.evidence.files import write_atomic
from certifair.spec import Json

FORMAT: Final = "certifair-run/0"
PACKAGES: Final = ("torch", "numpy", "scipy", "pulp", "highspy", "fairlearn", "scikit-learn", "fairness_training")
PROVING: Final = 0.2
"""The part of a run's time that is for proofs about what the method made."""
GRACE: Final = 30.0
"""Seconds beside what a run may take: for starting, reading, writing, and the checks that a certificate takes."""
KEPT: Final = ("done", "infeasible", "time limit", "does not apply")
"""What the same question would be answered again; a failure or a crash may have had other reasons."""


@final
@dataclass(frozen=True, eq=False)
class Job:
    """out: the comparison's folder. seconds: for all of it. base_seed: whose network of BASE it starts from."""

    data: DataSet
    method: str
    seed: int
    out: Path
    seconds: float
    base_seed: int

    @property
    def name(self) -> str:
        """The run's folder, relative to the comparison's."""
        return f"runs/{folder_name(self.data)}/{self.method}-{self.seed}"

    @property
    def limit(self) -> float:
        """When its process is ended, in seconds from its start."""
        return self.seconds + GRACE

    @property
    def base(self) -> Job:
        """The run whose network this one starts from."""
        return dataclasses.replace(self, method=BASE, seed=self.base_seed)

    def base_network(self) -> bytes | None:
        """None where the method needs none, or there is none yet."""
        path = self.out / self.base.name / "bundle" / PATHS["model"]
        return path.read_bytes() if methods.get(self.method).needs_base and path.exists() else None

    def key(self) -> str:
        """The digest of all that a run depends on; known once the network to start from is there."""
        base = self.base_network()
        return sha256(
            canonical(
                {
                    "set": self.data.digest,
                    "method": self.method,
                    "seed": self.seed,
                    "seconds": repr(self.seconds),
                    "base": None if base is None else sha256(base),
                    "certifair": own_digest(),
                    "versions": versions(),
                }
            )
        )


def folder_name(data: DataSet) -> str:
    """A data set's name as every file system takes it; no dots, as ".." is another folder."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in data.name)


def versions() -> dict[str, str]:
    """Of certifair and what may take part; packages that are absent are left out."""
    found = {"certifair": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def kept(job: Job, key: str) -> Run | None:
    """What an earlier call found, if it is about the same, and would be found again."""
    run = read(job, key)
    if run is None or run.status not in KEPT:
        return None
    return run if run.status != "done" or _is_whole(job.out / job.name) else None


def _is_whole(folder: Path) -> bool:
    """Whether the evidence is what it was when the run ended."""
    try:
        load(read_contents(folder / "bundle"), "a bundle")
        return bool(json.loads((folder / "run.json").read_bytes())["evidence"] == _digests(folder))
    except (CertifairError, OSError, ValueError, KeyError, TypeError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    """Of the claims, and of what names all files of the bundle; nothing where there is nothing."""
    paths = ("claims.json", "bundle/manifest.json")
    return {path: sha256((folder / path).read_bytes()) for path in paths if (folder / path).exists()}


def read(job: Job, key: str | None = None) -> Run | None:
    """What is in the job's folder, if it has this key."""
    path = job.out / job.name / "run.json"
    try:
        document = json.loads(path.read_bytes())
        return _run(document) if document["format"] == FORMAT and key in (None, document["key"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def work(job: Job, key: str) -> None:
    """Everything, in this process; the folder is what comes of it."""
    started = time.monotonic()
    draft = begin(job)
    try:
        done = _answered(job, draft, started)
    except NothingError as error:
        done = nothing(job, error.status, str(error), time.monotonic() - started)
    except CertifairError as error:
        done = nothing(job, "failed", _within(draft, str(error)), time.monotonic() - started)
    except Exception as error:
        done = nothing(job, "crashed", _within(draft, f"{type(error).__name__}: {error}"), time.monotonic() - started)
    if done.status != "done":
        shutil.rmtree(draft / "bundle", ignore_errors=True)
    write(job, key, done, draft)


def _answered(job: Job, draft: Path, started: float) -> Run:
    """Let the method answer, look at what it made. Raises NothingError."""
    method, base = methods.get(job.method), job.base_network()
    if method.needs_base and base is None:
        first = read(job.base)
        why = "did not run" if first is None else f"gave none ({first.status}: {first.reason})"
        raise NothingError("failed", one_line(f"there is no network to start from: {BASE} {why}"))
    case = Case(job.data, job.method, job.seed, started + (1 - PROVING) * job.seconds, base)
    made = method.make(case, draft / "bundle")
    found = measure(draft / "bundle", made, per_person=method.serves_alone(job.data), seconds=PROVING * job.seconds)
    write_atomic(draft / "claims.json", json.dumps(found.claims, indent=1).encode())
    done = _told(job, "done", "", found.figures, time.monotonic() - started)
    return dataclasses.replace(done, solver=made.solver, note=made.note, caution=found.caution)


def _within(draft: Path, text: str) -> str:
    """A reason in one line, without the draft's name, which is another one each time."""
    return one_line(text.replace(f"{draft}/", ""))


def begin(job: Job) -> Path:
    """An empty draft of the run's folder: what a process that was ended has left is nobody's evidence.

    Its name is this process's own: one that is about to end still, with its comparison, finds that its draft is gone.
    """
    folder = job.out / job.name
    for left in folder.parent.glob(f".{folder.name}.*.draft"):
        shutil.rmtree(left, ignore_errors=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.draft")
    draft.mkdir(parents=True)
    return draft


def write(job: Job, key: str, run: Run, draft: Path) -> None:
    """The draft becomes the run's folder, in place of an earlier one."""
    folder = job.out / job.name
    document = {"format": FORMAT, "key": key, "evidence": _digests(draft), **dataclasses.asdict(run)}
    write_atomic(draft / "run.json", json.dumps(document, indent=1).encode() + b"\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(draft, folder)  # noqa: PTH105 — of folders


def nothing(job: Job, status: Status, reason: str, seconds: float) -> Run:
    """A run without figures; every property says why."""
    figures = tuple(Figure(item.name, None, verdict="", reason=reason) for item in PROPERTIES)
    return _told(job, status, reason, figures, seconds)


def _told(job: Job, status: Status, reason: str, figures: tuple[Figure, ...], seconds: float) -> Run:
    return Run(
        data=job.data.name,
        method=job.method,
        seed=job.seed,
        status=status,
        reason=reason,
        figures=figures,
        solver="",
        note="",
        versions=versions(),
        seconds=round(seconds, 2),
        folder=job.name,
    )


def _run(document: Json) -> Run:
    names = [field.name for field in dataclasses.fields(Run)]
    figures = tuple(Figure(**figure) for figure in document["figures"])
    return Run(**{**{name: document[name] for name in names}, "figures": figures})
