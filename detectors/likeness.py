"""Protected people in pictures and films: faces are matched against enrolled templates and forgotten.

A match is a distance of protected templates below a bound. The bound follows from what the operator
wants: at most so many strangers in a thousand may be taken for somebody of the gallery (the
false-positive identification rate). With N people enrolled each comparison may then err N times
more rarely, so the bound tightens as the gallery grows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import NormalDist

from guarded_sora.detectors.check import FilmReport
from guarded_sora.detectors.errors import DetectorError
from guarded_sora.detectors.faces import Face, FaceModel, turned
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.gallery import Gallery, ProtectedFaces
from guarded_sora.detectors.sampling import looks
from guarded_sora.detectors.templates import angle_share, protect_template, template_distances
from guarded_sora.policies.finding import Box, Finding, Modality

FALSE_POSITIVE_RATE = 0.01
"""Share of strangers' faces that may be taken for somebody enrolled: the default target."""

EMBEDDING_NORM = 1.4
"""Typical length of the packaged model's embeddings; see ``benchmarks/likeness.py``."""

SAME_PERSON = angle_share(0.6, EMBEDDING_NORM)
"""The model's own bound (Euclidean distance 0.6) as a share of template bits: never looser than this."""

STRANGERS = NormalDist(mu=0.1619, sigma=0.0160)
"""Template distances of different people: a normal line through the nearest 0.1 to 5 per cent of 19,190
pairs of pictures of 20 people, without ten pairs of one mislabelled picture. Pairs that are far apart
are never confused, so they do not count."""

REVIEW_MARGIN = 1.1
"""Up to this factor above the bound a face is near enough that a person should look."""

RATE = 1.0


class TemplatesStale(DetectorError):
    """Enrolled templates of another model or key cannot be compared with faces of this one."""

    code = "detector.templates_stale"


@dataclass(slots=True)
class _Nearest:
    distance: float
    category: str
    severity: int
    box: Box


def bound(people: int, *, rate: float = FALSE_POSITIVE_RATE) -> float:
    """The largest template distance that counts as the same person in a gallery of ``people``.

    Raises:
        ValueError: ``rate`` is no share between 0 and 1.
    """
    if not 0.0 < rate < 1.0:
        raise ValueError(f"the rate must be between 0 and 1, not {rate}")
    each = 1.0 - (1.0 - rate) ** (1.0 / max(people, 1))
    return min(SAME_PERSON, STRANGERS.inv_cdf(each))


class LikenessFrames:
    """A frame check. Embeddings live for one frame; only distances leave it."""

    name = "frames.likeness"

    def __init__(self, model: FaceModel, gallery: Gallery) -> None:
        self._model = model
        self._gallery = gallery
        self._lock = threading.Lock()
        self._known: ProtectedFaces | None = None
        self.version = f"{model.name}+2"

    @property
    def unavailable(self) -> str:
        """Empty when a model is installed and somebody is enrolled."""
        if not self._gallery.enrolled():
            return "nobody is enrolled"
        return self._model.unavailable

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        """What is seen in one batch."""
        return self.inspect_film([frames]).findings

    def inspect_film(self, frames: Iterable[FrameBatch]) -> FilmReport:
        """Everybody enrolled who is seen in the film; one finding for each, where they look most alike.

        Raises:
            TemplatesStale: somebody's templates cannot be compared, so nothing can be said of them.
        """
        known = self._faces()
        if known.stale:
            raise TemplatesStale(
                f"{known.stale} enrolled faces belong to another model; enrol those people again."
            )
        key = self._gallery.template_key()
        limit = bound(len(set(known.subjects)))
        nearest: dict[str, _Nearest] = {}
        single, batches = _peek(frames)
        looked = faces = 0
        for look in looks(batches, rate=RATE):
            looked += 1
            found = turned(self._model, look.frame) if single else self._model.faces(look.frame)
            faces += len(found)
            for face in found:
                _compare(face, look.time, known, key, nearest)
        findings = [
            self._finding(subject, item, limit, Modality.IMAGE if single else Modality.VIDEO)
            for subject, item in nearest.items()
            if item.distance <= limit * REVIEW_MARGIN
        ]
        least = min((item.distance for item in nearest.values()), default=None)
        return FilmReport(
            findings=tuple(findings),
            result=f"{looked} frames, {faces} faces, {len(set(known.subjects))} people enrolled",
            score=None if least is None else _likeness(least),
            threshold=_likeness(limit),
            weights_sha256=self._model.weights_sha256,
        )

    def _faces(self) -> ProtectedFaces:
        version = self._gallery.gallery_version()
        with self._lock:
            if self._known is None or self._known.version != version:
                self._known = self._gallery.faces(self._model.name)
            return self._known

    def _finding(self, subject: str, item: _Nearest, limit: float, modality: Modality) -> Finding:
        sure = item.distance <= limit
        return Finding(
            category=item.category,
            severity=item.severity if sure else 1,
            detector=self.name,
            detector_version=self.version,
            modality=modality,
            score=_likeness(item.distance),
            where=item.box,
            evidence="a face of somebody enrolled" if sure else "a face near somebody enrolled",
            subject=subject,
        )


def _peek(frames: Iterable[FrameBatch]) -> tuple[bool, Iterable[FrameBatch]]:
    """Whether these are the frames of a single picture, and all of them again; holds two batches."""
    stream = iter(frames)
    ahead: list[FrameBatch] = []
    while sum(map(len, ahead)) < 2 and (batch := next(stream, None)) is not None:
        ahead.append(batch)
    return sum(map(len, ahead)) == 1, chain(ahead, stream)


def _compare(
    face: Face, time: float, known: ProtectedFaces, key: bytes, nearest: dict[str, _Nearest]
) -> None:
    """Note for everybody enrolled how near this face comes, if that is anywhere near."""
    distances = template_distances(protect_template(face.embedding, key), known.templates)
    for row in (distances <= SAME_PERSON * REVIEW_MARGIN).nonzero()[0]:
        subject, distance = known.subjects[row], float(distances[row])
        before = nearest.get(subject)
        if before is None or distance < before.distance:
            box = face.box
            nearest[subject] = _Nearest(
                distance=distance,
                category=known.categories[row],
                severity=known.severities[row],
                box=Box(left=box.left, top=box.top, right=box.right, bottom=box.bottom, time=time),
            )


def _likeness(distance: float) -> float:
    """1 for the same template, 0 for unrelated ones: half of the bits differ."""
    return min(max(1.0 - 2.0 * distance, 0.0), 1.0)
