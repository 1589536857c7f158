"""Keys of the mark and the streams drawn from them.

Everything random in the mark comes from SHAKE-256 over a key derived by HMAC-SHA-256, through our
own shuffle, because the streams must be the same for decades and on every machine; NumPy
promises that only within a version (NEP 19). Frozen vectors in the tests hold them still.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from guarded_sora.errors import UsageError
from guarded_sora.provenance.payload import EPOCH_BITS

DATA_CLASSES = 4
"""Data keys of one tenant in one epoch. A segment of film uses one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkKey:
    """``secret``: 32 bytes of the installation. ``epoch``: 0-31, raised by rotation. ``tenant``: a name.

    The pilot tones depend on secret and epoch alone, so that the costly search for a distorted
    picture is paid once an epoch; what carries data, and the MAC, depend on the tenant too.
    """

    secret: bytes = field(repr=False)
    epoch: int = 0
    tenant: str = "local"

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != 32:
            raise UsageError("A mark key needs a secret of 32 bytes; make one with guarded-sora keys.")
        if not isinstance(self.epoch, int) or not 0 <= self.epoch < 1 << EPOCH_BITS:
            raise UsageError(f"A mark key's epoch is a whole number below {1 << EPOCH_BITS}.")

    def pilot_stream(self) -> KeyStream:
        """Where the pilot tones lie and which phases they have."""
        return KeyStream(self._derive("pilot"))

    def data_stream(self, data_class: int) -> KeyStream:
        """How coded bits are spread in segments of ``data_class`` (0 to ``DATA_CLASSES`` - 1)."""
        return KeyStream(self._derive("data", self.tenant, str(data_class)))

    def mac_key(self) -> bytes:
        """32 bytes for the MAC of the payload."""
        return self._derive("mac", self.tenant)

    def first_class(self, clip: int) -> int:
        """Data class in which the film with id ``clip`` starts."""
        return self._derive("class", self.tenant, str(clip))[0] % DATA_CLASSES

    def _derive(self, *labels: str) -> bytes:
        # Length before text, so that no two lists of labels give the same bytes.
        parts = [b"guarded-sora keyed tile 1", str(self.epoch).encode()]
        parts += [label.encode("utf-8", "surrogatepass") for label in labels]
        message = b"".join(len(part).to_bytes(4) + part for part in parts)
        return hmac.digest(self.secret, message, hashlib.sha256)


class KeyStream:
    """Numbers drawn one after another from SHAKE-256 of a key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._words: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        self._used = 0

    def words(self, count: int) -> NDArray[np.uint32]:
        """The next ``count`` words of 32 bits, little-endian."""
        end = self._used + count
        if end > len(self._words):
            length = 4 * max(1024, 2 * end)
            self._words = np.frombuffer(hashlib.shake_256(self._key).digest(length), dtype="<u4")
        taken = self._words[self._used : end]
        self._used = end
        return taken.astype(np.uint32)

    def below(self, bound: int) -> int:
        """Uniform whole number from 0 to ``bound`` - 1, by rejection."""
        limit = (1 << 32) - (1 << 32) % bound
        while True:
            word = int(self.words(1)[0])
            if word < limit:
                return word % bound

    def shuffled(self, count: int) -> NDArray[np.intp]:
        """0 to ``count`` - 1 in random order (Fisher-Yates, from the end)."""
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return np.array(order, dtype=np.intp)

    def signs(self, count: int) -> NDArray[np.int8]:
        """``count`` values of +1 or -1."""
        return (1 - 2 * (self.words(count) & 1).astype(np.int8)).astype(np.int8)

    def phases(self, count: int) -> NDArray[np.float64]:
        """``count`` angles in radians, 0 to 2 pi."""
        return self.words(count).astype(np.float64) * (2 * np.pi / (1 << 32))
