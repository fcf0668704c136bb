"""The errors that a user can meet. Each says what is wrong, where, and what to do; each knows its exit code."""

from __future__ import annotations


class CertifairError(Exception):
    """Base of all expected errors. `str(error)` is one line: what (where): advice."""

    exit_code = 70

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        self.what = what
        self.where = where
        self.advice = advice
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}; {self.advice}" if self.advice else head


class InputError(CertifairError):
    """A file, table, key or option that cannot be used: nothing was written."""

    exit_code = 2


class PolicyError(InputError):
    """A policy that cannot be understood or contradicts itself."""


class UntrustedError(CertifairError):
    """A certificate, registration or bundle that must not be believed. `step` names the step that refused."""

    exit_code = 4

    def __init__(self, step: str, what: str, *, where: str = "", advice: str = "") -> None:
        self.step = step
        super().__init__(what, where=where, advice=advice)

    def __str__(self) -> str:
        return f"untrusted [{self.step}] {super().__str__()}"
