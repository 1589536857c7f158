"""Republic of Korea: AI Basic Act, Article 31, and its Enforcement Decree, Article 23 (from 22 January 2026).

Seen: faithful copies of the act and the decree. Not confirmed: a label for the whole length (news about a
draft only). Applies to AI businesses, not to their users.
"""

from __future__ import annotations

from datetime import date

from guarded_sora.provenance.conformance.clause import (
    Clause,
    Finding,
    Law,
    at_opening,
    failed,
    human,
    in_every_frame,
    not_applicable,
    passed,
)
from guarded_sora.provenance.conformance.facts import Facts

APPLIES = date(2026, 1, 22)
_ACT = "AI Basic Act, "


def _either_mark(facts: Facts) -> Finding:
    if facts.label_at_opening("ko"):
        return passed("a mark that people can see")
    machine = [
        name
        for name, there in (
            ("signed metadata", facts.source_type != ""),
            ("watermark", facts.marked),
            ("metadata label", facts.declared is not None and facts.declared.aigc is not None),
        )
        if there
    ]
    if machine:
        return human(
            f"machine-readable only ({', '.join(machine)}): users must be told once by text or voice"
        )
    if facts.credentials is None and facts.mark is None and facts.labels is None:
        return human("no mark was looked for")
    return failed("neither a visible nor a machine-readable mark was found")


def _clear_label(facts: Facts) -> Finding:
    if facts.looks_real is False:
        return not_applicable("the deployer says that nobody could take it for real")
    if facts.artistic:
        return human("a work of art may be labelled so that it does not disturb: a person judges")
    return at_opening("ko", facts, "clearly recognisable label on the opening picture")


def _notice(facts: Facts) -> Finding:
    if facts.operator.notice:
        return human("the operator states that users are told beforehand; no file shows it")
    return human("no file shows it: the notice to users before they use the service")


LAW = Law(
    id="kr",
    title="Korea: AI Basic Act Art. 31 and Enforcement Decree Art. 23",
    version="2026-10",
    clauses=(
        Clause(
            id="KR1",
            title="a mark that people can perceive, or a machine-readable one and a notice",
            source=_ACT + "Art. 31(2); Enforcement Decree Art. 23(2)",
            text_status="faithful_copies",
            since=APPLIES,
            check=_either_mark,
            rests_on=frozenset({"labels"}),
            marking=True,
        ),
        Clause(
            id="KR2",
            title="output hard to tell from real: clearly recognisable notice or label",
            source=_ACT + "Art. 31(3); Enforcement Decree Art. 23(3)",
            text_status="faithful_copy",
            since=APPLIES,
            check=_clear_label,
            rests_on=frozenset({"labels"}),
            marking=True,
        ),
        Clause(
            id="KR2.duration",
            title="label for the whole length",
            source="reports on a draft guideline",
            text_status="to_confirm",
            since=APPLIES,
            check=in_every_frame("ko"),
        ),
        Clause(
            id="KR3",
            title="users are told beforehand that the service is based on AI",
            source=_ACT + "Art. 31(1)",
            text_status="faithful_copies",
            since=APPLIES,
            check=_notice,
        ),
    ),
)
