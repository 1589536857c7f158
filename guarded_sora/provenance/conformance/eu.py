"""European Union: AI Act, Article 50, read through the Code of Practice on Transparency of AI-Generated
Content.

Seen: quotations and clause-by-clause digests of the final Code (10 June 2026) and of Regulation (EU)
2026/1744; the official texts were not read in full. The Code is voluntary; who does not sign it shows a
gap analysis.
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
    not_applicable,
    outside,
    passed,
    unconfirmed,
)
from guarded_sora.provenance.conformance.facts import Facts

APPLIES = date(2026, 8, 2)
GRACE_ENDS = date(2026, 12, 2)
QUERY_DUE = date(2027, 2, 2)
LABEL_GAP = 25.0
"""Longest stretch in seconds without a label that we take for "regular intervals"; the Code names no
number."""

_CODE = "Code of Practice on Transparency of AI-Generated Content (10 Jun 2026), "


def _metadata_layer(facts: Facts) -> Finding:
    if facts.credentials is None:
        return human("the credentials were not read")
    if not facts.signature_holds:
        return failed(f"no signed metadata covers this file ({facts.credentials.state})")
    if facts.source_type not in ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"):
        return failed("the signed metadata does not say that the content was generated or manipulated")
    if facts.mark is None:
        return human("the signed metadata holds, but the second layer, a watermark, was not looked for")
    if not facts.marked:
        return failed("one layer only: the signed metadata; no watermark was found")
    if not facts.credentials.timestamp:
        return unconfirmed("two layers; the time is the signer's own claim, no trusted timestamp")
    return passed(f"two layers: signed metadata ({facts.source_type}, timestamped) and a watermark")


def watermark(facts: Facts) -> Finding:
    """Whether an invisible mark was found; shared by the laws that ask for one."""
    if facts.mark is None:
        return human("no watermark was looked for")
    if not facts.marked:
        return failed("no watermark was found at its stated false-positive rate")
    strength = "" if facts.mark.log10_p is None else f", log10 p = {facts.mark.log10_p:.1f}"
    return passed(f"watermark {facts.mark.name or 'found'}{strength}")


def _signpost(facts: Facts) -> Finding:
    signpost = facts.credentials.claims.detector_url if facts.credentials is not None else ""
    if facts.signature_holds and signpost:
        return passed("the signed manifest names the detector")
    if facts.operator.detector_url:
        return passed("the operator states a public query interface")
    return failed("no signpost to a detector in the content and no public query interface is known")


def _inputs_kept(facts: Facts) -> Finding:
    if facts.credentials is None or not facts.signature_holds:
        return human("without signed metadata the file does not show what it was made from")
    if "c2pa.opened" not in facts.credentials.claims.actions:
        return not_applicable("the manifest says the clip was created, not made from a marked input")
    if any(item.relationship == "parentOf" for item in facts.credentials.ingredients):
        return passed("the input is kept as parent ingredient with its own credentials")
    return failed("the clip was opened from an input that its manifest does not keep")


def _deepfake_label(facts: Facts) -> Finding:
    if facts.looks_real is False:
        return not_applicable("the deployer says that the content shows nothing that could be taken for real")
    if facts.artistic:
        return not_applicable("the deployer says the work is evidently artistic: see D4")
    if facts.labels is None:
        return human("no visible label was looked for")
    if not facts.label_at_opening("en"):
        return failed("no label of ours at the first exposure; labels of other design are not recognised")
    if facts.longest_gap("en") > LABEL_GAP:
        return failed(f"the label stays away for more than {LABEL_GAP:.0f} seconds")
    return passed("label at the first exposure and at regular intervals")


def _icon(facts: Facts) -> Finding:
    if facts.labels is None or not facts.label_at_opening("en"):
        return not_applicable("optional, and not used")
    return passed("own label: capital AI, letters of equal height, next to GENERATED or MODIFIED")


def _artistic(facts: Facts) -> Finding:
    if not facts.artistic:
        return not_applicable("the deployer does not say that the work is evidently artistic")
    return human("a person judges whether the disclosure suits the work")


LAW = Law(
    id="eu",
    title="EU AI Act Art. 50 with the Code of Practice on Transparency of AI-Generated Content",
    version="2026-10",
    clauses=(
        Clause(
            id="E1",
            title="two layers of machine-readable marking; signed, timestamped metadata says how it was made",
            source=_CODE + "section 1, measures 1.1 and 1.1.1; AI Act Art. 50(2)",
            text_status="faithful_copies",
            since=APPLIES,
            check=_metadata_layer,
            rests_on=frozenset({"credentials", "source_type", "timestamp", "watermark"}),
            marking=True,
        ),
        Clause(
            id="E1.key",
            title="exception from signing for local deployment without secure keys",
            source=_CODE + "section 1, measure 1.1.1",
            text_status="to_confirm",
            since=APPLIES,
            check=always(human("only a deployer without keys would rely on it")),
        ),
        Clause(
            id="E2",
            title="watermark that is difficult to separate from the content",
            source=_CODE + "section 1, measure 1.1.2",
            text_status="faithful_copies",
            since=APPLIES,
            check=watermark,
            rests_on=frozenset({"watermark"}),
            marking=True,
        ),
        Clause(
            id="E3",
            title="fingerprinting or logging alone is not sufficient",
            source=_CODE + "section 1, measure 1.1.3",
            text_status="faithful_copies",
            since=APPLIES,
            level="optional",
            check=always(not_applicable("fingerprints never replace E1 or E2 in this check")),
        ),
        Clause(
            id="E4",
            title="open query interface, or a public signpost in the content that names the detector",
            source=_CODE + "section 1, measure 3.4",
            text_status="faithful_copies",
            since=QUERY_DUE,
            check=_signpost,
            rests_on=frozenset({"detector", "credentials"}),
            marking=True,
        ),
        Clause(
            id="E5",
            title="metadata markings of inputs are retained",
            source=_CODE + "section 1, measure 1.2",
            text_status="faithful_copies",
            since=APPLIES,
            check=_inputs_kept,
            rests_on=frozenset({"credentials"}),
        ),
        Clause(
            id="E6",
            title="detector for the public, free of charge, with a user interface",
            source=_CODE + "section 1, measure 2.1",
            text_status="faithful_copies",
            since=APPLIES,
            check=outside("the operator's detector, its price and its users"),
        ),
        Clause(
            id="E7",
            title="robustness of the marks measured against common changes and attacks",
            source=_CODE + "section 1, measures 3.1 to 3.3",
            text_status="faithful_copy",
            since=APPLIES,
            check=outside("the benchmark card of the marks"),
        ),
        Clause(
            id="E8",
            title="documented process, tests before release and regularly",
            source=_CODE + "section 1, measures 4.1 and 4.2",
            text_status="faithful_copy",
            since=APPLIES,
            check=outside("the provider's documentation"),
        ),
        Clause(
            id="E9",
            title="no tools to circumvent the markings",
            source=_CODE + "section 1, measure 1.2",
            text_status="faithful_copy",
            since=APPLIES,
            check=outside("what the provider places on the market"),
        ),
        Clause(
            id="E10",
            title="content submitted to the detector is not kept",
            source=_CODE + "section 1, measure 2.1.3",
            text_status="faithful_copy",
            since=APPLIES,
            check=outside("the detector's retention"),
        ),
        Clause(
            id="E11",
            title="detection results say which layer they rest on",
            source=_CODE + "section 1, measure 2.3",
            text_status="faithful_copy",
            since=APPLIES,
            check=outside("the results of the provider's detector"),
        ),
        Clause(
            id="D1",
            title="deepfake: label at first exposure, at regular intervals and after breaks, unobstructed",
            source=_CODE + "section 2; AI Act Art. 50(4)",
            text_status="faithful_copy",
            since=APPLIES,
            check=_deepfake_label,
            rests_on=frozenset({"labels"}),
            marking=True,
        ),
        Clause(
            id="D2",
            title="common icon or own label with capital AI",
            source=_CODE + "annex 1",
            text_status="faithful_copy",
            since=APPLIES,
            level="optional",
            check=_icon,
            rests_on=frozenset({"labels"}),
        ),
        Clause(
            id="D3",
            title="audio only: spoken disclaimer",
            source=_CODE + "section 2",
            text_status="faithful_copy",
            since=APPLIES,
            check=always(not_applicable("a film carries its disclosure in the picture")),
        ),
        Clause(
            id="D4",
            title="evidently artistic work: disclosure that does not hamper enjoyment",
            source=_CODE + "section 2; AI Act Art. 50(4)",
            text_status="faithful_copies",
            since=APPLIES,
            check=_artistic,
        ),
    ),
)
