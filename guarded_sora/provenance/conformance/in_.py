"""India: Information Technology (Intermediary Guidelines) Amendment Rules 2026, G.S.R. 120(E), from 20
February 2026.

Seen: faithful copies of the rules. Not confirmed: the draft of 21 April 2026 ("throughout the duration"),
of which no final text was found; the rules for large platforms are known from reports only.
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
    outside,
    passed,
)
from guarded_sora.provenance.conformance.facts import Facts

APPLIES = date(2026, 2, 20)
_RULES = "G.S.R. 120(E), "


def _label(facts: Facts) -> Finding:
    if facts.looks_real is False:
        return not_applicable("the deployer says that it looks like no real person or event")
    return at_opening("en", facts, "prominent label from the opening on")


def _permanent_metadata(facts: Facts) -> Finding:
    if facts.credentials is None or facts.mark is None:
        return human("credentials or watermark were not examined")
    if not facts.signature_holds:
        return failed(f"no permanent metadata covers this file ({facts.credentials.state})")
    if not (facts.credentials.claims.clip_id or facts.credentials.label):
        return failed("the metadata holds no unique identifier")
    if not facts.marked:
        return failed("the metadata is there, but nothing keeps it from being removed")
    return passed("signed metadata with a unique identifier, and a watermark that leads back to it")


LAW = Law(
    id="in",
    title="India: IT Rules on synthetically generated information",
    version="2026-10",
    clauses=(
        Clause(
            id="IN1",
            title="prominent, easily noticeable label on content that looks like a real person or event",
            source=_RULES + "rule 3(3)(a)(ii)",
            text_status="faithful_copies",
            since=APPLIES,
            check=_label,
            rests_on=frozenset({"labels"}),
            marking=True,
        ),
        Clause(
            id="IN1.duration",
            title="label throughout the duration",
            source="draft amendment of 21 April 2026",
            text_status="to_confirm",
            since=APPLIES,
            check=in_every_frame("en"),
        ),
        Clause(
            id="IN2",
            title="permanent metadata or provenance mechanism with a unique identifier, not removable",
            source=_RULES + "rule 3(3)(a)(ii)",
            text_status="faithful_copies",
            since=APPLIES,
            check=_permanent_metadata,
            rests_on=frozenset({"credentials", "watermark"}),
            marking=True,
        ),
        Clause(
            id="IN3",
            title="large platforms: declaration by the uploader and technical verification",
            source=_RULES + "rule 4(1A)",
            text_status="secondary",
            since=APPLIES,
            check=outside("the platform's records"),
        ),
        Clause(
            id="IN4",
            title="takedown and grievance deadlines, notices to users",
            source=_RULES + "rules 3(1) and 3(2)",
            text_status="secondary",
            since=APPLIES,
            check=outside("the platform's timers"),
        ),
    ),
)
