"""Ten thousand mutated certificates, signed again by the trusted key: both verifiers agree on every one, and whatever
is accepted with the evidence at hand says nothing that the evidence does not.
"""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from certifair.certificate.times import parse_time
from certifair.certificate.verify import Expectations, check_evidence, verify_certificate
from certifair.errors import UntrustedError
from tests.golden.cases import CASES, NOW, pinned, public_pem
from tests.golden.forge import certificate, seal
from tests.golden.mutate import Mutator, harm, payload
from tests.oracles import second_verifier

CHUNKS, MUTATIONS, FLIPS = 20, 450, 50  # in all: 10 000
EXPECT = Expectations(keys=[pinned("owner")], now=parse_time(NOW), registrar_keys=[pinned("registrar")])
KEYS = [public_pem("owner")], [public_pem("registrar")]
Built = dict[str, tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("cases")
    made = {}
    for name, case in CASES.items():
        evidence, certified = case.build(folder / name)
        made[name] = (evidence, certified.predicate)
    return made


def product(content: bytes) -> str:
    try:
        return verify_certificate(content, EXPECT).verdict.value
    except UntrustedError as error:
        return error.step


def supported(predicate: dict[str, Any], evidence: Path) -> bool:
    try:
        check_evidence(predicate, evidence)
    except UntrustedError as error:
        return error.step != "evidence"
    return True


def second(content: bytes) -> str:
    try:
        return second_verifier.verify(content, KEYS[0], NOW, registrar_keys=KEYS[1])
    except second_verifier.Rejected as rejected:
        return rejected.step


def verdicts_agree(content: bytes) -> str:
    """The common outcome. Steps agree as well: the README numbers them."""
    ours, theirs = product(content), second(content)
    assert ours == theirs, f"the product says {ours}, the second verifier {theirs}"
    return ours


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_mutations(built: Built, chunk: int) -> None:
    mutator = Mutator(20260101 + chunk, [predicate for _, predicate in built.values()])
    outcomes: Counter[str] = Counter()
    for number in range(MUTATIONS):
        name = mutator.draw.choice(list(built))
        evidence, predicate = built[name]
        mutated = mutator.mutated(predicate)
        outcome = verdicts_agree(seal(payload(mutated)))
        outcomes[outcome] += 1
        if outcome in ("PASS", "FAIL", "UNDECIDED"):
            if not supported(mutated["predicate"], evidence):
                outcomes["refused with evidence"] += 1
                continue
            outcomes["harmless"] += 1
            assert harm(predicate, mutated["predicate"]) == "", f"{name}, mutation {number} of chunk {chunk}"
    # The mutations reach all the way down.
    assert min(outcomes[key] for key in ("schema", "inconsistent", "refused with evidence", "harmless")) >= 10, outcomes


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_changed_bytes(built: Built, chunk: int) -> None:
    draw = random.Random(20260201 + chunk)
    name = draw.choice(list(built))
    content = certificate(built[name][1])
    expected = base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"])
    for _ in range(FLIPS):
        changed = bytearray(content)
        at = draw.choice([draw.randrange(len(content)), draw.randrange(200), len(content) - 1 - draw.randrange(500)])
        action = draw.choice(["flip", "set", "drop", "insert", "cut", "repeat"])
        if action == "flip":
            changed[at] ^= 1 << draw.randrange(8)
        elif action == "set":
            changed[at] = draw.choice(b' "{}[]:,0-_=/+\\\x00\xff')
        elif action == "drop":
            del changed[at]
        elif action == "insert":
            changed.insert(at, draw.choice(b' "{}0A\n\t\xef'))
        elif action == "cut":
            del changed[at:]
        else:
            changed[at:at] = changed[max(0, at - 40) : at]
        outcome = verdicts_agree(bytes(changed))
        if outcome in ("PASS", "FAIL", "UNDECIDED"):  # outside what is signed, or the same bytes in another spelling
            text = json.loads(bytes(changed))["dsseEnvelope"]["payload"]
            assert base64.b64decode(text.replace("-", "+").replace("_", "/")) == expected
            assert outcome == built[name][1]["verdict"]
