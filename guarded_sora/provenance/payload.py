"""The 64 bits that the mark carries: 3 version, 5 key epoch, 40 id, 16 MAC.

The MAC keeps people without the key from inventing ids. It cannot keep anybody from copying a
mark to another film: the fingerprints in the store find that.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from guarded_sora.errors import UsageError
from guarded_sora.provenance.clip_id import ID_BITS

VERSION_BITS, EPOCH_BITS, MAC_BITS = 3, 5, 16
PAYLOAD_BITS = VERSION_BITS + EPOCH_BITS + ID_BITS + MAC_BITS
VERSION = 1
"""Version that this code writes; a reader refuses others."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class MarkPayload:
    """What is written: ``version`` 0-7, ``epoch`` 0-31, ``id`` 40 bits; else ``UsageError``."""

    id: int
    epoch: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        for name, value, bits in (
            ("id", self.id, ID_BITS),
            ("epoch", self.epoch, EPOCH_BITS),
            ("version", self.version, VERSION_BITS),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
                raise UsageError(f"The mark's {name} must be a whole number below {1 << bits}.")


def pack(payload: MarkPayload, mac_key: bytes) -> int:
    """64-bit number, most significant first: version, epoch, id, MAC. ``mac_key``: at least 16 bytes."""
    head = _head(payload)
    return head << MAC_BITS | _mac(head, mac_key)


def unpack(word: int) -> tuple[MarkPayload, int]:
    """The fields of a 64-bit ``word`` and its MAC, unchecked. Raises ``UsageError`` outside 64 bits."""
    if isinstance(word, bool) or not isinstance(word, int) or not 0 <= word < 1 << PAYLOAD_BITS:
        raise UsageError(f"A mark's payload is a number of {PAYLOAD_BITS} bits.")
    head = word >> MAC_BITS
    payload = MarkPayload(
        version=head >> (EPOCH_BITS + ID_BITS),
        epoch=head >> ID_BITS & ((1 << EPOCH_BITS) - 1),
        id=head & ((1 << ID_BITS) - 1),
    )
    return payload, word & ((1 << MAC_BITS) - 1)


def verify(word: int, mac_key: bytes) -> MarkPayload | None:
    """The payload of ``word`` if its MAC was made with ``mac_key``, else None.

    16 bits of MAC: one wrong word in 65,536 passes, so this alone never accepts a mark.
    """
    payload, mac = unpack(word)
    expected = _mac(word >> MAC_BITS, mac_key)
    return payload if hmac.compare_digest(mac.to_bytes(2), expected.to_bytes(2)) else None


def _head(payload: MarkPayload) -> int:
    return (payload.version << EPOCH_BITS | payload.epoch) << ID_BITS | payload.id


def _mac(head: int, mac_key: bytes) -> int:
    if not isinstance(mac_key, bytes) or len(mac_key) < 16:
        raise UsageError("The key of the mark's MAC must be at least 16 bytes; derive it with MarkKey.")
    digest = hmac.digest(mac_key, b"guarded-sora mark payload" + head.to_bytes(6), hashlib.sha256)
    return int.from_bytes(digest[: MAC_BITS // 8])
