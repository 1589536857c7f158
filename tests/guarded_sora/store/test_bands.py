"""The band index answers exactly what comparing everything answers, on both databases."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import SQLAlchemyError

from guarded_sora.store.bands import BANDS, SEARCH_RADIUS, BandSearch, band_rows
from guarded_sora.store.registry_tables import work_bands
from tests.guarded_sora.store.test_clips import changed, engine, postgres

__all__ = ["engine", "postgres"]  # fixtures


@pytest.fixture
def stored(engine: Engine) -> list[bytes]:
    """600 hashes: strangers, and families around a few of them at every distance up to 40."""
    random = np.random.default_rng(3)
    hashes = [random.bytes(32) for _ in range(300)]
    hashes += [changed(hashes[index % 7], index % 41, seed=index) for index in range(300)]
    rows = [
        row
        for number, bits in enumerate(hashes)
        for row in band_rows(bits, reference_id=number, position=number % 3)
    ]
    with engine.begin() as connection:
        connection.execute(insert(work_bands), rows)
    return hashes


@pytest.mark.parametrize("within", [0, 1, 8, 15, 16, 24, 31])
def test_the_answer_is_that_of_brute_force(engine: Engine, stored: list[bytes], within: int) -> None:
    search = BandSearch(engine, work_bands)
    words = np.frombuffer(b"".join(stored), dtype=np.uint64).reshape(-1, 4)
    for number in (0, 1, 5, 6, 40, 299):
        for flips in (0, 3, 15, 16, 31):
            probe = changed(stored[number], flips, seed=1000 + flips)
            distances = np.bitwise_count(words ^ np.frombuffer(probe, dtype=np.uint64)).sum(axis=1)
            expected = {int(row): int(distances[row]) for row in np.flatnonzero(distances <= within)}
            found = search.near(probe, within=within)
            assert {row.reference_id: distance for row, distance in found} == expected
            assert len(found) == len(expected)
            assert [distance for _, distance in found] == sorted(expected.values())
            assert all(row.position == row.reference_id % 3 for row, _ in found)


def test_one_hash_of_many_owners_names_all_of_them(engine: Engine) -> None:
    bits = bytes(range(32))
    with engine.begin() as connection:
        for number in range(40):
            connection.execute(insert(work_bands), band_rows(bits, reference_id=number, position=0))
    found = BandSearch(engine, work_bands).near(changed(bits, 20))
    assert sorted(row.reference_id for row, _ in found) == list(range(40))
    assert {distance for _, distance in found} == {20}


def test_an_empty_table_answers_nothing(engine: Engine) -> None:
    assert BandSearch(engine, work_bands).near(bytes(32)) == []


def test_what_the_bands_cannot_promise_is_refused(engine: Engine) -> None:
    search = BandSearch(engine, work_bands)
    for within in (-1, SEARCH_RADIUS + 1):
        with pytest.raises(ValueError, match="exact up to 31"):
            search.near(bytes(32), within=within)
    for bits in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            search.near(bits)
    assert BANDS * 2 > SEARCH_RADIUS  # one bit a band, and the pigeonhole holds


def test_a_database_that_refuses_is_no_empty_answer(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE work_bands"))
    with pytest.raises(SQLAlchemyError, match="work_bands"):
        BandSearch(engine, work_bands).near(bytes(32))
