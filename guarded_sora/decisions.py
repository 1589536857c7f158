"""Decide a case and do what the decision brings about; one way for the command line and the console.

A notice that is upheld takes a film down: withdrawn in the store, out of our folders, its fingerprint
and those of its copies refused from then on. An appeal that overturns lets all of it back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from guarded_sora.audit.case import APPEALED, CLOSED, DECIDED, Case
from guarded_sora.audit.entry import Entry
from guarded_sora.audit.errors import AuditError
from guarded_sora.copies import Copy, Wanted
from guarded_sora.detectors.fingerprint import match
from guarded_sora.errors import StoreError, UsageError
from guarded_sora.media import sha256_file
from guarded_sora.notices import is_notice, known_copies, look_for_copies, wanted_of, write_event
from guarded_sora.progress import Progress
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.recovery import default_place, held_film, pictures_of
from guarded_sora.services import Services
from guarded_sora.store import ClipState
from guarded_sora.store.stay_downs import LEAST_SHARE

TAKING_DOWN = "notice.taking_down"
TAKEN_DOWN = "notice.taken_down"
LET_BACK = "notice.let_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A case after a decision. ``elsewhere``: copies in folders that are not ours to empty."""

    case: Case
    clips: tuple[ClipId, ...] = ()
    moved: tuple[Path, ...] = ()
    elsewhere: tuple[Path, ...] = ()


def decide_case(
    services: Services,
    case_id: str,
    action: str,
    *,
    reviewer: str,
    reason_code: str,
    note: str = "",
    rules: Sequence[str] = (),
    progress: Progress | None = None,
) -> Settled:
    """Decide a case, or the appeal against it, and carry the decision out once it is in force.

    Raises:
        AuditError: ``NotFound``, ``Conflict`` or ``EntryInvalid`` as in :class:`CaseBook`.
        StoreError: what was decided could not be carried out; :func:`carry_out` does it again.
    """
    if action not in ("allow", "block"):
        raise UsageError("A case is decided 'allow' or 'block'.")
    cases = services.cases
    before = cases.show(case_id)
    if before.state == APPEALED:
        outcome = "uphold" if action == before.action else "overturn"
        after = cases.decide_appeal(
            case_id,
            outcome,
            reviewer=reviewer,
            reason_code=reason_code,
            action=action if outcome == "overturn" else None,
            note=note,
        )
    else:
        after = cases.decide(
            case_id, action, reviewer=reviewer, reason_code=reason_code, note=note, rules=rules
        )
    return carry_out(services, after, actor=reviewer, progress=progress)


def carry_out(
    services: Services, case: Case, *, actor: str = "system", progress: Progress | None = None
) -> Settled:
    """Do what the decision in force asks for; doing it again changes nothing."""
    if not is_notice(case) or case.state not in (DECIDED, CLOSED):
        return Settled(case=case)
    if case.action == "block":
        return _take_down(services, case, actor, progress)
    return _let_back(services, case, actor)


def _take_down(services: Services, case: Case, actor: str, progress: Progress | None) -> Settled:
    wanted = wanted_of(services, case)
    copies = known_copies(services, case)
    if copies is None and (wanted.clip_id or wanted.file_sha256):
        copies = look_for_copies(services, case, wanted, progress=progress).copies
    films = _films_of(wanted, copies or ())
    clips = _clips_of(services, films)
    # What was is told first: should this be cut off, an appeal still knows what to bring back.
    write_event(services, TAKING_DOWN, case, {"clips": clips}, actor=actor)
    for item in films:
        ours = item.clip_id if item.place == "store" else None
        services.stay_downs.put(case.case_id, clip_id=ours, file_sha256=item.file_sha256, hashes=item.hashes)
    gone = [ClipId.parse(item["clip_id"]) for item in clips]
    for clip_id in gone:
        services.store.settle(clip_id, state=ClipState.WITHDRAWN)
    moved, elsewhere = _clear(services, case, gone, copies or ())
    known = services.stay_downs.of_case(case.case_id)
    body = {
        "clips": clips,
        "stay_down": len(known),
        "files": sorted({item.file_sha256 for item in known if item.file_sha256}),
        "moved": [path.name for path in moved],
        "elsewhere": len(elsewhere),
    }
    write_event(services, TAKEN_DOWN, case, body, actor=actor)
    return Settled(
        case=case,
        clips=tuple(gone),
        moved=tuple(moved),
        elsewhere=tuple(elsewhere),
    )


def _films_of(wanted: Wanted, copies: Sequence[Copy]) -> list[Copy]:
    """The film itself, then its copies, as what has to stay down."""
    own: list[Copy] = []
    if wanted.clip_id or wanted.file_sha256:
        own.append(
            Copy(
                place="store" if wanted.clip_id else "file",
                by="notice",
                clip_id=wanted.clip_id,
                file_sha256=wanted.file_sha256,
                hashes=wanted.hashes,
            )
        )
    # The very file of the film itself is no copy of it.
    others = (copy for copy in copies if copy.file_sha256 is None or copy.file_sha256 != wanted.file_sha256)
    return [*own, *(copy for copy in others if _holds(copy, wanted))]


def _holds(copy: Copy, wanted: Wanted) -> bool:
    """Whether the copy shows what was complained of, and is not just a part of it.

    An upload may string many films together; none of them goes down for that, though all are listed.
    """
    if wanted.clip_id is not None or not wanted.hashes or not copy.hashes:
        return True
    return match(wanted.hashes, copy.hashes).similarity >= LEAST_SHARE


def _clips_of(services: Services, films: Sequence[Copy]) -> list[dict[str, str]]:
    """The clips of ours among ``films`` that are out or wait, or were before a notice took them down."""
    found: dict[str, str] = {}
    for item in films:
        if item.clip_id is not None and item.place == "store":
            was = _before(services, item.clip_id)
            if was is not None:
                found[str(item.clip_id)] = was
    return [{"clip_id": clip_id, "was": was} for clip_id, was in found.items()]


def _before(services: Services, clip_id: ClipId) -> str | None:
    """The state of a clip before any notice; None where it was withdrawn for another reason."""
    record = services.store.by_id(clip_id)
    if record is None:
        return None
    if record.state in (ClipState.RELEASED, ClipState.HELD):
        return record.state.value
    kept = services.stay_downs.of_clip(clip_id)
    for entry in _taken(services, kept.case_id) if kept is not None else ():
        for item in entry.body["clips"]:
            if item["clip_id"] == str(clip_id):
                return str(item["was"])
    return None


def _taken(services: Services, case_id: str) -> list[Entry]:
    try:
        return services.log.search(kind=TAKING_DOWN, subject=case_id, limit=1000)
    except AuditError as error:
        raise StoreError(f"The log could not be read: {error}") from error


def _clear(
    services: Services, case: Case, clips: Sequence[ClipId], copies: Sequence[Copy]
) -> tuple[list[Path], list[Path]]:
    """Move films out of our own folders, where an appeal can bring them back; name those elsewhere."""
    ours = (services.settings.clips.resolve(), services.settings.held.resolve())
    found = [copy.path for copy in copies if copy.path is not None]
    candidates = [*(default_place(services, clip_id) for clip_id in clips), *found]
    candidates.append(held_film(services, case.case_id))
    aside = _aside(services, case.case_id)
    moved: list[Path] = []
    elsewhere: list[Path] = []
    for path in dict.fromkeys(item.resolve() for item in candidates):
        if not path.is_file():
            continue
        if path.parent not in ours:
            elsewhere.append(path)
            continue
        try:
            for name in (path, path.with_name(f"{path.stem}.contact-sheet.png")):
                if name.is_file():
                    target = aside / path.parent.name / name.name
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    os.replace(name, target)
        except OSError as error:
            raise StoreError(
                f"{path} could not be taken down ({error.strerror}); unlock it, then run "
                f"'guarded-sora cases carry-out {case.case_id}'."
            ) from error
        for picture in pictures_of(services, path):
            picture.unlink(missing_ok=True)
        moved.append(aside / path.parent.name / path.name)
    return moved, elsewhere


def _let_back(services: Services, case: Case, actor: str) -> Settled:
    """An appeal found the film right: what this case took down comes back, unless another keeps it down."""
    entries = _taken(services, case.case_id)
    if not entries:
        return Settled(case=case)
    lifted = services.stay_downs.lift(case.case_id)
    back: list[ClipId] = []
    for item in (clip for entry in entries for clip in entry.body["clips"]):
        clip_id = ClipId.parse(item["clip_id"])
        if clip_id not in back and services.stay_downs.of_clip(clip_id) is None:
            services.store.settle(clip_id, state=ClipState(item["was"]))
            back.append(clip_id)
    moved: list[Path] = []
    for folder in (services.settings.clips, services.settings.held):
        aside = _aside(services, case.case_id) / folder.name
        homes: dict[str, Path] = {}
        # Films first: a contact sheet goes where its film goes.
        for path in sorted(aside.iterdir(), key=lambda item: item.suffix == ".png") if aside.is_dir() else ():
            stem = path.stem.removesuffix(".contact-sheet")
            try:
                if path.suffix != ".png":
                    homes[stem] = _home_of(services, path, folder)
                home = homes.get(stem, folder)
                home.mkdir(mode=0o777 if home == folder else 0o700, parents=True, exist_ok=True)
                os.replace(path, home / path.name)
            except OSError as error:
                raise StoreError(
                    f"{path} could not be put back ({error.strerror}); unlock its folder, then run "
                    f"'guarded-sora cases carry-out {case.case_id}'."
                ) from error
            if home == folder:
                moved.append(folder / path.name)
    body = {"clips": [str(clip_id) for clip_id in back], "lifted": lifted, "moved": len(moved)}
    write_event(services, LET_BACK, case, body, actor=actor)
    return Settled(case=case, clips=tuple(back), moved=tuple(moved))


def _home_of(services: Services, film: Path, folder: Path) -> Path:
    """``folder``, or where another case that keeps this film down has its films: lifting one notice must
    not bring back what the other took down."""
    kept = services.stay_downs.of_file(sha256_file(film))
    return folder if kept is None else _aside(services, kept.case_id) / folder.name


def _aside(services: Services, case_id: str) -> Path:
    """Where the films of a notice lie while they are down."""
    return services.settings.home / "withdrawn" / case_id
