"""Which clip of ours a film is, if any, and how its picture compares with what we released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from guarded_sora.detectors.fingerprint import (
    BITS,
    MIN_QUALITY,
    FingerprintMatch,
    SecondHash,
    match,
    match_placed,
    mirrored,
    pictures,
)
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkSegment, MarkState
from guarded_sora.provenance.watermark.placement import placements
from guarded_sora.provenance.watermark.tile import TILE
from guarded_sora.store import ClipRecord, ClipState, ClipStore
from guarded_sora.verdicts import ContentSign

MOST_LOOKUPS = 120  # seconds of a film that are looked up; of longer films evenly spread ones
_STILL = 2.0  # canonical pixels that a re-encoding may seem to move a picture
_FEW_SECONDS, _UNLIKE = 3, 96  # so short a cut is another film only where it is far from every second
_PLACED_OTHER = 70  # of 256; a match ends at 64, and in between nothing is said
_LEAST_SHARE = 0.5  # of the looked-up seconds that must lead to one clip
_KNOWN = (ClipState.RELEASED, ClipState.HELD, ClipState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSegment:
    """Seconds that belong to ``clip_id`` (None: to nobody we know); ``state`` as the mark or ``content``."""

    start: float
    end: float
    clip_id: ClipId | None
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """``marked``: the clip the mark names. ``claimed``: the one our credentials name. ``record``: the
    clip the film was compared with. ``by`` says which leg led there."""

    marked: ClipRecord | None = None
    claimed: ClipRecord | None = None
    record: ClipRecord | None = None
    by: str = ""
    content: ContentSign = ContentSign.NONE
    compared: FingerprintMatch | None = None
    seconds: int = 0
    segments: tuple[OwnSegment, ...] = ()
    hashes: tuple[SecondHash, ...] = ()

    def detail(self) -> dict[str, Any]:
        """For the evidence."""
        found: dict[str, Any] = {"by": self.by or None, "seconds": self.seconds}
        if self.record is not None:
            found["clip_id"] = str(self.record.clip_id)
        if self.compared is not None:
            found |= {
                "matched": self.compared.matched_seconds,
                "of": self.compared.usable_seconds,
                "distance": round(self.compared.distance, 1),
                "offset": self.compared.offset,
                "flipped": self.compared.flipped,
                "flat": self.compared.flat,
            }
        return found


def identify(
    store: ClipStore,
    frames: Iterable[FrameBatch],
    hashes: tuple[SecondHash, ...],
    *,
    size: tuple[int, int],
    mark: MarkEvidence | None,
    claimed: str,
) -> Identity:
    """Compare a film with the clip that its mark, our credentials or its looks lead to, in this order.

    Args:
        frames: re-iterable; read once more for a copy that was cropped or turned.
        hashes: the fingerprints of ``frames``.
        size: width and height of the film in pixels.
        claimed: clip id that credentials under our own root name; empty for none.

    Raises:
        StoreError: the store refused.
    """
    marked = _marked(store, mark)
    named = _named(store, claimed)
    record, by = (marked, "watermark") if marked else (named, "credentials") if named else (None, "")
    if record is None:
        record, by = _lookalike(store, hashes), "fingerprint"
    if record is None:
        return Identity(seconds=len(hashes), hashes=hashes)
    stored = store.fingerprint(record.clip_id)
    compared = match(hashes, stored) if stored and hashes else None
    content = _content(compared, hashes, stored, moved=_moved(mark))
    if content is ContentSign.NONE and mark is not None and _moved(mark):
        laid = _lay_over(frames, size, mark, record, stored)
        content, compared = _laid_content(laid), laid or compared
    return Identity(
        marked=marked,
        claimed=named,
        record=record,
        by=by,
        content=content,
        compared=compared,
        seconds=len(hashes),
        segments=_segments(store, mark, record, content, hashes),
        hashes=hashes,
    )


def _marked(store: ClipStore, mark: MarkEvidence | None) -> ClipRecord | None:
    if mark is None or mark.payload is None:
        return None
    return next((item for item in store.by_number(mark.payload.id) if item.state in _KNOWN), None)


def _named(store: ClipStore, claimed: str) -> ClipRecord | None:
    if not claimed:
        return None
    try:
        record = store.by_id(ClipId.parse(claimed))
    except UsageError:
        return None
    return record if record is not None and record.state in _KNOWN else None


def _lookalike(store: ClipStore, hashes: Sequence[SecondHash]) -> ClipRecord | None:
    """The clip that most seconds of the film resemble, if most of them do."""
    telling = [item for item in hashes if item.quality >= MIN_QUALITY]
    step = max(1, len(telling) // MOST_LOOKUPS)
    looked_up = telling[::step]
    votes: Counter[ClipId] = Counter()
    for item in looked_up:
        hits = {hit.clip_id for bits in (item.bits, mirrored(item.bits)) for hit in store.resembling(bits)}
        votes.update(hits)
    for clip_id, count in votes.most_common():
        record = store.by_id(clip_id)
        if count >= _LEAST_SHARE * len(looked_up) and record is not None and record.state in _KNOWN:
            return record
    return None


def _content(
    compared: FingerprintMatch | None,
    hashes: Sequence[SecondHash],
    stored: Sequence[SecondHash],
    *,
    moved: bool,
) -> ContentSign:
    """How the film compares; ``moved`` pictures (cropped, turned) cannot be compared second by second."""
    if compared is None:
        return ContentSign.NONE
    if compared.matched_seconds == 0:
        # Flat pictures all look alike to a fingerprint; a flat one beside a busy one does not.
        both_flat = compared.flat and _flat(hashes) and _flat(stored)
        # A second that begins between two stored ones, or ends early, resembles both and matches neither.
        cut_out = len(hashes) <= _FEW_SECONDS and compared.distance <= _UNLIKE
        return ContentSign.NONE if moved or both_flat or cut_out else ContentSign.OTHER
    whole = (
        compared.similarity == 1.0
        and not compared.flipped
        and abs(len(hashes) - len(stored)) <= 1
        and abs(compared.offset or 0.0) < 1.0
    )
    return ContentSign.SAME if whole else ContentSign.PARTLY


def _flat(hashes: Sequence[SecondHash]) -> bool:
    return all(item.quality < MIN_QUALITY for item in hashes)


def _lay_over(
    frames: Iterable[FrameBatch],
    size: tuple[int, int],
    mark: MarkEvidence,
    record: ClipRecord,
    stored: Sequence[SecondHash],
) -> FingerprintMatch | None:
    """Compare a cropped or turned copy cell by cell, laid where the mark says that it was."""
    if mark.geometry is None or record.size is None:
        return None
    original = (record.size[1], record.size[0])
    spots = placements(mark.geometry, (size[1], size[0]), original)
    return match_placed(list(pictures(frames)), stored, spots)


def _laid_content(laid: FingerprintMatch | None) -> ContentSign:
    if laid is None or laid.distance >= BITS:
        return ContentSign.NONE  # too little of the original is in sight
    if laid.similarity >= _LEAST_SHARE:
        return ContentSign.PARTLY
    return ContentSign.OTHER if laid.distance > _PLACED_OTHER else ContentSign.NONE


def _moved(mark: MarkEvidence | None) -> bool:
    """Whether the mark was found in a picture that was cropped, padded, turned or set into another."""
    if mark is None or mark.geometry is None:
        return False
    geometry = mark.geometry
    shifted = any(min(side % TILE, -side % TILE) > _STILL for side in geometry.shift)
    stretched = abs(geometry.scale - 1.0) > 0.02 or abs(geometry.aspect - 1.0) > 0.02
    return shifted or stretched or geometry.angle != 0.0


def _segments(
    store: ClipStore,
    mark: MarkEvidence | None,
    record: ClipRecord,
    content: ContentSign,
    hashes: Sequence[SecondHash],
) -> tuple[OwnSegment, ...]:
    if mark is not None and mark.segments:
        return tuple(_segment(store, part) for part in mark.segments)
    if content is ContentSign.NONE or not hashes:
        return ()
    return (
        OwnSegment(
            start=hashes[0].second, end=hashes[-1].second + 1.0, clip_id=record.clip_id, state=content.value
        ),
    )


def _segment(store: ClipStore, part: MarkSegment) -> OwnSegment:
    owner = None
    if part.state is MarkState.PRESENT and part.id is not None:
        owner = next((item.clip_id for item in store.by_number(part.id) if item.state in _KNOWN), None)
    return OwnSegment(start=part.start, end=part.end, clip_id=owner, state=part.state.value)
