"""Protected face templates: what is kept of a face can be compared, renewed and revoked, not looked at.

An embedding is projected on 2,048 directions drawn from a secret key and only the signs are kept
(Goh and Ngo, "Computation of cryptographic keys from face biometrics", 2003; the class ISO/IEC 24745
calls cancellable). The share of signs that differ is the angle between two embeddings over pi, with a
standard error of about 0.008, so matching works on templates alone. Templates of two keys are
unrelated: another key makes the old ones worthless, and two installations cannot be compared.

What this does not do: whoever holds the key and the templates can estimate the embedding's direction.
Keep the key out of the database (it is derived from the key ring) and the templates sealed.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

TEMPLATE_BITS = 2048
TEMPLATE_BYTES = TEMPLATE_BITS // 8
TEMPLATE_WORDS = TEMPLATE_BITS // 64


def protect_template(embedding: NDArray[np.floating], key: bytes) -> bytes:
    """The protected template, 256 bytes, of an embedding (D,).

    Raises:
        ValueError: the embedding has no direction (empty, zero or not finite).
    """
    vector = np.asarray(embedding, dtype=np.float64).ravel()
    norm = float(np.linalg.norm(vector)) if vector.size else 0.0
    if not math.isfinite(norm) or norm == 0.0:
        raise ValueError("an embedding needs at least one number that is not zero")
    return np.packbits(_directions(key, vector.size) @ vector > 0).tobytes()


def template_distances(template: bytes, templates: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Share of bits, 0 to 1, in which ``template`` differs from each row of (N, 32)."""
    if len(template) != TEMPLATE_BYTES:
        raise ValueError(f"a template has {TEMPLATE_BYTES} bytes, not {len(template)}")
    probe = np.frombuffer(template, dtype=np.uint64)
    return np.asarray(np.bitwise_count(templates ^ probe).sum(axis=1, dtype=np.int64) / TEMPLATE_BITS)


def angle_share(distance: float, norm: float) -> float:
    """The share of bits that differs for two embeddings of length ``norm`` at Euclidean ``distance``."""
    return 2.0 * math.asin(min(distance / (2.0 * norm), 1.0)) / math.pi


@lru_cache(maxsize=4)
def _directions(key: bytes, size: int) -> NDArray[np.float64]:
    """(2048, size) normal directions that only ``key`` gives."""
    seed = hashlib.sha256(b"guarded-sora template directions\0" + size.to_bytes(4) + key).digest()
    # Philox is specified bit for bit, so a template made today compares under any numpy.
    random = np.random.Generator(np.random.Philox(key=int.from_bytes(seed[:16])))
    uniform = random.random((2, TEMPLATE_BITS, size))
    return np.asarray(np.sqrt(-2.0 * np.log1p(-uniform[0])) * np.cos(2.0 * np.pi * uniform[1]))
