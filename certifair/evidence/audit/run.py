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
from certifair.evidence.audit.engines.base import Engine
from certifair.evidence.audit.judge import Finding, judge
from certifair.evidence.audit.parts import Inspected, inspect, parts_of
from certifair.evidence.audit.plan import Asked, Plan, plan, terms, unexpected
from certifair.evidence.audit.sources import Digests, Sources, find
from certifair.evidence.audit.tally import Tally, evidence_bytes
from certifair.spec import Json
from certifair.spec.policy import Policy
from certifair.spec.verdict import Verdict

if TYPE_CHECKING:
    from certifair.evidence.log.reader import OpenHead

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
    if not sources.files:
        raise InputError("holds no finished segment", where=str(sources.logs[0]), advice="audit it when one is written")
    inspected = [inspect(file) for file in sources.files]
    made = plan(inspected, asked or Asked(), policy, where)
    parts = parts_of(inspected, made.mapping)
    logs = [_chain(folder, open_head) for folder in sources.logs]
    with engines.start(engine) as running, Digests(sources.files) as digests:
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
    evidence = evidence_bytes(tally, made.mapping, sha256, logs)
    return Audit(
        made, tally, evidence, findings, verdict, tuple(_notes(sources, inspected, made, signed=open_head is not None))
    )


def _chain(folder: Path, open_head: OpenHead | None) -> Json:
    """A log's own digests, recomputed. Raises UntrustedError where they do not hold."""
    from certifair.evidence.log.reader import whole_log

    log = whole_log(folder, open_head)
    state = log.state
    return {
        "path": str(folder),
        "id": state.log,
        "segments": state.segments,
        "records": state.records,
        "head": state.head,
    }


def _notes(sources: Sources, inspected: Sequence[Inspected], made: Plan, *, signed: bool) -> Iterator[str]:
    if made.ignored:
        yield f"{made.ignored} of the policy's properties are no pooled aggregates: an audit does not judge them"
    for folder in sources.logs:
        if (folder / "open.sqlite").exists():
            yield f"{folder}: what its writer has not sealed yet is not counted"
        who = "its head is signed by the given key" if signed else "who signed its head was not asked (--public-key)"
        yield f"{folder}: its chain holds; {who}"
    known = set(sources.logs)
    alone = [file.source.path for file in inspected if file.own and Path(file.source.path).parent not in known]
    if alone:
        more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        yield f"{alone[0]}{more}: segments of a log whose chain was not checked; name the log's folder"
