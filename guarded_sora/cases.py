"""Act on a reviewer's decision: release the film that waits, or run the request that waits."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from guarded_sora.audit.case import CLOSED, DECIDED, Case
from guarded_sora.audit.entry import uuid7
from guarded_sora.audit.errors import AuditError
from guarded_sora.audit.search import count
from guarded_sora.errors import MediaError, StoreError, UsageError
from guarded_sora.guard import check_writable, resume
from guarded_sora.media import sha256_file
from guarded_sora.policies.finding import Decision
from guarded_sora.progress import Progress, Silent
from guarded_sora.prompts import PromptRequest
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.records import context_from
from guarded_sora.recovery import (
    FAILED,
    RELEASED,
    ReleaseJournal,
    default_place,
    held_film,
    release_event,
    working_film,
)
from guarded_sora.release import Release, place
from guarded_sora.services import Services
from guarded_sora.stages import ReleaseToken
from guarded_sora.store import ClipRecord, ClipState
from guarded_sora.work_folders import WorkFolder


def release_case(
    services: Services, case_id: str, *, output: Path | None = None, progress: Progress | None = None
) -> Release:
    """Release what was decided ``allow``.

    Raises:
        UsageError: no such case, not decided, decided otherwise, or released before.
        MediaError: the held film is gone or was changed.
    """
    check_writable(output)
    case = _allowed(services, case_id)
    journal = ReleaseJournal.open(services, case)
    try:
        return _release(services, case, journal, output, progress or Silent())
    finally:
        journal.done()


def _release(
    services: Services, case: Case, journal: ReleaseJournal, output: Path | None, progress: Progress
) -> Release:
    intent_id, target = uuid7(), output
    if target is None and case.kind != "prompt":
        target = default_place(services, ClipId.parse(case.subject))
    journal.write(target=None if target is None else str(target.absolute()), intent_id=intent_id)
    seq = _claim(services, case)
    try:
        if case.kind == "prompt":
            return _run_request(services, case, output, progress, intent_id)
        return _release_film(services, case, target, seq)
    except BaseException:
        try:
            _note(services, case, FAILED)
        except BaseException:
            journal.leave()  # the claim stands in the log; the next one puts it right
            raise
        raise


def _allowed(services: Services, case_id: str) -> Case:
    try:
        case = services.cases.show(case_id)
    except AuditError as error:
        raise UsageError(str(error)) from error
    if case.kind not in ("prompt", "film"):
        raise UsageError(f"Case {case_id} is a notice; nothing waits in it for a release.")
    if case.action != "allow" or case.state not in (DECIDED, CLOSED):
        settled = case.action and case.state in (DECIDED, CLOSED)
        state = f"decided '{case.action}'" if settled else f"still {case.state}"
        raise UsageError(
            f"Case {case_id} is {state}; only a case decided 'allow' can be released "
            "(guarded-sora cases decide CASE --action allow ...)."
        )
    return case


def _claim(services: Services, case: Case) -> int:
    """Take the one release a case has, under the log's lock, so that two callers cannot both have it."""
    try:
        with services.log.transaction() as tx:
            taken = count(tx.connection, kind=RELEASED, subject=case.case_id)
            failed = count(tx.connection, kind=FAILED, subject=case.case_id)
            if taken > failed:
                raise UsageError(
                    f"Case {case.case_id} was released before; 'guarded-sora audit search' shows when."
                )
            return tx.append([release_event(case, RELEASED)])[0].seq
    except AuditError as error:
        raise StoreError(f"The release could not be logged, so nothing was released: {error}") from error


def _run_request(
    services: Services, case: Case, output: Path | None, progress: Progress, intent_id: str
) -> Release:
    data = services.cases.payload(case.case_id)
    if data is None:
        raise UsageError(f"The request of case {case.case_id} was erased; nothing can be generated from it.")
    document = orjson.loads(data)
    try:
        folder = WorkFolder.make(services.settings.work, "case-")
    except OSError as error:
        raise StoreError(
            f"No work folder could be made under {services.settings.work} ({error.strerror})."
        ) from error
    try:
        request = PromptRequest.unpack(orjson.dumps(document["request"]), folder.path)
        return resume(
            services,
            request,
            context_from(document["context"]),
            output=output,
            progress=progress,
            intent_id=intent_id,
        )
    finally:
        folder.close()


def _release_film(services: Services, case: Case, target: Path | None, seq: int) -> Release:
    clip_id = ClipId.parse(case.subject)
    held = held_film(services, case.case_id)
    record = services.store.by_id(clip_id)
    if record is None or record.state is not ClipState.HELD or record.file_sha256 is None:
        raise UsageError(f"The film of case {case.case_id} is not held any more.")
    finished = working_film(services, case.case_id)
    try:
        # Taken out of the shared folder before it is looked at, so that what is hashed is what goes out.
        finished.parent.mkdir(parents=True, exist_ok=True)
        os.replace(held, finished)
    except OSError as error:
        raise MediaError(f"{held} is gone; it cannot be released.") from error
    try:
        place_at = target or default_place(services, clip_id)
        return _publish(services, case, record, finished, held, place_at, seq)
    finally:
        if finished.exists():
            os.replace(finished, held)


def _publish(
    services: Services,
    case: Case,
    record: ClipRecord,
    finished: Path,
    held: Path,
    target: Path,
    seq: int,
) -> Release:
    """Check the film that left the held folder once more, and put it in its place."""
    clip_id = record.clip_id
    if record.file_sha256 is None or sha256_file(finished) != record.file_sha256:
        raise MediaError(f"{held} was changed while it waited; it cannot be released.")
    if services.grants.notices(clip_id):
        raise UsageError(
            f"A consent that the film of case {case.case_id} rests on was withdrawn, or it must stay down; "
            "it cannot be released."
        )
    if services.stay_downs.of_picture(services.store.fingerprint(clip_id)) is not None:
        raise UsageError(f"The film of case {case.case_id} must stay down; it cannot be released.")
    sheet = held.with_name(f"{held.stem}.contact-sheet.png")
    target.parent.mkdir(parents=True, exist_ok=True)
    # The store says "released" first: a notice must find the film from the moment it is out.
    services.store.settle(clip_id, state=ClipState.RELEASED, audit_seq=seq)
    target_sheet = target.with_name(f"{target.stem}.contact-sheet.png")
    try:
        if sheet.is_file():
            place(sheet, target_sheet)
        ReleaseToken().publish(finished, target)
    except BaseException:
        services.store.settle(clip_id, state=ClipState.HELD)
        raise
    sheet.unlink(missing_ok=True)
    decision = Decision(action=services.policy.pack.default_action, pack=services.policy.pack.reference)
    return Release(
        clip_id=clip_id,
        path=target,
        contact_sheet=target_sheet,
        sha256=record.file_sha256,
        decision=decision,
        checks=(),
        stages=(),
        audit_seq=seq,
    )


def _note(services: Services, case: Case, kind: str) -> None:
    try:
        services.log.append([release_event(case, kind)])
    except AuditError as error:
        raise StoreError(f"The log did not take the record: {error}") from error
