"""JUnit XML for continuous integration: what is undecided is an error there, never skipped."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import final

from certifair.gate.evaluate import GateResult, GroupVerdict, PropertyResult
from certifair.gate.outputs.base import Output, figure, printable
from certifair.spec.verdict import Verdict

WHOLE = "all groups together"


@final
class JunitOutput(Output):
    """One testsuite a property, one testcase a group. ASCII with character references, as every stream can carry."""

    name = "junit"

    def render(self, result: GateResult, policy_path: str, policy_text: str) -> str:
        properties = list(result.properties)
        if not _tells(result.verdict, [item.verdict for item in properties]):
            properties.append(PropertyResult("gate", result.verdict, "", "the verdict of the gate as a whole"))
        name = printable(f"certifair {result.subject}, certificate {result.serial}")
        root = ET.Element("testsuites", name=name)
        for item in properties:
            root.append(_suite(item))
        for count in ("tests", "failures", "errors"):
            root.set(count, str(sum(int(suite.attrib[count]) for suite in root)))
        ET.indent(root)
        content: bytes = ET.tostring(root, encoding="us-ascii", xml_declaration=True)
        return content.decode("ascii") + "\n"


def _tells(whole: Verdict, parts: Sequence[Verdict]) -> bool:
    """Whether the parts alone give the verdict of the whole. Nothing at all tells nothing."""
    return bool(parts) and Verdict.all(parts) is whole


def _suite(item: PropertyResult) -> ET.Element:
    """The testcases of one property. Where its groups alone would look better than it is, one more says so."""
    cases = list(item.groups)
    if not _tells(item.verdict, [group.verdict for group in cases]):
        cases.append(GroupVerdict(WHOLE if cases else item.id, item.verdict, item.reason))
    suite = ET.Element("testsuite", name=printable(item.id), tests=str(len(cases)))
    suite.set("failures", str(sum(case.verdict is Verdict.FAIL for case in cases)))
    suite.set("errors", str(sum(case.verdict is Verdict.UNDECIDED for case in cases)))
    for case in cases:
        suite.append(_case(item, case))
    return suite


def _case(item: PropertyResult, case: GroupVerdict) -> ET.Element:
    element = ET.Element("testcase", classname=printable(item.id), name=printable(case.name))
    if case.verdict is not Verdict.PASS:
        tag = "failure" if case.verdict is Verdict.FAIL else "error"
        message = printable(case.reason or item.reason or case.verdict.value)
        ET.SubElement(element, tag, type=case.verdict.value, message=message).text = _details(item)
    return element


def _details(item: PropertyResult) -> str:
    lines = [("statement", item.statement), ("demand", item.threshold), ("figure", figure(item)), ("claim", item.claim)]
    return "\n".join(f"{title}: {printable(text)}" for title, text in lines if text)
