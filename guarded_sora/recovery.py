"""Releases of cases that a crash cut off: each is either finished or put back, and the log says so.

While a case is released, a journal in the installation's folder for work (``release-CASE.json``) says
where its film was to go; the process that releases holds a lock on it. A journal nobody holds is a release
nobody finishes. If the film lies in its place, whole, it was released; if not, it waits again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from guarded_sora.audit.case import Case
from guarded_sora.audit.entry import Entry, Event
from guarded_sora.audit.errors import AuditError
from guarded_sora.errors import GuardedSoraError, StoreError, UsageError
from guarded_sora.media import sha256_file
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.store import ClipRecord, ClipState
from guarded_sora.work_folders import RELEASE, Lock

if TYPE_CHECKING:
    from guarded_sora.services import Services

RELEASED = "case.released"
FAILED = "case.release_failed"
_OUTCOMES = ("request.released", "request.blocked", "request.held", "request.failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A release that had been cut off. ``released``: its film is out; else the case waits again."""

    case_id: str
    released: bool


class ReleaseJournal:
    """The right to release one case now. Close it with :meth:`done` whatever came of the release."""

    def __init__(self, services: Services, case: Case, lock: Lock) -> None:
        self._services = services
        self.case = case
        self._lock = lock

    @classmethod
    def open(cls, services: Services, case: Case) -> ReleaseJournal:
        """Take the right, first putting right what a crash left of an earlier release.

        Raises:
            UsageError: another process releases this case now.
            StoreError: the journal cannot be written, or the log refused.
        """
        path = _journal(services, case.case_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = Lock.take(path)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written ({error.strerror}); free or unlock its folder."
            ) from error
        if lock is None:
            raise UsageError(f"Case {case.case_id} is being released now by another process.")
        journal = cls(services, case, lock)
        try:
            journal.settle()
        except BaseException:
            lock.close()
            raise
        return journal

    def write(self, **document: Any) -> None:
        """Say what is about to be done; on the disk before anything is. Raises StoreError."""
        data = orjson.dumps({"pid": os.getpid(), **document})
        try:
            os.ftruncate(self._lock.descriptor, 0)
            os.pwrite(self._lock.descriptor, data, 0)
            os.fsync(self._lock.descriptor)
        except OSError as error:
            raise StoreError(
                f"{self._lock.path} cannot be written ({error.strerror}); free some space and try again."
            ) from error

    def done(self) -> None:
        """The release has ended, one way or the other."""
        self._lock.remove()

    def leave(self) -> None:
        """Let go without a word: whoever comes next puts right what is left."""
        self._lock.close()

    def settle(self) -> bool | None:
        """Finish or take back an earlier release; True and False tell which, None that there was none."""
        log, case = self._services.log, self.case
        try:
            taken = log.count(RELEASED, subject=case.case_id)
            if taken <= log.count(FAILED, subject=case.case_id):
                if case.kind != "prompt":
                    self._put_back(self._record(), None)
                return None
            document = self._read()
            if case.kind == "prompt":
                released = self._settle_request(document)
            else:
                released = self._settle_film(document)
            if released is False:
                log.append([release_event(case, FAILED, recovered=True)])
            self.write()
            return released
        except AuditError as error:
            raise StoreError(f"The log could not be used, so nothing was released: {error}") from error

    def _read(self) -> dict[str, Any]:
        size = os.fstat(self._lock.descriptor).st_size
        try:
            document = orjson.loads(os.pread(self._lock.descriptor, size, 0))
        except orjson.JSONDecodeError:
            return {}  # a journal cut off in the middle: nothing had been done yet
        return document if isinstance(document, dict) else {}

    # -- films

    def _record(self) -> ClipRecord | None:
        try:
            return self._services.store.by_id(ClipId.parse(self.case.subject))
        except UsageError:
            return None

    def _settle_film(self, document: dict[str, Any]) -> bool | None:
        record = self._record()
        if record is None or record.file_sha256 is None:
            return None
        target = Path(document["target"]) if document.get("target") else None
        finished = working_film(self._services, self.case.case_id)
        if target is not None and _is(target, record.file_sha256):
            released = self._services.log.search(kind=RELEASED, subject=self.case.case_id, limit=1000)
            self._services.store.settle(record.clip_id, state=ClipState.RELEASED, audit_seq=released[-1].seq)
            finished.unlink(missing_ok=True)
            held_film(self._services, self.case.case_id).unlink(missing_ok=True)
            return True
        if target is not None:
            # A copy under way to another file system is no release, and must not stay there.
            for part in target.parent.glob(f".{target.name}.{document.get('pid')}.*.part"):
                part.unlink(missing_ok=True)
        return False if self._put_back(record, document) else None

    def _put_back(self, record: ClipRecord | None, document: dict[str, Any] | None) -> bool:
        """Let the film wait again; False when it does not lie where a release cut off would leave it."""
        if record is None:
            return False
        finished = working_film(self._services, self.case.case_id)
        held = held_film(self._services, self.case.case_id)
        if finished.exists():
            os.replace(finished, held)
        elif not held.exists() or (document is None and record.state is ClipState.HELD):
            return False
        if record.state is not ClipState.HELD:
            self._services.store.settle(record.clip_id, state=ClipState.HELD)
        return True

    # -- requests

    def _settle_request(self, document: dict[str, Any]) -> bool | None:
        intent = document.get("intent_id")
        if not intent:
            # The request never got as far as an intent, or was released by an earlier version.
            return False if document else None
        events = self._services.log.search(subject=str(intent), limit=1000)
        outcome = next((entry for entry in reversed(events) if entry.kind in _OUTCOMES), None)
        if outcome is None:
            if events:
                self._record_of(events[0], "request.failed", {"stage": "interrupted", "code": "interrupted"})
            return False
        if outcome.kind != "request.released" or any(entry.kind == "release.undone" for entry in events):
            return False
        clip_id = ClipId.parse(outcome.body["clip_id"])
        place = document.get("target") or default_place(self._services, clip_id)
        if _is(Path(place), str(outcome.body["file_sha256"])):
            self._services.store.settle(clip_id, state=ClipState.RELEASED, audit_seq=outcome.seq)
            return True
        self._record_of(outcome, "release.undone", {"clip_id": str(clip_id), "released_seq": outcome.seq})
        self._services.store.settle(clip_id, state=ClipState.WITHDRAWN)
        return False

    def _record_of(self, about: Entry, kind: str, body: dict[str, Any]) -> None:
        event = Event(kind=kind, actor=about.actor, subject=about.subject, body={**body, "recovered": True})
        self._services.log.append([event])


def recover_releases(services: Services) -> tuple[Recovered, ...]:
    """Put right every release that no living process works on.

    Raises:
        StoreError: log or store refused; what was not put right stays for the next time.
    """
    found: list[Recovered] = []
    work = services.settings.work
    left = [path for form in ("json", "mp4") for path in work.glob(f"{RELEASE}*.{form}")]
    names = {path.stem.removeprefix(RELEASE) for path in left}
    for case_id in sorted(names):
        try:
            case = services.cases.show(case_id)
            lock = Lock.take(_journal(services, case_id))
        except (AuditError, OSError):
            continue  # no case of ours; nothing is known about it, so nothing is touched
        if lock is None:
            continue
        journal = ReleaseJournal(services, case, lock)
        try:
            released = journal.settle()
        except BaseException:
            journal.leave()
            raise
        journal.done()
        if released is not None:
            found.append(Recovered(case_id=case_id, released=released))
    return tuple(found)


def recover_quietly(services: Services) -> None:
    """At the start of a program: what cannot be put right now is told by ``doctor``."""
    with suppress(GuardedSoraError, OSError):
        recover_releases(services)


def release_event(case: Case, kind: str, **more: Any) -> Event:
    """An event of a case's release."""
    return Event(
        kind=kind,
        actor="reviewer",
        subject=case.case_id,
        body={"about": case.subject, "kind": case.kind, **more},
    )


def held_film(services: Services, case_id: str) -> Path:
    """Where the film of a case waits."""
    return services.settings.held / f"{case_id}.mp4"


def pictures_of(services: Services, film: Path) -> tuple[Path, ...]:
    """Pictures that were made of a film: its contact sheet, and what the console shows of it."""
    previews = services.settings.home / "previews"
    return (film.with_name(f"{film.stem}.contact-sheet.png"), *previews.glob(f"{film.stem}.*"))


def working_film(services: Services, case_id: str) -> Path:
    """Where it lies while it is being released."""
    return services.settings.work / f"{RELEASE}{case_id}.mp4"


def default_place(services: Services, clip_id: ClipId) -> Path:
    """Where a released film goes when nobody named a place."""
    return services.settings.clips / f"{str(clip_id).replace(':', '-')}.mp4"


def _journal(services: Services, case_id: str) -> Path:
    return services.settings.work / f"{RELEASE}{case_id}.json"


def _is(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and sha256_file(path) == sha256
    except OSError:
        return False
