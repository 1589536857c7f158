"""The invisible mark. ``KeyedTileMark`` is ours; others implement ``Watermark``."""

from guarded_sora.provenance.watermark.contract import (
    Geometry,
    MarkBlock,
    MarkEvidence,
    MarkSegment,
    MarkState,
    Watermark,
)
from guarded_sora.provenance.watermark.keys import MarkKey
from guarded_sora.provenance.watermark.mark import KeyedTileMark

__all__ = [
    "Geometry",
    "KeyedTileMark",
    "MarkBlock",
    "MarkEvidence",
    "MarkKey",
    "MarkSegment",
    "MarkState",
    "Watermark",
]
