"""What must stay down, and the packs that decided, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine, inspect, text

from guarded_sora.detectors.fingerprint import SecondHash, mirrored
from guarded_sora.errors import StoreError
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.packfiles import digest_files
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.store import ClipStore, PolicyTexts, StayDownBook
from guarded_sora.store.migrate import downgrade, upgrade
from tests.guarded_sora.store.test_clips import changed, engine, hashes, postgres

__all__ = ["engine", "postgres"]  # fixtures

CASE = "019a0000-0000-7000-8000-000000000001"


@pytest.fixture
def book(engine: Engine) -> StayDownBook:
    return StayDownBook(engine)


def near(film: tuple[SecondHash, ...], flips: int) -> tuple[SecondHash, ...]:
    return tuple(replace(item, bits=changed(item.bits, flips, seed=at)) for at, item in enumerate(film))


def test_a_film_is_known_by_clip_by_file_and_by_its_looks(engine: Engine, book: StayDownBook) -> None:
    clip_id = ClipStore(engine, issuer="0a1b2c3d").reserve(kind="generated", intent_id="x")
    film = hashes(1)
    book.put(CASE, clip_id=clip_id, file_sha256="a" * 64, hashes=film)
    book.put(CASE, clip_id=clip_id, file_sha256="a" * 64, hashes=film)
    (kept,) = book.of_case(CASE)
    found = [book.of_clip(clip_id), book.of_file("a" * 64), book.of_picture(near(film, 40))]
    assert [(item.stay_down_id, item.by) for item in found if item] == [
        (kept.stay_down_id, by) for by in ("clip", "file", "fingerprint")
    ]
    flipped = tuple(replace(item, bits=mirrored(item.bits)) for item in film)
    assert book.of_picture(flipped) is not None
    assert book.of_picture(film[:1]) is not None, "an excerpt"
    assert book.of_picture((*hashes(5, 30), *film)) is not None, "hidden in a long film"
    assert book.of_picture(hashes(2)) is None and book.of_file("b" * 64) is None
    assert book.of_clip(ClipId(issuer="0a1b2c3d", id=(clip_id.id + 1) % 2**40)) is None


def test_what_was_lifted_may_come_back(engine: Engine, book: StayDownBook) -> None:
    film = hashes(1)
    book.put(CASE, hashes=film)
    assert book.of_picture(film)
    assert book.lift(CASE) == 1 and book.lift(CASE) == 0
    assert book.of_picture(film) is None and book.of_case(CASE) == ()
    book.put(CASE, hashes=film)
    assert book.of_picture(film), "the index is read anew"


def test_flat_pictures_keep_nothing_down(book: StayDownBook) -> None:
    black = (SecondHash(second=0.0, bits=bytes(32), quality=0),)
    book.put(CASE, hashes=black)
    assert book.of_picture(black) is None and book.of_picture(()) is None


def test_another_process_sees_it_at_once(engine: Engine, book: StayDownBook) -> None:
    other, film = StayDownBook(engine), hashes(3)
    assert other.of_picture(film) is None
    book.put(CASE, hashes=film)
    assert other.of_picture(film)


def test_many_films_stay_down(book: StayDownBook) -> None:
    for seed in range(60):
        book.put(f"{CASE[:-2]}{seed:02d}", hashes=hashes(seed + 100, 4))
    found = book.of_picture(near(hashes(131, 4), 20))
    assert found is not None and found.case_id.endswith("31")


def test_the_text_of_a_pack_is_kept_under_its_digest(engine: Engine) -> None:
    texts, pack = PolicyTexts(engine), load_pack()
    assert texts.text(pack.digest) is None
    texts.keep(pack)
    texts.keep(pack)
    kept = texts.text(pack.digest)
    assert kept is not None and digest_files(kept) == pack.digest
    with engine.begin() as connection:
        connection.execute(text("UPDATE policy_texts SET files = :data"), {"data": b"damaged"})
    with pytest.raises(StoreError, match="damaged"):
        texts.text(pack.digest)


def test_the_migration_goes_down_and_up_with_data_in_it(engine: Engine, book: StayDownBook) -> None:
    book.put(CASE, hashes=hashes(1))
    downgrade(engine, "0003")
    assert "stay_downs" not in inspect(engine).get_table_names()
    with pytest.raises(StoreError):
        book.of_file("a" * 64)
    upgrade(engine)
    assert book.of_case(CASE) == ()


def test_a_long_film_is_compared_whole(book: StayDownBook) -> None:
    """One second out of two thousand is enough to find the film it was cut from."""
    book.put(CASE, hashes=hashes(7, 1))
    random = np.random.default_rng(0)
    film = [SecondHash(second=float(at), bits=random.bytes(32), quality=80) for at in range(2000)]
    assert book.of_picture(film) is None
    film[1777] = hashes(7, 1)[0]
    assert book.of_picture(film) is not None
