"""Exact search for 256-bit hashes within 31 bits, in plain SQL on SQLite and PostgreSQL.

A hash is cut into 16 bands of 16 bits. Two hashes that differ in at most 31 bits differ in at most one
bit in at least one band (pigeonhole), so looking up 16 x 17 values finds every one of them; the few
thousand candidates are then compared whole. On SQLite the band table is clustered by (band, value).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, or_

from guarded_sora.detectors.fingerprint import SecondHash

BANDS = 16
SEARCH_RADIUS = 31
"""Bits of 256 within which the search is exact."""


def band_values(bits: bytes) -> list[int]:
    """The 16 band values of a 32-byte hash. Raises ``ValueError`` for another length."""
    if len(bits) != 2 * BANDS:
        raise ValueError(f"a fingerprint has {2 * BANDS} bytes, not {len(bits)}")
    return [int.from_bytes(bits[2 * band : 2 * band + 2], "big") for band in range(BANDS)]


def near_values(value: int) -> list[int]:
    """``value`` and the sixteen values one bit away."""
    return [value, *(value ^ (1 << bit) for bit in range(16))]


def near(table: Table, bits: bytes, *, within: int = SEARCH_RADIUS) -> ColumnElement[bool]:
    """The rows of a band table that may be within ``within`` bits of ``bits``; none beyond are missed.

    Raises:
        ValueError: ``within`` is more than the bands can promise.
    """
    if not 0 <= within <= SEARCH_RADIUS:
        raise ValueError(f"the band index is exact up to {SEARCH_RADIUS} bits, not {within}")
    # Up to 15 wrong bits leave one band of 16 untouched, so its own value is enough.
    probes = (lambda value: [value]) if within < BANDS else near_values
    return or_(
        *(
            and_(table.c.band == band, table.c.value.in_(probes(value)))
            for band, value in enumerate(band_values(bits))
        )
    )


def band_rows(bits: bytes, **row: Any) -> list[dict[str, Any]]:
    """The 16 rows by which one hash is found; ``row`` is what every one of them carries."""
    return [
        {"band": band, "value": value, "bits": bits, **row} for band, value in enumerate(band_values(bits))
    ]


def hash_rows(reference: int, hashes: Sequence[SecondHash]) -> Iterator[dict[str, Any]]:
    """The rows of a registered reference's hashes, in order of time."""
    for position, item in enumerate(hashes):
        yield {
            "reference_id": reference,
            "position": position,
            "second_ms": round(item.second * 1000),
            "bits": item.bits,
            "quality": item.quality,
        }
