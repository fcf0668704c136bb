"""Gate results built by hand, for the tests of the outputs."""

from __future__ import annotations

from certifair.gate import outputs
from certifair.gate.evaluate import GateResult, GroupVerdict, PropertyResult
from certifair.spec.verdict import Verdict

PASS, FAIL, UNDECIDED = Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED
HOSTILE = (
    "a|b%25 50% <script>alert(1)</script>\n::error::\r\x00\x1b[2J\u2028\u202e\ufffe\udc80 [x](http://y) ]]> & é→ü 漢"
)


def result_of(*properties: PropertyResult, subject: str = "loans 1.2", serial: str = "00ff") -> GateResult:
    return GateResult(Verdict.all(item.verdict for item in properties), subject, serial, properties)


def demand(name: str, verdict: Verdict, reason: str = "", *groups: GroupVerdict) -> PropertyResult:
    return PropertyResult(
        name, verdict, f"statement of {name}", reason, "claim-1", "≤ 0.05", "0.04", "0.03", "0.061", groups
    )


MIXED = result_of(
    demand("parity", PASS, "", GroupVerdict("sex = f", PASS, ""), GroupVerdict("sex = m", PASS, "")),
    demand("age-gap", UNDECIDED, "too few people", GroupVerdict("age = old", UNDECIDED, "n = 12")),
    demand("race-gap", FAIL, "0.07 > 0.05", GroupVerdict("race = x", FAIL, "0.07"), GroupVerdict("race = y", PASS, "")),
    PropertyResult("policy-registration", UNDECIDED, "registered", "no registration"),
)
POLICY = """\
[system]
id = "race-gap"

[[property]]
metric = "demographic_parity"
id = "parity"

[[ property ]] # comment
  id='age-gap' # comment
[[property]]
"id" = "race\\u002dgap"
description = \"\"\"
id = not TOML
\"\"\"
"""
RESULTS = {
    "passed": result_of(demand("parity", PASS)),
    "mixed": MIXED,
    "nothing": result_of(),
    "hostile": result_of(
        demand(HOSTILE, FAIL, HOSTILE, GroupVerdict(HOSTILE, FAIL, HOSTILE)),
        demand(HOSTILE + "2", UNDECIDED, HOSTILE, GroupVerdict(HOSTILE, UNDECIDED, HOSTILE)),
        subject=HOSTILE,
        serial=HOSTILE,
    ),
    "bare": result_of(PropertyResult("", FAIL, "", "")),
    "long": result_of(demand("p" * 5000, FAIL, "r" * 100_000, GroupVerdict("g" * 5000, FAIL, ""))),
}


def render(name: str, result: GateResult, path: str = "certifair.toml", policy: str = POLICY) -> str:
    return outputs.get(name).render(result, path, policy)
