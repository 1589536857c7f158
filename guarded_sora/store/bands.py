"""Exact search for 256-bit hashes within 31 bits, in plain SQL on SQLite and PostgreSQL.

A hash is cut into 16 bands of 16 bits. Two hashes that differ in at most 31 bits differ in at most one
bit in at least one band (pigeonhole), so looking up 16 x 17 values finds every one of them; the few
thousand candidates are then compared whole. The band table is clustered by (band, value) on SQLite
and its index covers the hash on PostgreSQL, so candidates lie side by side.

Only hashes are fetched of the candidates, in one statement that the driver keeps prepared, and
compared as 64-bit words at once; the few that are near enough are then looked up by their hash.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import SQLAlchemyError

from guarded_sora.audit.sqlite import READER
from guarded_sora.detectors.fingerprint import SecondHash

BANDS = 16
SEARCH_RADIUS = 31
"""Bits of 256 within which the search is exact."""

_PROBES = 17
_MAPPED = 1 << 34
"""Bytes of an SQLite file that are read in place: a look-up touches hundreds of pages, a call for each
takes longer than all the rest."""


class BandSearch:
    """The look-up in one band table: columns band, value, bits, and whatever else says whose it is."""

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        self._table = table
        columns = [column.name for column in table.columns if column.name not in ("band", "value", "bits")]
        self._row = _row_of(columns)
        mark = "?" if engine.dialect.name == "sqlite" else "%s"
        self._owner = (
            f"SELECT {', '.join(columns)} FROM {table.name} "  # noqa: S608 - names of our own schema
            f"WHERE band = 0 AND value = {mark} AND bits = {mark}"
        )
        dbapi: Any = engine.dialect.dbapi
        self._driver_error: type[Exception] = dbapi.Error
        self._lite = engine.dialect.name == "sqlite"
        # A transaction around one SELECT costs PostgreSQL two more round trips.
        self._reading: dict[str, Any] = {READER: True} if self._lite else {"isolation_level": "AUTOCOMMIT"}
        self._statements = {wide: self._statement(wide) for wide in (False, True)}

    def near(self, bits: bytes, *, within: int = SEARCH_RADIUS) -> list[tuple[Any, int]]:
        """Every row within ``within`` bits of ``bits`` and its distance, nearest first.

        A row is a named tuple of the columns that say whose it is.

        Raises:
            ValueError: ``within`` is more than the bands can promise, or ``bits`` are not 32 bytes.
            SQLAlchemyError: the database refused.
        """
        if not 0 <= within <= SEARCH_RADIUS:
            raise ValueError(f"the band index is exact up to {SEARCH_RADIUS} bits, not {within}")
        values = band_values(bits)
        with self._engine.connect().execution_options(**self._reading) as connection:
            stored = self._candidates(connection, values, wide=within >= BANDS)
            distances = np.bitwise_count(stored ^ np.frombuffer(bits, dtype=np.uint64)).sum(axis=1)
            close = distances <= within
            # The same hash is fetched once for each band it shares; and may belong to many.
            nearest = {
                item.tobytes(): int(distance)
                for item, distance in zip(stored[close], distances[close], strict=True)
            }
            return [
                (row, nearest[found])
                for found in sorted(nearest, key=lambda found: (nearest[found], found))
                for row in self._owners(connection, found)
            ]

    def _candidates(self, connection: Connection, values: Sequence[int], *, wide: bool) -> NDArray[np.uint64]:
        """Hashes, uint64 (N, 4), that share a band with the wanted one, up to one bit if ``wide``."""
        # Up to 15 wrong bits leave one band of 16 untouched, so its own value is enough.
        probes = [near_values(value) if wide else [value] for value in values]
        flat = [item for row in probes for item in row]
        with self._cursor(connection) as cursor:
            if self._lite:
                cursor.execute(f"PRAGMA mmap_size={_MAPPED}")
                cursor.execute(self._statements[wide], flat)
                joined = b"".join([row[0] for row in cursor.fetchall()])
            else:
                # One word of text: the driver would look at each number of a list on its own.
                cursor.execute(self._statements[wide], [f"{{{','.join(map(str, flat))}}}"], prepare=True)
                (found,) = cursor.fetchone() or (None,)
                joined = bytes(found or b"")
        return np.frombuffer(joined, dtype=np.uint64).reshape(-1, 4)

    def _owners(self, connection: Connection, bits: bytes) -> list[Any]:
        with self._cursor(connection) as cursor:
            cursor.execute(self._owner, (band_values(bits)[0], bits))
            return [self._row(*row) for row in cursor.fetchall()]

    @contextmanager
    def _cursor(self, connection: Connection) -> Iterator[Any]:
        """The driver's own: thousands of rows, and a Row around each took half of the time."""
        driver: Any = connection.connection
        cursor = driver.cursor() if self._lite else driver.cursor(binary=True)
        try:
            yield cursor
        except self._driver_error as error:
            raise SQLAlchemyError(f"the band index of {self._table.name} cannot be read") from error
        finally:
            cursor.close()

    def _statement(self, wide: bool) -> str:
        probes = _PROBES if wide else 1
        name = self._table.name  # of our own schema, never of a user
        if self._lite:
            marks = ",".join("?" * probes)
            return " UNION ALL ".join(
                f"SELECT bits FROM {name} WHERE band = {band} AND value IN ({marks})"  # noqa: S608
                for band in range(BANDS)
            )
        # One value comes back in place of thousands of rows. OFFSET 0 keeps the planner from turning the
        # look-ups into a join of the whole table, whatever it believes of the sizes.
        bands = ",".join(str(band) for band in range(BANDS) for _ in range(probes))
        return (
            f"SELECT string_agg(found.bits, ''::bytea) "  # noqa: S608
            f"FROM unnest('{{{bands}}}'::int2[], %s::int[]) AS probe(band, value), LATERAL "
            f"(SELECT bits FROM {name} AS stored WHERE stored.band = probe.band "
            "AND stored.value = probe.value OFFSET 0) AS found"
        )


def _row_of(columns: Sequence[str]) -> Callable[..., Any]:
    return namedtuple("Owner", columns)


def band_values(bits: bytes) -> list[int]:
    """The 16 band values of a 32-byte hash. Raises ``ValueError`` for another length."""
    if len(bits) != 2 * BANDS:
        raise ValueError(f"a fingerprint has {2 * BANDS} bytes, not {len(bits)}")
    return [int.from_bytes(bits[2 * band : 2 * band + 2], "big") for band in range(BANDS)]


def near_values(value: int) -> list[int]:
    """``value`` and the sixteen values one bit away."""
    return [value, *(value ^ (1 << bit) for bit in range(16))]


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
