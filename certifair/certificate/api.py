"""Certify and verify from Python: `certifair.certify` and `certifair.verify`, with paths, and the clock by default."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certifair.certificate.keys import PinnedKey, load_public_keys
from certifair.certificate.times import now_or
from certifair.certificate.verify import Expectations, Verified, verify_certificate
from certifair.evidence.canonical import sha256
from certifair.evidence.files import read_input

if TYPE_CHECKING:
    from certifair.certificate.certify import Certified

PathLike = str | os.PathLike[str]


def certify(
    run: PathLike, key: PathLike, *, now: datetime | None = None, serial: str | None = None, **options: Any
) -> Certified:
    """Check the bundle `run` by its own policy and sign what was found with the private key file `key`.

    `options` are those of `certify_bundle`: valid_days, supersedes, registration. A locked key is opened by
    `CERTIFAIR_PASSPHRASE`. Raises InputError. Write `content` of the result to a file: it is the certificate.
    """
    from certifair.certificate.certify import certify_bundle
    from certifair.certificate.sign import load_signer

    signer = load_signer(Path(key), os.environ.get("CERTIFAIR_PASSPHRASE"))
    return certify_bundle(Path(run), signer, now=now_or(now), serial=serial or str(uuid.uuid4()), **options)


def _keys(paths: PathLike | Sequence[PathLike]) -> tuple[PinnedKey, ...]:
    several = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return load_public_keys([Path(path) for path in several])


def verify(
    certificate: bytes | PathLike,
    public_keys: PathLike | Sequence[PathLike],
    *,
    evidence: PathLike | None = None,
    now: datetime | None = None,
    revoked: PathLike | None = None,
    subject_sha256: str | None = None,
    model: PathLike | None = None,
    registrar_keys: PathLike | Sequence[PathLike] = (),
) -> Verified:
    """A certificate (bytes or file) that withstands verification; with `evidence` every claim is computed again.

    Raises UntrustedError naming the step that refused, InputError for a file that cannot be read.
    """
    content = certificate if isinstance(certificate, bytes) else read_input(Path(certificate))
    expect = Expectations(
        keys=_keys(public_keys),
        now=now_or(now),
        revocations=None if revoked is None else read_input(Path(revoked)),
        subject_sha256=subject_sha256,
        model_sha256=None if model is None else sha256(read_input(Path(model))),
        registrar_keys=_keys(registrar_keys),
    )
    what = "certificate" if isinstance(certificate, bytes) else str(certificate)
    return verify_certificate(content, expect, None if evidence is None else Path(evidence), what)
