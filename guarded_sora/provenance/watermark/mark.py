"""The keyed tile mark: our own invisible watermark.

Keyed spread spectrum in luma. No learned weights: the only secret is the key, and only its holder
can read the mark or write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import UsageError
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark.contract import MarkEvidence
from guarded_sora.provenance.watermark.embed import Embedder
from guarded_sora.provenance.watermark.keys import MarkKey
from guarded_sora.provenance.watermark.search import Reader

NAME = "keyed-tile"
VERSION_TEXT = "1"
DEFAULT_PSNR = 42.0


class KeyedTileMark:
    """``key`` writes; ``key`` and ``readers`` (older epochs, other tenants) read.

    ``psnr``: 30 to 60 dB of luma; small textured films get up to 3 dB less (``embed.py``).
    """

    def __init__(self, key: MarkKey, readers: Sequence[MarkKey] = (), psnr: float = DEFAULT_PSNR) -> None:
        if not 30.0 <= psnr <= 60.0:
            raise UsageError("The quality of the mark must lie between 30 and 60 dB; 42 is the default.")
        self._key = key
        self._keys = tuple(dict.fromkeys((key, *readers)))
        self._psnr = psnr

    @property
    def name(self) -> str:
        return NAME

    @property
    def version(self) -> str:
        return VERSION_TEXT

    @property
    def key(self) -> MarkKey:
        """The key that writes."""
        return self._key

    def embed(self, frames: Iterable[FrameBatch], payload: MarkPayload) -> Iterator[FrameBatch]:
        """Marked copies of the batches, the same delta in all three channels.

        Raises ``UsageError`` where the payload's epoch is not the key's, ``ProvenanceError`` for
        frames below 48 pixels a side.
        """
        return self.writer(payload).run(frames)

    def writer(self, payload: MarkPayload) -> Embedder:
        """The writer of one film, for callers that hold luma planes: see ``Embedder.levels``."""
        return Embedder(self._key, payload, self._psnr)

    def detect(self, frames: Iterable[FrameBatch], hint: Sequence[MarkPayload] = ()) -> MarkEvidence:
        """What the frames carry under any of the keys; frames may already be scaled to 360 lines.

        Raises ``ProvenanceError`` where frames change their size on the way.
        """
        return Reader(self._keys, NAME, VERSION_TEXT).read(frames, hint)
