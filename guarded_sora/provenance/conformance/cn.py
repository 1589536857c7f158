"""China: Measures for Labelling AI-Generated Synthetic Content, and GB 45438-2025 (both from 1 September
2025).

Seen: faithful copies of the Measures and of the standard's fields; of TC260-PG-20257A (where the fields
stand in a container) one digest. Not confirmed: how text height is measured in films, and the outer form
of appendix E.
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
)
from guarded_sora.provenance.conformance.facts import Facts

APPLIES = date(2025, 9, 1)
OPENING_SECONDS = 2.0
TEXT_SHARE = 0.05
CAPITAL_SHARE_OF_INK = 0.77
"""Our Chinese label's capitals are this share of the ink height that was measured."""


def _opening_label(facts: Facts) -> Finding:
    if facts.labels is None:
        return human("no visible label was looked for")
    if not facts.label_at_opening("zh"):
        return failed("no label of ours on the opening picture; labels of other design are not recognised")
    if not facts.label_through("zh", min(OPENING_SECONDS, facts.seconds)):
        return failed(f"the label does not stay for {OPENING_SECONDS:.0f} seconds from the opening on")
    height = CAPITAL_SHARE_OF_INK * facts.labels.height("zh")
    if height < TEXT_SHARE:
        return failed(f"the text is {height:.1%} of the shorter side high; {TEXT_SHARE:.0%} is asked for")
    return passed(f"AI and generation element on the opening picture for 2 s, text {height:.1%} high")


def _metadata_label(facts: Facts) -> Finding:
    if facts.declared is None:
        return human("the metadata was not read")
    label = facts.declared.aigc
    if label is None:
        return failed("no AIGC label in the file's metadata")
    if facts.declared.aigc_count != 1:
        return failed(f"{facts.declared.aigc_count} AIGC labels; one is allowed")
    if problems := label.problems():
        return failed("; ".join(problems))
    return passed(f"AIGC label {label.label} with producer and propagator at {facts.declared.where[0]}")


def _propagator(facts: Facts) -> Finding:
    if facts.declared is None:
        return human("the metadata was not read")
    label = facts.declared.aigc
    if label is None or not (label.content_propagator and label.propagate_id):
        return failed("no grade and no propagator fields")
    return passed(f"grade {label.label} with propagator fields")


def _in_the_file(facts: Facts) -> Finding:
    if facts.labels is None:
        return human("no visible label was looked for")
    if not facts.label_at_opening("zh"):
        return failed("the file itself shows no label of ours")
    return passed("the label is part of the picture")


def _unlabelled_on_request(facts: Facts) -> Finding:
    if facts.label_at_opening("zh"):
        return not_applicable("the file is labelled")
    return human("unlabelled: was it asked for under an agreement, and is the recipient on record?")


def _watermark(facts: Facts) -> Finding:
    if not facts.marked:
        return not_applicable("encouraged, and no watermark was found")
    return passed("an invisible mark is there as well")


_MEASURES = "Measures for Labelling AI-Generated Synthetic Content, "

LAW = Law(
    id="cn",
    title="China: labelling measures and GB 45438-2025",
    version="2026-10",
    clauses=(
        Clause(
            id="G1",
            title="prominent label on the opening picture for 2 s, 5 % high, with AI and generation element",
            source=_MEASURES + "Art. 4(4); GB 45438-2025, 4 and 5",
            text_status="faithful_copies",
            since=APPLIES,
            check=_opening_label,
            rests_on=frozenset({"labels"}),
            marking=True,
        ),
        Clause(
            id="G1.height",
            title="whether the height is that of the glyph box or of the capitals",
            source="GB 45438-2025",
            text_status="to_confirm",
            since=APPLIES,
            check=always(human("measured here: the capitals, the stricter reading")),
        ),
        Clause(
            id="G2",
            title="metadata label: key AIGC, seven fields, five of them filled, one label a file",
            source=_MEASURES + "Art. 5; GB 45438-2025, appendix E; TC260-PG-20257A, 6.1.1",
            text_status="faithful_copies",
            since=APPLIES,
            check=_metadata_label,
            rests_on=frozenset({"aigc"}),
            marking=True,
        ),
        Clause(
            id="G2.form",
            title="whether the fields stand bare under the key or in an outer object",
            source="GB 45438-2025, appendix E",
            text_status="to_confirm",
            since=APPLIES,
            check=always(human("written bare; both forms are read")),
        ),
        Clause(
            id="G2.mark",
            title="a digital watermark is encouraged",
            source=_MEASURES + "Art. 5",
            text_status="faithful_copies",
            since=APPLIES,
            level="encouraged",
            check=_watermark,
            rests_on=frozenset({"watermark"}),
        ),
        Clause(
            id="G3",
            title="platforms grade content and add their propagator fields",
            source=_MEASURES + "Art. 6",
            text_status="faithful_copy",
            since=APPLIES,
            check=_propagator,
            rests_on=frozenset({"aigc"}),
            marking=True,
        ),
        Clause(
            id="G4",
            title="unlabelled output only on request under an agreement; recipients on record for six months",
            source=_MEASURES + "Art. 9",
            text_status="faithful_copies",
            since=APPLIES,
            level="optional",
            check=_unlabelled_on_request,
            rests_on=frozenset({"labels"}),
        ),
        Clause(
            id="G5",
            title="nobody removes, alters, forges or hides labels, nor offers tools for it",
            source=_MEASURES + "Art. 10",
            text_status="faithful_copies",
            since=APPLIES,
            check=outside("what the provider offers"),
        ),
        Clause(
            id="G6",
            title="files that are downloaded, copied or exported contain the visible label",
            source=_MEASURES + "Art. 4",
            text_status="faithful_copy",
            since=APPLIES,
            check=_in_the_file,
            rests_on=frozenset({"labels"}),
            marking=True,
        ),
    ),
)
