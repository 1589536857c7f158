"""California: Business and Professions Code 22757 and following (SB 942, AB 853, SB 1000); Washington HB
1170 beside it.

Seen: faithful copies of the chaptered texts; of SB 1000's approval (30 September 2026) one copy only. Both
vintages are met: nothing here depends on which of them applies.
"""

from __future__ import annotations

from datetime import date

from guarded_sora.provenance.conformance.clause import (
    Clause,
    Finding,
    Law,
    always,
    failed,
    human,
    outside,
    passed,
)
from guarded_sora.provenance.conformance.facts import Facts

APPLIES = date(2026, 8, 2)
SB_1000 = date(2026, 9, 30)
_CODE = "Cal. Bus. & Prof. Code "


def _latent_disclosure(facts: Facts) -> Finding:
    if facts.credentials is None:
        return human("the credentials were not read")
    if not facts.signature_holds:
        return failed(f"no latent disclosure covers this file ({facts.credentials.state})")
    claims = facts.credentials.claims
    missing = [
        name
        for name, value in (
            ("provider name", claims.provider or facts.credentials.issuer),
            ("system name", claims.model or claims.generator),
            ("system version", claims.model_version or claims.generator_version),
            ("time and date", claims.created or facts.credentials.timestamp),
            ("unique identifier", claims.clip_id or facts.credentials.label),
            ("created or altered", facts.source_type),
        )
        if not value
    ]
    if missing:
        return failed(f"the disclosure lacks: {', '.join(missing)}")
    if facts.mark is None:
        return human(
            "all fields are there; whether they outlast re-encoding was not checked, no mark was looked for"
        )
    if not facts.marked:
        return failed("all fields are there, but nothing leads back to them once the metadata is gone")
    return passed(
        "provider, system, version, time, identifier, created or altered; a mark leads back to them"
    )


def _manifest_valid(facts: Facts) -> Finding:
    if facts.credentials is None:
        return human("the credentials were not read")
    return passed("the manifest is valid") if facts.signature_holds else failed("no valid manifest")


LAW = Law(
    id="us-ca",
    title="California AI Transparency Act (SB 942, AB 853, SB 1000)",
    version="2026-10",
    clauses=(
        Clause(
            id="C1",
            title="latent disclosure: provider, system, version, time, id, created or altered; lasting",
            source=_CODE + "22757.3(a)",
            text_status="faithful_copies",
            since=APPLIES,
            check=_latent_disclosure,
            rests_on=frozenset({"credentials", "source_type", "watermark"}),
            marking=True,
        ),
        Clause(
            id="C1.minor",
            title="closed list of eight minor modifications that are exempt",
            source=_CODE + "22757.3(a), as amended by SB 1000",
            text_status="to_confirm",
            since=SB_1000,
            check=always(human("a person judges whether the change was minor")),
        ),
        Clause(
            id="C2",
            title="the user may ask for a visible disclosure",
            source=_CODE + "22757.3(b) (SB 942)",
            text_status="faithful_copies",
            since=APPLIES,
            until=date(2026, 9, 29),
            check=outside("the option in the user interface"),
        ),
        Clause(
            id="C3",
            title="free public verification tool: upload or URL, system provenance only, nothing kept",
            source=_CODE + "22757.2",
            text_status="faithful_copy",
            since=APPLIES,
            check=outside("the provider's verification tool"),
        ),
        Clause(
            id="C4",
            title="licensees keep the disclosures; a known breach is acted on in time",
            source=_CODE + "22757.3",
            text_status="faithful_copy",
            since=APPLIES,
            check=outside("contracts and the log of breaches"),
        ),
        Clause(
            id="C5",
            title="large platforms detect standards-based provenance",
            source=_CODE + "22757.3.1",
            text_status="faithful_copies",
            since=date(2027, 1, 1),
            check=outside("the platform's ingest log"),
        ),
        Clause(
            id="C6",
            title="the interface shows whether provenance and signatures are there",
            source=_CODE + "22757.3.1",
            text_status="faithful_copies",
            since=date(2027, 1, 1),
            check=outside("the platform's interface"),
        ),
        Clause(
            id="C7",
            title="provenance can be inspected, downloaded or reached by a link",
            source=_CODE + "22757.3.1",
            text_status="faithful_copy",
            since=date(2027, 1, 1),
            check=outside("the platform's interface"),
        ),
        Clause(
            id="C8",
            title="platforms do not knowingly strip provenance",
            source=_CODE + "22757.3.1",
            text_status="faithful_copy",
            since=date(2027, 1, 1),
            check=always(human("one file does not show it: compare before and after the platform")),
        ),
        Clause(
            id="C9",
            title="no hosting of systems that place no disclosures",
            source=_CODE + "22757.3.2",
            text_status="faithful_copy",
            since=date(2027, 1, 1),
            check=outside("the hosted releases"),
        ),
        Clause(
            id="WA1",
            title="Washington: provenance in AI-made or materially altered media",
            source="Washington HB 1170 (ch. 167/2026)",
            text_status="secondary",
            since=date(2027, 2, 1),
            check=_manifest_valid,
        ),
    ),
)
