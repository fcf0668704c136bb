"""The audit of a log: files, engine, digests beside it, one tally, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from certifair.errors import InputError
from certifair.evidence.audit import engines
from certifair.evidence.audit.count import Counter
from certifair.evidence.audit.digests import Digests
from certifair.evidence.audit.engines.base import Engine
from certifair.evidence.audit.judge import Finding, judge
from certifair.evidence.audit.parts import Inspected, digests_of, inspect, inspect_log, parts_of
from certifair.evidence.audit.plan import Asked, Plan, plan, terms, unexpected
from certifair.evidence.audit.sources import Folder, find
from certifair.evidence.audit.tally import Tally, evidence_bytes
from certifair.spec import Json
from certifair.spec.policy import Policy
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.log.reader import Log, OpenHead

Watch = Callable[[Digests, Engine], AbstractContextManager[None]]


@final
@dataclass(frozen=True)
class Audit:
    """The tally, its evidence in RFC 8785 JSON (the same from every engine), and the findings.

    `verdict` is None without a policy. `notes` say what was not looked at.
    """

    plan: Plan
    tally: Tally
    evidence: bytes
    findings: tuple[Finding, ...]
    verdict: Verdict | None
    notes: tuple[str, ...]


def audit(
    names: Sequence[str],
    asked: Asked | None = None,
    policy: Policy | None = None,
    *,
    where: str = "policy",
    engine: str = "duckdb",
    watch: Watch | None = None,
    open_head: OpenHead | None = None,
) -> Audit:
    """Count every row of the files, folders and globs, and judge the pooled properties of the policy, if there is one.

    `where` names the policy in errors; `watch` is entered while the files are read; `open_head` verifies the signature
    of a log's head. Raises InputError, and UntrustedError for a log of certifair whose chain is broken.
    """
    sources = find(names)
    if open_head is not None and not sources.logs:
        advice = "name the folder of the log whose head it signs"
        raise InputError("is given, but there is no folder of a log", where="--public-key", advice=advice)
    if not sources.everything:
        where_empty = str(sources.logs[0].path)
        raise InputError("holds no finished segment", where=where_empty, advice="audit it when one is written")
    states = Digests(sources.files, [segment for folder in sources.logs for segment in folder.segments])
    logs = [_chain(folder, open_head) for folder in sources.logs]
    inspected = [*(inspect(file) for file in sources.files), *map(inspect_log, sources.logs, logs)]
    _refuse_twice(inspected, logs, judged=policy is not None)
    made = plan(inspected, asked or Asked(), policy, where)
    parts = parts_of(inspected, made.mapping)
    with engines.start(engine) as running, states as digests:
        for folder, log in zip(sources.logs, logs, strict=True):
            digests.know(digests_of(folder, log))
        with watch(digests, running) if watch is not None else nullcontext():
            counter = Counter(running, parts, made.mapping, made.thresholds)
            tally = counter.tally(strict=policy is not None)
            sha256 = digests.result()
        wrong = unexpected(made, tally) if policy is not None else None
        if wrong is not None:
            key, value, what = wrong
            advice = "declare it under [data.values], or correct the log"
            raise InputError(what, where=counter.file_with(key, value), advice=advice)
    findings = tuple(judge(item, tally, demanded=policy is not None) for item in terms(made, tally))
    verdict = None if policy is None else Verdict.all(item.verdict for item in findings if item.verdict is not None)
    evidence = evidence_bytes(tally, made.mapping, sha256, [_told(log) for log in logs])
    notes = tuple(_notes(logs, inspected, made, signed=open_head is not None))
    return Audit(made, tally, evidence, findings, verdict, notes)


def _chain(folder: Folder, open_head: OpenHead | None) -> Log:
    """A log whose digests were recomputed. Raises UntrustedError where they do not hold."""
    from certifair.evidence.log.reader import whole_log

    return whole_log(folder.path, open_head)


def _refuse_twice(inspected: Sequence[Inspected], logs: Sequence[Log], *, judged: bool) -> None:
    """Nobody is counted twice, and no verdict rests on segments whose chain nobody checked. Raises InputError."""
    seen: dict[str, Path] = {}
    for log in logs:
        first = seen.setdefault(log.header.id, log.folder)
        if first != log.folder:
            what = f"is the log {log.header.id!r}, as {str(first)!r} is"
            raise InputError(what, where=str(log.folder), advice="name one of them")
    headers = {log.header.to_bytes(): log.folder for log in logs}
    for file in inspected:
        if file.log is None and file.header in headers:
            what = f"is a segment of the log in {str(headers[file.header])!r}, which is read whole"
            raise InputError(what, where=file.source.path, advice="leave it out")
        if file.log is None and file.segment and judged:
            advice = "name the log's folder, so that its chain is checked"
            raise InputError("is a single segment of a log", where=file.source.path, advice=advice)


def _told(log: Log) -> Json:
    state = log.state
    return {
        "path": str(log.folder),
        "id": state.log,
        "segments": state.segments,
        "records": state.records,
        "head": state.head,
    }


def _notes(logs: Sequence[Log], inspected: Sequence[Inspected], made: Plan, *, signed: bool) -> Iterator[str]:
    if made.ignored:
        yield f"{made.ignored} of the policy's properties are no pooled aggregates: an audit does not judge them"
    for log in logs:
        if (log.folder / "open.sqlite").exists():
            yield f"{log.folder}: what its writer has not sealed yet is not counted"
        who = "its head is signed by the given key" if signed else "who signed its head was not asked (--public-key)"
        if log.statement is None:
            who = "nobody signed it: segments missing at its end would not be noticed"
        yield f"{log.folder}: its chain holds; {who}"
    alone = [file.source.path for file in inspected if file.own and file.log is None]
    if alone:
        more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        yield f"{alone[0]}{more}: segments of a log whose chain was not checked; name the log's folder"
