"""What detectors know of protected people and works: protocols that a registry fulfils.

Nothing here holds a face or a picture. People are known by protected templates
(:mod:`guarded_sora.detectors.templates`), works by perceptual hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.fingerprint import SecondHash
from guarded_sora.detectors.keyframes import Keyframe


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProtectedFaces:
    """The templates of everybody enrolled under one face model and one template key.

    ``templates``: uint64 (N, 32), row i belongs to ``subjects[i]``, seen as ``categories[i]`` with
    ``severities[i]``. ``stale`` counts templates of other models or keys, which cannot be compared.
    """

    version: str
    templates: NDArray[np.uint64]
    subjects: tuple[str, ...]
    categories: tuple[str, ...]
    severities: tuple[int, ...]
    stale: int = 0


class Gallery(Protocol):
    """Enrolled people."""

    def enrolled(self) -> bool:
        """Whether anybody is."""
        ...

    def gallery_version(self) -> str:
        """Changes with every enrolment; the ``version`` of what :meth:`faces` answers."""
        ...

    def template_key(self) -> bytes:
        """The secret that templates are transformed with; 32 bytes, its own for each installation."""
        ...

    def faces(self, model: str) -> ProtectedFaces:
        """Everybody's templates under ``model``; may raise, which counts as failed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkHit:
    """A registered second that resembles a looked-up one."""

    reference: int
    position: int
    distance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReference:
    """One registered picture or clip of a work: its hashes, and which subject it belongs to."""

    reference: int
    subject: str
    kind: str
    hashes: tuple[SecondHash, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkHashes:
    """All registered seconds at once: ``bits`` uint64 (N, 4), row i is second
    ``positions[i]`` of ``references[i]``. ``index``: faiss over the same rows."""

    bits: NDArray[np.uint64]
    references: tuple[int, ...]
    positions: tuple[int, ...]
    index: Any = None

    def indexed(self) -> WorkHashes:
        """The same with faiss, where it is installed: equally exact, and some fifteen times faster."""
        if find_spec("faiss") is None or not len(self.bits):
            return self
        import faiss

        index = faiss.IndexBinaryFlat(256)
        index.add(np.ascontiguousarray(self.bits).view(np.uint8))
        return replace(self, index=index)

    def resembling(self, bits: bytes, *, within: int) -> list[WorkHit]:
        """Every row within ``within`` bits, by comparing all of them, nearest first."""
        if self.index is None:
            every = np.bitwise_count(self.bits ^ np.frombuffer(bits, dtype=np.uint64)).sum(axis=1)
            rows = np.flatnonzero(every <= within)
            distances = every[rows]
        else:
            # It answers with distances strictly below the radius.
            _, distances, rows = self.index.range_search(
                np.frombuffer(bits, dtype=np.uint8)[None], within + 1
            )
        return [
            WorkHit(reference=self.references[row], position=self.positions[row], distance=int(distance))
            for distance, row in sorted(zip(distances.tolist(), rows.tolist(), strict=True))
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkKeyframes:
    """Features of registered pictures; ``keyframes[i]`` belongs to ``references[i]``. ``stale`` counts those
    that an older version described, which cannot be compared."""

    keyframes: tuple[Keyframe, ...]
    references: tuple[int, ...]
    stale: int = 0


class WorkIndex(Protocol):
    """Registered works."""

    def works_version(self) -> str:
        """Changes with every registration."""
        ...

    def work_hashes(self, *, most: int) -> WorkHashes | None:
        """Every registered second, or None when there are more than ``most``."""
        ...

    def work_keyframes(self, *, most: int) -> WorkKeyframes | None:
        """Features of every registered picture, or None when there are more than ``most``."""
        ...

    def registered(self) -> bool:
        """Whether any work has a reference."""
        ...

    def resembling_works(self, bits: bytes, *, within: int) -> Sequence[WorkHit]:
        """Every registered second within ``within`` bits (at most 31), nearest first; exact."""
        ...

    def work(self, reference: int) -> WorkReference | None:
        """A reference with all its hashes."""
        ...
