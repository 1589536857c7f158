"""What every invisible mark offers, and the evidence it returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.provenance.payload import MarkPayload


class MarkState(StrEnum):
    """``ABSENT`` means that no mark of these keys was found; it never means that a film is a recording.

    ``INCONCLUSIVE``: a trace of a mark that does not reach the bound, or too little picture to read.
    """

    PRESENT = "present"
    ABSENT = "absent"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How the marked picture lies in the film that was read.

    ``scale``: 1 where the short side of the film is the whole short side of the marked picture,
    below 1 where the picture was shrunk inside the frame, above 1 where it was cropped or
    enlarged. ``angle``: degrees, counter-clockwise. ``flip``: mirrored left to right.
    ``shift``: (x, y) of the pattern in canonical pixels, modulo the tile.
    """

    scale: float = 1.0
    angle: float = 0.0
    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    aspect: float = 1.0

    @property
    def is_identity(self) -> bool:
        return self == Geometry()


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSegment:
    """Seconds ``start`` to ``end`` and what was read there; ``id`` is None unless ``state`` is present."""

    start: float
    end: float
    id: int | None
    state: MarkState


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkBlock:
    """A part of the picture over seconds ``start`` to ``end``; sides in parts of width and height, 0 to 1.

    ``log10_p``: bound that the mark of the film shows here by chance.
    """

    left: float
    top: float
    right: float
    bottom: float
    start: float
    end: float
    state: MarkState
    log10_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkEvidence:
    """What a reader found.

    ``log10_p``: upper bound of the decimal logarithm of the chance that a film without this mark
    gives such a reading, over all ``hypotheses`` that were tried and all ids; 0 when nothing
    was read. ``rho``: correlation of the soft bits with the word read, 0 to 1. ``pilot``:
    coherence of the pilot tones, 0 to 1; it decides nothing. ``payload`` only when ``state`` is
    present. ``tenant`` is the key's, where the mark has tenants. ``blocks``: where in the picture the
    mark of ``payload`` stands, for pictures large enough to tell.
    """

    mark: str
    mark_version: str
    state: MarkState
    log10_p: float = 0.0
    hypotheses: int = 0
    rho: float = 0.0
    pilot: float = 0.0
    payload: MarkPayload | None = None
    tenant: str | None = None
    geometry: Geometry | None = None
    segments: tuple[MarkSegment, ...] = ()
    blocks: tuple[MarkBlock, ...] = ()
    frames: int = 0
    reason: str = ""


@runtime_checkable
class Watermark(Protocol):
    """An invisible mark. ``embed`` and ``detect`` take any split of a film into batches.

    Both are single pass and hold a bounded number of frames. They raise ``ProvenanceError`` where
    frames cannot be marked or read, and ``UsageError`` for arguments that make no sense.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def embed(self, frames: Iterable[FrameBatch], payload: MarkPayload) -> Iterator[FrameBatch]:
        """The same batches with the mark: same shapes, times and rates. The input is not changed."""
        ...

    def detect(self, frames: Iterable[FrameBatch], hint: Sequence[MarkPayload] = ()) -> MarkEvidence:
        """What the frames carry. ``hint``: payloads that another leg suggests; each is tried on its own."""
        ...
