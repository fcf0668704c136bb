"""The gate: a relying party's policy, evaluated against a verified certificate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from certifair.gate.evaluate import GateResult

PathLike = str | os.PathLike[str]


def judge(
    certificate: bytes | PathLike, policy: PathLike, public_keys: PathLike | Sequence[PathLike], **options: Any
) -> GateResult:
    """Verify a certificate, then judge it by your own policy file. `options` are those of `certifair.verify`.

    Truthy only if every demand passed. Raises UntrustedError, PolicyError, InputError.
    """
    from certifair.certificate.api import verify
    from certifair.certificate.times import now_or
    from certifair.gate.evaluate import evaluate
    from certifair.spec.policy import Policy

    now = now_or(options.pop("now", None))
    found = verify(certificate, public_keys, now=now, **options)
    return evaluate(found, Policy.load(Path(policy)), now, str(policy))
