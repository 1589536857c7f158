"""Refuse what must stay down: a check of its own, on every picture and film that goes through the guard.

What a notice took down is refused by this installation whatever its policy pack says. A check that
could not look refuses too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from guarded_sora.audit.entry import Event
from guarded_sora.audit.errors import AuditError
from guarded_sora.detectors.fingerprint import fingerprint
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import StageFailed, StoreError
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import Action, CheckRun, CheckState, FiredRule
from guarded_sora.provenance.watermark.contract import MarkEvidence
from guarded_sora.stages import CheckSummary
from guarded_sora.store import StayDown, StayDownBook

CHECK = "stay_down"
VERSION = "1"
RULE = FiredRule(
    id="stay-down",
    reason="notice.stay_down",
    text="This film was taken down after a notice, and must stay down.",
    action=Action.BLOCK,
)


def check_stay_down(passage: Passage, batches: Iterable[FrameBatch]) -> None:
    """Compare a film, or a picture, with everything that must stay down.

    Raises:
        Blocked: it must stay down.
        StageFailed: it could not be compared; nothing is released.
    """
    outcome = passage.runner.run_check(
        CHECK,
        _look,
        passage.services.stay_downs,
        batches,
        version=VERSION,
        deadline=passage.services.settings.deadlines.mark,
        summary=lambda found: CheckSummary(result="" if found is None else f"stays down, by {found.by}"),
    )
    passage.note((), [outcome.run])
    if outcome.run.state is not CheckState.RAN:
        raise StageFailed(CHECK, outcome.run.reason)
    if outcome.value is not None:
        refuse(passage, outcome.value)


def refuse_marked(passage: Passage, evidence: MarkEvidence) -> None:
    """Refuse a film whose mark names a clip that must stay down. Raises ``Blocked``."""
    if evidence.payload is None:
        return
    for record in passage.services.store.by_number(evidence.payload.id):
        found = passage.services.stay_downs.of_clip(record.clip_id)
        if found is not None:
            passage.note((), [passage.runner.record(_by_mark())])
            refuse(passage, found)


def refuse(passage: Passage, found: StayDown) -> None:
    """Refuse, and tell the case that keeps the film down. Raises ``Blocked``, ``StoreError``."""
    event = Event(
        kind="stay_down.refused",
        actor=passage.actor,
        subject=found.case_id,
        body={"intent": passage.intent_id, "by": found.by},
    )
    try:
        passage.services.log.append([event])
    except AuditError as error:
        raise StoreError(f"The log did not take the record, so nothing was released: {error}") from error
    decision = passage.decide()
    passage.refuse(replace(decision, action=Action.BLOCK, rules=(RULE, *decision.rules)))


def _by_mark() -> CheckRun:
    return CheckRun(name=CHECK, version=VERSION, state=CheckState.RAN, result="stays down, by clip")


def _look(book: StayDownBook, batches: Iterable[FrameBatch]) -> StayDown | None:
    return book.of_picture(fingerprint(batches))
