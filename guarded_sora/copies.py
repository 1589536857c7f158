"""Find the copies of a film: in the store, among what was ever verified, and in folders of films.

A copy is known by its bytes, by its mark (cropped, turned, re-encoded), or by its fingerprint
(re-encoded, mirrored, cut). A cropped copy without its mark is not found.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guarded_sora.detectors.fingerprint import MIN_QUALITY, SecondHash, fingerprint, match, mirrored
from guarded_sora.errors import GuardedSoraError, UsageError
from guarded_sora.finish import look_at
from guarded_sora.media import sha256_file
from guarded_sora.progress import Progress, Silent
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.watermark.contract import MarkState
from guarded_sora.services import Services
from guarded_sora.stages import StageRunner
from guarded_sora.store import ClipState
from guarded_sora.store.stay_downs import LEAST_SHARE

SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".mpeg", ".gif"})
MOST_FILES = 100_000
_KNOWN = (ClipState.RELEASED, ClipState.HELD, ClipState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The film whose copies are looked for: what is known of it."""

    clip_id: ClipId | None = None
    file_sha256: str | None = None
    hashes: tuple[SecondHash, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy. ``place``: store, log or file. ``by``: file, watermark or fingerprint. ``path`` is None
    where only the record of a copy is known."""

    place: str
    by: str
    clip_id: ClipId | None = None
    file_sha256: str | None = None
    path: Path | None = None
    hashes: tuple[SecondHash, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySearch:
    """What a search found. ``examined`` files were looked at; ``failed`` of them could not be read."""

    copies: tuple[Copy, ...]
    examined: int = 0
    failed: tuple[Path, ...] = ()


def find_copies(
    services: Services, wanted: Wanted, folders: Sequence[Path] = (), progress: Progress | None = None
) -> CopySearch:
    """Search the store, the log, and every film below ``folders`` and this installation's own.

    Raises:
        UsageError: a folder that is none, or more than ``MOST_FILES`` films.
        StoreError: store or log refused.
    """
    copies = [*_in_store(services, wanted), *_in_log(services, wanted)]
    failed: list[Path] = []
    shown = progress or Silent()
    shown.stage("copies")
    files = list(_films((services.settings.clips, services.settings.held, *folders)))
    for number, path in enumerate(files, 1):
        try:
            found = _examine(services, wanted, path)
        except (GuardedSoraError, OSError):
            failed.append(path)
        else:
            copies += [] if found is None else [found]
        shown.step(number, len(files))
    return CopySearch(copies=tuple(copies), examined=len(files), failed=tuple(failed))


def search_records(services: Services, wanted: Wanted) -> CopySearch:
    """:func:`find_copies` without opening a film: quick enough to do while somebody waits."""
    return CopySearch(copies=(*_in_store(services, wanted), *_in_log(services, wanted)))


def alike(a: Sequence[SecondHash], b: Sequence[SecondHash]) -> bool:
    """Whether half of one film is half of the other, mirrored or not; flat pictures say nothing."""
    there = match(a, b)
    return not there.flat and max(there.similarity, match(b, a).similarity) >= LEAST_SHARE


def _in_store(services: Services, wanted: Wanted) -> Iterator[Copy]:
    """Clips of ours that look like it: its own later versions, and copies that were protected here."""
    near: set[ClipId] = set()
    for item in wanted.hashes:
        if item.quality >= MIN_QUALITY:
            for bits in (item.bits, mirrored(item.bits)):
                near |= {hit.clip_id for hit in services.store.resembling(bits)}
    for clip_id in sorted(near - {wanted.clip_id}, key=str):
        record = services.store.by_id(clip_id)
        hashes = services.store.fingerprint(clip_id)
        if record is not None and record.state in _KNOWN and alike(hashes, wanted.hashes):
            yield Copy(
                place="store",
                by="fingerprint",
                clip_id=clip_id,
                file_sha256=record.file_sha256,
                hashes=hashes,
            )


def _in_log(services: Services, wanted: Wanted) -> Iterator[Copy]:
    """Files that somebody had verified and that were found to be this clip; the log kept their SHA-256."""
    if wanted.clip_id is None:
        return
    seen = {wanted.file_sha256}
    after: int | None = None
    subject = str(wanted.clip_id)
    while page := services.log.search(kind="clip.verified", subject=subject, after=after, limit=1000):
        for entry in page:
            sha256 = entry.body.get("file_sha256")
            if isinstance(sha256, str) and sha256 not in seen:
                seen.add(sha256)
                yield Copy(place="log", by="verified", clip_id=wanted.clip_id, file_sha256=sha256)
        after = page[-1].seq


def _films(folders: Sequence[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder in folders:
        if folder.is_file():
            raise UsageError(f"{folder} is a file; name the folder it lies in.")
        for root, _, names in os.walk(folder):  # links to folders are not followed
            for name in sorted(names):
                path = Path(root) / name
                real = path.resolve()
                if path.suffix.lower() not in SUFFIXES or real in seen or not real.is_file():
                    continue
                seen.add(real)
                if len(seen) > MOST_FILES:
                    raise UsageError(f"There are more than {MOST_FILES:,} films below {folder}; name a part.")
                yield path


def _examine(services: Services, wanted: Wanted, path: Path) -> Copy | None:
    """Whether the film at ``path`` is a copy. Raises MediaError for what is no film."""
    sha256 = sha256_file(path)
    if sha256 == wanted.file_sha256:
        return Copy(place="file", by="file", clip_id=wanted.clip_id, file_sha256=sha256, path=path)
    known = next(iter(services.store.by_sha256(sha256)), None)
    if known is not None:
        # A film of ours as it left: what the store keeps of it tells the same, and no film is opened.
        hashes = services.store.fingerprint(known.clip_id)
        if not (wanted.hashes and alike(hashes, wanted.hashes)):
            return None
        return Copy(
            place="file",
            by="fingerprint",
            clip_id=known.clip_id,
            file_sha256=sha256,
            path=path,
            hashes=hashes,
        )
    stream = look_at(path, services.worker)
    hashes = fingerprint(stream)
    by = "fingerprint" if wanted.hashes and alike(hashes, wanted.hashes) else ""
    if not by and wanted.clip_id is not None:
        runner, deadline = StageRunner(worker=services.worker), services.settings.deadlines.mark
        mark = runner.run("watermark", services.mark.detect, stream, deadline=deadline)
        if mark.state is MarkState.PRESENT and mark.payload and mark.payload.id == wanted.clip_id.id:
            by = "watermark"
    if not by:
        return None
    return Copy(place="file", by=by, clip_id=wanted.clip_id, file_sha256=sha256, path=path, hashes=hashes)
