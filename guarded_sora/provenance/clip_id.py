"""ClipId: the one id under which mark, manifest, store and log know a clip."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from guarded_sora.errors import UsageError

ID_BITS = 40

_TEXT = re.compile(r"gs1:([0-9a-f]{8}):([0-9a-f]{10})")
_ISSUER = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ClipId:
    """``issuer``: 8 hex digits, from the store's log key. ``id``: 40 bits drawn at random.

    The mark in the picture carries ``id`` alone; the manifest and the log carry the text form
    ``gs1:<issuer>:<10 hex digits>``. Raises ``UsageError`` for values outside these ranges.
    """

    issuer: str
    id: int

    def __post_init__(self) -> None:
        if not isinstance(self.issuer, str) or not _ISSUER.fullmatch(self.issuer):
            raise UsageError("A clip id needs an issuer of 8 lower-case hex digits; copy the id whole.")
        if isinstance(self.id, bool) or not isinstance(self.id, int) or not 0 <= self.id < 1 << ID_BITS:
            raise UsageError(f"A clip id needs a number of {ID_BITS} bits; copy the id whole.")

    def __str__(self) -> str:
        return f"gs1:{self.issuer}:{self.id:010x}"

    @classmethod
    def parse(cls, text: str) -> ClipId:
        """The id written as ``gs1:<issuer>:<10 hex digits>``. Raises ``UsageError`` for anything else."""
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise UsageError("A clip id looks like gs1:0a1b2c3d:0123456789; copy it whole from the record.")
        return cls(issuer=match[1], id=int(match[2], 16))

    @classmethod
    def random(cls, issuer: str) -> ClipId:
        """A fresh id from the system's random source. The store must still refuse one it already holds."""
        return cls(issuer=issuer, id=secrets.randbits(ID_BITS))
