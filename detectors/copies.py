"""Protected works in pictures and films: seconds that a registered picture or clip also shows.

Every second is hashed and looked up, also mirrored. A register of up to 50,000 seconds (a million with
faiss) is compared whole, within 60 of 256 bits; a larger one is searched by its bands, exactly within
31 bits, which gives away overlays and small crops. References found that way are then compared whole,
so that the seconds in between count too.

What hashes do not survive (crops, turns, picture in picture) is looked for in one picture of each
second by local features (:mod:`guarded_sora.detectors.keyframes`), among up to
5,000 registered pictures. Both ways are measured in ``benchmarks/copies.py``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from guarded_sora.detectors.check import FilmReport
from guarded_sora.detectors.fingerprint import (
    MIN_QUALITY,
    SAME,
    FingerprintMatch,
    SecondHash,
    fingerprint,
    match,
    mirrored,
)
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.gallery import WorkHashes, WorkHit, WorkIndex, WorkReference
from guarded_sora.detectors.keyframes import MODEL, MOST_KEYFRAMES, KeyframeIndex, Shown, Still, Stills
from guarded_sora.policies.finding import Finding, Modality, TimeSpan

WITHIN = 31
MOST_LOOKUPS = 600
"""Seconds of a film that are looked up; of longer films evenly spread ones."""

MOST_REFERENCES = 32
MOST_IN_MEMORY = 50_000
"""Registered seconds up to which all of them are compared: 1.6 megabytes, some milliseconds a look-up."""

MOST_WITH_FAISS = 1_000_000
"""The same where faiss is installed: 32 megabytes in its index, and about as long a look-up."""

MOST_LOOKS = 120
"""Pictures of a film that are searched for parts of registered ones: 70 to 130 ms of CPU each, so 16 s."""


class WorksFrames:
    """A frame check against registered works."""

    name = "frames.works"
    version = f"pdq-class-2+{MODEL}"

    def __init__(self, works: WorkIndex) -> None:
        self._works = works
        self._lock = threading.Lock()
        self._version = ""
        self._small: WorkHashes | None = None
        self._parts_version = ""
        self._parts: KeyframeIndex | None = None
        self._stale = 0

    @property
    def unavailable(self) -> str:
        """Empty when a work is registered."""
        return "" if self._works.registered() else "no protected work has a registered picture or clip"

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        """What is seen in one batch."""
        return self.inspect_film([frames]).findings

    def inspect_film(self, frames: Iterable[FrameBatch]) -> FilmReport:
        """One finding for each registered work of which the film shows at least a second."""
        stills = Stills(most=MOST_LOOKS)
        hashes = fingerprint(stills.watching(frames))
        telling = [item for item in hashes if item.quality >= MIN_QUALITY]
        findings: dict[str, Finding] = {}
        for reference, seconds in self._candidates(telling):
            found = self._finding(reference, match(telling, reference.hashes), seconds, len(hashes))
            known = findings.get(reference.subject)
            if known is None or (found.score or 0.0) > (known.score or 0.0):
                findings[reference.subject] = found
        parts = self._index()
        for reference, shown in self._in_part(parts, stills.taken()):
            findings.setdefault(reference.subject, self._part(reference, shown, len(hashes)))
        flat = len(hashes) - len(telling)
        return FilmReport(
            findings=tuple(findings.values()),
            result=f"{len(telling)} seconds compared, {flat} too plain to tell" + self._said(parts),
            score=max((item.score or 0.0 for item in findings.values()), default=0.0 if telling else None),
            threshold=1.0 - (WITHIN if self._small is None else SAME) / 256,
        )

    def _candidates(self, telling: Sequence[SecondHash]) -> list[tuple[WorkReference, list[float]]]:
        seconds: dict[int, set[float]] = {}
        step = max(1, -(-len(telling) // MOST_LOOKUPS))
        for item in telling[::step]:
            for bits in (item.bits, mirrored(item.bits)):
                for hit in self._lookup(bits):
                    seconds.setdefault(hit.reference, set()).add(item.second)
        most = sorted(seconds, key=lambda reference: -len(seconds[reference]))[:MOST_REFERENCES]
        found = []
        for reference in most:
            work = self._works.work(reference)
            if work is not None:
                found.append((work, sorted(seconds[reference])))
        return found

    def _lookup(self, bits: bytes) -> Sequence[WorkHit]:
        version = self._works.works_version()
        with self._lock:
            if version != self._version:
                most = MOST_WITH_FAISS if find_spec("faiss") is not None else MOST_IN_MEMORY
                small = self._works.work_hashes(most=most)
                self._small = small.indexed() if small is not None else None
                self._version = version
            small = self._small
        if small is not None:
            return small.resembling(bits, within=SAME)
        return self._works.resembling_works(bits, within=WITHIN)

    def _finding(
        self, reference: WorkReference, compared: FingerprintMatch, seconds: list[float], total: int
    ) -> Finding:
        matched = max(compared.matched_seconds, len(seconds))
        evidence = f"{matched} of {total} seconds are in registered {reference.kind} {reference.reference}"
        distance = compared.distance if compared.matched_seconds else WITHIN
        return self._seen(reference, evidence, distance, seconds, total, mirrored=compared.flipped)

    def _part(self, reference: WorkReference, seen: list[tuple[float, Shown]], total: int) -> Finding:
        surest = max((shown for _, shown in seen), key=lambda shown: shown.agreeing)
        seconds = sorted({float(math.floor(second)) for second, _ in seen})
        evidence = (
            f"{len(seconds)} of {total} seconds show a part of registered {reference.kind} "
            f"{reference.reference}, {surest.agreeing} features agree, scale {surest.scale:.2f}"
        )
        return self._seen(reference, evidence, surest.distance, seconds, total, mirrored=surest.mirrored)

    def _seen(
        self,
        reference: WorkReference,
        evidence: str,
        distance: float,
        seconds: Sequence[float],
        total: int,
        *,
        mirrored: bool,
    ) -> Finding:
        return Finding(
            category="ip.work",
            severity=3,
            detector=self.name,
            detector_version=self.version,
            modality=Modality.IMAGE if total == 1 else Modality.VIDEO,
            score=1.0 - distance / 256,
            where=TimeSpan(start=seconds[0], end=seconds[-1] + 1.0),
            evidence=evidence + (", mirrored" if mirrored else ""),
            subject=reference.subject,
        )

    def _index(self) -> KeyframeIndex | None:
        """Registered pictures by their features; None when there are too many to search."""
        version = self._works.works_version()
        with self._lock:
            if version != self._parts_version:
                stored = self._works.work_keyframes(most=MOST_KEYFRAMES)
                self._parts = None if stored is None else KeyframeIndex(stored.keyframes, stored.references)
                self._stale = 0 if stored is None else stored.stale
                self._parts_version = version
            return self._parts

    def _said(self, parts: KeyframeIndex | None) -> str:
        if parts is None:
            return f"; parts not looked for, more than {MOST_KEYFRAMES} pictures are registered"
        stale = f", {self._stale} described by an older version left out" if self._stale else ""
        return f"; parts of {len(parts)} pictures looked for{stale}" if len(parts) or stale else ""

    def _in_part(
        self, parts: KeyframeIndex | None, stills: Sequence[Still]
    ) -> list[tuple[WorkReference, list[tuple[float, Shown]]]]:
        """References of which the film shows a part, each with the times and what was seen."""
        if parts is None:
            return []
        seen: dict[int, list[tuple[float, Shown]]] = {}
        for still in stills:
            for shown in parts.shown(still):
                seen.setdefault(shown.owner, []).append((still.second, shown))
        most = sorted(seen, key=lambda reference: -len(seen[reference]))[:MOST_REFERENCES]
        works = ((self._works.work(reference), seen[reference]) for reference in most)
        return [(work, shown) for work, shown in works if work is not None]
