"""The signed head of a log (certificates/README.md 12.3): what a log's writer puts his name to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from securesystemslib.signer import CryptoSigner

from certifair.certificate.envelope import open_statement
from certifair.certificate.keys import PinnedKey
from certifair.certificate.sign import sign_statement
from certifair.certificate.times import format_time, parse_time
from certifair.errors import UntrustedError
from certifair.evidence.log.chain import LogHead

LOG_HEAD_TYPE = "urn:certifair:log-head:v0"


def sign_head(head: LogHead, signer: CryptoSigner, now: datetime) -> bytes:
    """The content of head.json."""
    predicate = {"log": head.log, "segments": head.segments, "records": head.records, "signedAt": format_time(now)}
    return sign_statement(signer, LOG_HEAD_TYPE, ("log", head.head), predicate)


def open_head(content: bytes, keys: Sequence[PinnedKey], what: str) -> LogHead:
    """The state that one of these keys signed. Raises UntrustedError [log]."""
    try:
        found = open_statement(content, keys, LOG_HEAD_TYPE, what)
        if found.subject_name != "log":
            raise ValueError("is not the head of a log")
        stated = LogHead.stated(found.predicate, found.subject_sha256)
        parse_time(found.predicate["signedAt"])
        return stated
    except UntrustedError as error:
        raise UntrustedError("log", error.what, where=what) from None
    except ValueError as error:
        raise UntrustedError("log", str(error), where=what) from None
