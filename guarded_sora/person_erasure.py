"""Erase one person: what the log holds of them, and the films of theirs that wait for a reviewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guarded_sora.audit.case import CLOSED, Case
from guarded_sora.audit.erasure import Erased
from guarded_sora.audit.errors import AuditError, Conflict
from guarded_sora.errors import MediaError, StoreError, UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.recovery import held_film, pictures_of, working_film
from guarded_sora.services import Services
from guarded_sora.store import ClipState

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonErased:
    """``films``: how many held films were deleted. ``cases``: those that ended with it."""

    erased: Erased
    films: int
    cases: tuple[str, ...]


def erase_person(services: Services, owner: str, *, actor: str, reason: str) -> PersonErased:
    """Erase what is kept of the pseudonym ``owner``; every proof goes on holding.

    Films of theirs that wait under ``home/held``, or lie aside after a notice, are deleted, their
    fingerprints forgotten and their cases ended. What was released is not ours to take back. Doing it
    again finishes what a crash cut off.

    Raises:
        AuditError: ``ErasureRefused`` under a hold; nothing was erased or deleted then.
        MediaError: a film could not be deleted; the rest was.
        StoreError: the database refused.
    """
    erased = services.log.erase(owner, actor=actor, reason=reason)
    films = 0
    ended: list[str] = []
    after: int | None = None
    while page := services.cases.list(owner=owner, after=after, limit=_PAGE):
        for case in page:
            films += _drop_film(services, case)
            if case.state != CLOSED and case.kind in ("film", "prompt"):
                try:
                    services.cases.drop(case.case_id, actor=actor, reason_code="erased")
                except Conflict:
                    continue  # somebody closed it meanwhile
                except AuditError as error:
                    raise StoreError(f"Case {case.case_id} could not be ended: {error}") from error
                ended.append(case.case_id)
        after = page[-1].opened_seq
    return PersonErased(erased=erased, films=films, cases=tuple(ended))


def _drop_film(services: Services, case: Case) -> int:
    film = held_film(services, case.case_id)
    aside = _aside(services, case.case_id)
    films = (film, working_film(services, case.case_id), *(path for path in aside if path.suffix != ".png"))
    paths = (*films, *pictures_of(services, film), *aside)
    there = [path for path in paths if path.is_file()]
    try:
        for path in there:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise MediaError(
            f"{error.filename} could not be deleted ({error.strerror}); unlock it and erase again."
        ) from error
    if case.kind == "film":
        try:
            record = services.store.by_id(ClipId.parse(case.subject))
        except UsageError:
            record = None
        if record is not None and record.state is ClipState.HELD:
            services.store.settle(record.clip_id, state=ClipState.WITHDRAWN)
            services.store.forget(record.clip_id)
        elif record is not None and aside:
            services.store.forget(record.clip_id)
    return int(any(path in there for path in films))


def _aside(services: Services, case_id: str) -> tuple[Path, ...]:
    """What a notice took down while it waited lies under the notice's case. Of a child-safety notice it is
    evidence, kept until it is handed off."""
    found = (services.settings.home / "withdrawn").glob(f"*/held/{case_id}.*")
    kinds = {path: services.cases.show(path.parent.parent.name).kind for path in found}
    return tuple(path for path, kind in sorted(kinds.items()) if kind != "notice.child_safety")
