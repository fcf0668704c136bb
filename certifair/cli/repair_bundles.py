"""What `repair` hands to others: evidence of the network before and after, with proofs, and certificates of both."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from certifair.certificate.certify import certify_bundle
from certifair.certificate.sign import load_signer
from certifair.cli.options import now_of, passphrase
from certifair.errors import InputError
from certifair.evidence.files import beside, reason, rename, write_atomic
from certifair.evidence.network_bundle import bundle_network
from certifair.evidence.proofs import add_proofs
from certifair.evidence.rows_file import ROW_ID
from certifair.evidence.tables import texts
from certifair.exact.decimals import format_decimal, outward, parse_decimal
from certifair.spec.network import Activation, Network
from certifair.spec.printable import printable
from certifair.spec.toml_reader import nearest, unit

if TYPE_CHECKING:
    import pyarrow as pa

    from certifair.cli.repair_input import Given
    from certifair.repair.api import Outcome
    from certifair.spec.domain import Domain, Feature

ROWS, DOMAIN = "rows", "domain"
"""The ids of the two properties."""
MANY: Final = 50
"""Values that a column of groups may have."""


@final
@dataclass(frozen=True)
class _Policy:
    """What the policies of both bundles say alike. demand: share of the domain; None: nothing is asked of it."""

    name: str
    domain: Domain
    label: str | None
    row_id: str | None
    groups: Mapping[str, Sequence[str]]
    threshold: str
    demand: str | None

    def text(self, version: str) -> str:
        """The file. Names are quoted as TOML basic strings, which JSON's are."""
        features = self.domain.features
        lines = ["[data]", f"inputs = {_quoted([feature.name for feature in features])}"]
        lines += [f"{key} = {_quoted(x)}" for key, x in (("id", self.row_id), ("label", self.label)) if x]
        lines += [f"sensitive_features = {_quoted(list(self.groups))}", "", "[data.values]"]
        lines += [f"{_quoted(name)} = {_quoted(list(values))}" for name, values in self.groups.items()]
        lines += ["", "[system]", f"name = {_quoted(self.name)}", f"version = {_quoted(version)}"]
        lines += ["", "[serve]", f"threshold = {self.threshold}", "", "[domain]"]
        lines += [f"{_quoted(feature.name)} = {_range(feature)}" for feature in features if feature.kind != "one_hot"]
        for name, share in ((ROWS, "1"), (DOMAIN, self.demand)):
            if share is None:
                continue
            lines += ["", "[[property]]", f"id = {_quoted(name)}", 'kind = "individual"', f"form = {_quoted(name)}"]
            lines += [f"sensitive_features = {_quoted([f.name for f in features if f.sensitive])}", f"share = {share}"]
            relaxed = [f"{_quoted(f.name)} = {_decimal(f.eps, 1)}" for f in features if f.eps]
            lines += [f"relaxed = {{ {', '.join(relaxed)} }}"] if relaxed else []
        return "\n".join([*lines, ""])


@final
@dataclass(frozen=True, eq=False)
class Bundles:
    """A folder that becomes `out` when all is in it. where: what errors call the table. signer: None where nothing is
    signed.
    """

    folder: Path
    out: Path
    about: Given
    where: str
    policy: _Policy
    signer: Any
    now: datetime

    def complete(self, found: Outcome) -> list[str]:
        """The evidence after, all proofs, and both certificates if there is a key; a line for each.

        A proof is about a decision, not about where it was found: so those of the rows and the domain are put into the
        bundles as they are. Raises InputError.
        """
        assert found.content is not None
        assert found.after is not None
        self.add("after", f"repaired by {found.method}", found.content)
        for name, proven in (("before", found.before), ("after", found.after)):
            about = {ROWS: proven.rows, DOMAIN: proven.domain}
            plain = replace(self.policy.domain, name="inputs")  # as a bundle's domain is called
            kept = {key: replace(proof.witness, domain=plain) for key, proof in about.items() if proof is not None}
            add_proofs(self.folder / name, kept)
        told = [] if self.signer is None else self._certificates()
        return [f"{self.out}: evidence of before and after", *told]

    def publish(self) -> None:
        """The folder gets its name. Raises InputError."""
        rename(self.folder, self.out)

    def add(self, name: str, version: str, content: bytes) -> None:
        """The evidence of one network, without proofs."""
        path, about = self.folder / f"{name}.toml", self.about
        write_atomic(path, self.policy.text(version).encode())
        bundle_network(about.table, path, self.folder / name, content, about.domain, about.kept, self.where)
        path.unlink()

    def _certificates(self) -> list[str]:
        """Both, in the folder; the later one supersedes the other."""
        told: list[str] = []
        supersedes = None
        for name in ("before", "after"):
            serial = str(uuid.uuid4())
            made = certify_bundle(self.folder / name, self.signer, now=self.now, serial=serial, supersedes=supersedes)
            write_atomic(self.folder / f"{name}.certificate.json", made.content)
            more = "" if supersedes is None else f", supersedes {supersedes}"
            told.append(f"{self.out / name}.certificate.json: {made.predicate['verdict']}, serial {serial}{more}")
            told.append("  " + ", ".join(f"{claim['id']} {claim['verdict']}" for claim in made.predicate["claims"]))
            supersedes = serial
        return told


@contextlib.contextmanager
def opened(args: argparse.Namespace, about: Given) -> Iterator[Bundles]:
    """With the evidence of the network as it is: what is wrong with it, or the key, is known before the work.

    Nothing is left of the folder if it is not published. Raises InputError.
    """
    out: Path = args.bundles
    folder = beside(out)
    signer = None if args.key is None else load_signer(args.key, passphrase())
    bundles = Bundles(folder, out, about, str(args.rows), _policy(args, about), signer, now_of(args))
    try:
        folder.mkdir()
    except OSError as error:
        raise InputError(f"cannot be written ({reason(error)})", where=str(out)) from None
    try:
        bundles.add("before", "before the repair", about.model)
        yield bundles
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _policy(args: argparse.Namespace, about: Given) -> _Policy:
    try:
        demand = format_decimal(unit(args.demand))
    except ValueError as error:
        raise InputError(f"= {args.demand} is not {error}", where="--demand") from None
    return _Policy(
        name=printable(args.model.stem).strip() or "network",
        domain=about.domain,
        label=about.label,
        row_id=ROW_ID if ROW_ID in about.table.column_names else None,
        groups=_groups(args.groups, about.domain, about.table, str(args.rows)),
        threshold=threshold_of(about.network),
        demand=demand if args.domain_time else None,
    )


def _groups(named: Sequence[str] | None, domain: Domain, table: pa.Table, where: str) -> dict[str, Sequence[str]]:
    """The groups whose figures a certificate lists, by column: those named, or the sensitive features that can be some.

    Errors: InputError where there are none, or too many.
    """
    known = {feature.name: feature for feature in domain.features}
    found: dict[str, Sequence[str]] = {}
    for name in [feature.name for feature in domain.features if feature.sensitive] if named is None else named:
        if name in known and known[name].kind == "one_hot":
            found[name] = known[name].values
            continue
        if name not in table.column_names:
            raise InputError(f"has no column {name!r}", where=where, advice=nearest(name, table.column_names))
        try:
            found[name] = sorted(filter(None, texts(table[name], name, where).dictionary.to_pylist()))
        except InputError:
            if named is not None:
                raise
    for name in [name for name, values in found.items() if len(values) > MANY]:
        if named is not None:
            what = f"has {len(found[name])} values in {name!r}, which are no groups"
            raise InputError(what, where=where, advice=f"name columns with at most {MANY} values")
        del found[name]
    if not found:
        what = f"has no sensitive feature with at most {MANY} values, whose groups a certificate lists"
        raise InputError(what, where=where, advice="name a column with --groups")
    return found


def threshold_of(network: Network) -> str:
    """What a score is compared with: 1/2 where the network ends in a sigmoid, else 0 (certificates/README.md 9.11)."""
    last = network.steps[network.output - 1] if network.output else None
    return "0.5" if isinstance(last, Activation) and last.kind == "sigmoid" else "0"


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _range(feature: Feature) -> str:
    low, high = _decimal(feature.low, -1), _decimal(feature.high, 1)
    return f"{{ kind = {_quoted(feature.kind)}, low = {low}, high = {high} }}"


def _decimal(end: float, direction: int) -> str:
    """A short decimal of which this is the nearest float64 not inside: what somebody may have written."""
    for near in (end, math.nextafter(end, -direction * math.inf)):
        text = format_decimal(Fraction(repr(near)))
        if outward(parse_decimal(text), direction) == end:
            return text
    return format_decimal(Fraction(end))
