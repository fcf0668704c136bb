"""The proofs in a bundle: `witness/proofs.json`, a witness a property (certificates/README.md 13).

Those of individual properties are trees or rows (`evidence.witness`), those of Lipschitz properties multipliers
(`spec.lipschitz`); the format of each says which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from certifair.errors import InputError
from certifair.evidence.bundle import PATHS, load, manifest_of, read_bundle_log, read_contents
from certifair.evidence.canonical import canonical, strict_json
from certifair.evidence.files import write_atomic
from certifair.evidence.witness import Witness, read_witness, write_witness
from certifair.spec import Json, lipschitz

FORMAT: Final = "certifair-witnesses/0"
Proof = Witness | lipschitz.Witness


def write_proofs(proofs: Mapping[str, Proof]) -> bytes:
    """The file, from witnesses by the id of their property."""
    documents = {name: _document(proofs[name]) for name in sorted(proofs)}
    content = {"format": FORMAT, "witnesses": documents}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def read_proofs(content: bytes, where: str) -> dict[str, Proof]:
    """The inverse. Raises InputError naming the property."""
    try:
        document = json.loads(content)
        if document["format"] != FORMAT or document.keys() != {"format", "witnesses"}:
            raise ValueError(f"is not of the format {FORMAT}")
        documents = dict(document["witnesses"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"holds no proofs: {str(error)[:200]}", where=where) from None
    return {name: _proof(item, f"{where}, {name!r}") for name, item in documents.items()}


def _document(proof: Proof) -> Json:
    if isinstance(proof, lipschitz.Witness):
        return lipschitz.witness_to_json(proof)
    found: Json = json.loads(write_witness(proof))
    return found


def _proof(document: Any, where: str) -> Proof:
    if not isinstance(document, Mapping) or document.get("format") != lipschitz.FORMAT:
        return read_witness(json.dumps(document).encode(), where)
    try:
        return lipschitz.witness_from_json(document)
    except ValueError as error:
        raise InputError(str(error), where=where) from None


def add_proofs(root: Path, proofs: Mapping[str, Proof]) -> None:
    """Put proofs into a bundle; those of other properties stay. Raises InputError for what is no coherent bundle.

    The manifest is written last: a bundle in between is incoherent, and putting them in again mends it.
    """
    contents, log = read_contents(root), read_bundle_log(root)
    earlier = contents.pop("witness", None)
    manifest = strict_json(contents["manifest"])
    assert isinstance(manifest, dict)
    listed = [entry for entry in manifest["files"] if entry["role"] != "witness"]
    contents["manifest"] = canonical({**manifest, "files": listed})
    exclusions = load(contents, str(root), log).exclusions
    known = {} if earlier is None else read_proofs(earlier, PATHS["witness"])
    contents["witness"] = write_proofs(known | dict(proofs))
    path = root / PATHS["witness"]
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, contents["witness"])
    write_atomic(root / PATHS["manifest"], manifest_of(contents, exclusions, log))
