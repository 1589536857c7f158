"""The key ring: made once, whole, private, and never quietly replaced."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guarded_sora.errors import KeyMissing
from guarded_sora.keys import FILES, RING, KeyRing, open_keys


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return open_keys(tmp_path, organisation="Test")


def test_the_same_ring_opens_again(ring: KeyRing, tmp_path: Path) -> None:
    again = open_keys(tmp_path, organisation="Test", must_exist=True)
    assert again.issuer == ring.issuer
    assert again.mark_secret == ring.mark_secret
    assert again.log_public == ring.log_public


def test_files_are_private_and_secrets_are_not_shown(ring: KeyRing) -> None:
    for name in (*FILES, RING):
        assert stat.S_IMODE((ring.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(ring.folder.stat().st_mode) == 0o700
    assert ring.mark_secret.hex() not in repr(ring)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_key_is_named_and_not_made_again(ring: KeyRing, tmp_path: Path, name: str) -> None:
    (ring.folder / name).unlink()
    with pytest.raises(KeyMissing, match=name):
        open_keys(tmp_path, organisation="Test")
    assert not (ring.folder / name).exists()


@pytest.mark.parametrize("name", FILES)
def test_an_exchanged_key_is_found(ring: KeyRing, tmp_path: Path, name: str) -> None:
    other = open_keys(tmp_path / "other", organisation="Test")
    (ring.folder / name).write_bytes((other.folder / name).read_bytes())
    with pytest.raises(KeyMissing, match="not the key this store was made with"):
        open_keys(tmp_path, organisation="Test")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_broken_ring_file_is_refused(ring: KeyRing, tmp_path: Path, content: bytes) -> None:
    (ring.folder / RING).write_bytes(content)
    with pytest.raises(KeyMissing):
        open_keys(tmp_path, organisation="Test")


def test_a_lost_ring_is_not_replaced(ring: KeyRing, tmp_path: Path) -> None:
    (ring.folder / RING).unlink()
    with pytest.raises(KeyMissing):
        open_keys(tmp_path, organisation="Test")
    with pytest.raises(KeyMissing):
        open_keys(tmp_path / "elsewhere", organisation="Test", must_exist=True)


def test_many_first_openings_agree_on_one_ring(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        issuers = set(pool.map(lambda _: open_keys(tmp_path, organisation="Test").issuer, range(8)))
    assert len(issuers) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["keys"]


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KeyMissing, match="--home"):
        open_keys(tmp_path / "file", organisation="Test")


def test_pseudonyms_are_stable_and_commitments_hide_the_words(ring: KeyRing, tmp_path: Path) -> None:
    assert ring.pseudonym("actor", "ann") == ring.pseudonym("actor", "ann")
    assert ring.pseudonym("actor", "ann") != ring.pseudonym("tenant", "ann")
    other = open_keys(tmp_path / "other", organisation="Test")
    assert ring.commit("a dog") != other.commit("a dog")
    assert ring.commit("lone \ud800").startswith("hmac-sha256:")
