"""The key ring: made once, whole, private, and never quietly replaced."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guarded_sora.errors import KeyMissing
from guarded_sora.keys import FILES, ISSUING_KEY, RING, KeyRing, open_keys, renew_signing
from guarded_sora.provenance.credentials.certificates import load_certificates


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


NEXT_YEAR = datetime.now(UTC) + timedelta(days=310)


def expiry(keys: KeyRing) -> datetime:
    return load_certificates(keys.chain_pem)[0].not_valid_after_utc


def test_a_certificate_is_renewed_in_time_and_not_before(ring: KeyRing, tmp_path: Path) -> None:
    assert renew_signing(ring, organisation="Test") == (ring, False)
    new, renewed = renew_signing(ring, organisation="Test", now=NEXT_YEAR)
    assert renewed and expiry(new) > expiry(ring) + timedelta(days=300)
    assert new.root_pem == ring.root_pem and new.chain_key_pem != ring.chain_key_pem
    leaf, issuing = load_certificates(new.chain_pem)
    leaf.verify_directly_issued_by(issuing)
    again = open_keys(tmp_path, organisation="Test", must_exist=True)
    assert again.chain_pem == new.chain_pem and again.issuer == ring.issuer
    assert renew_signing(again, organisation="Test", now=NEXT_YEAR) == (again, False)


def test_what_a_renewal_replaced_goes_with_the_renewal_after(ring: KeyRing) -> None:
    for year in range(1, 4):
        ring, renewed = renew_signing(
            ring, organisation="Test", now=datetime.now(UTC) + timedelta(365 * year)
        )
        assert renewed
    chains = sorted(path.name for path in ring.folder.glob("c2pa-chain*"))
    assert chains == ["c2pa-chain-3.pem", "c2pa-chain-4.pem"]
    assert len(list(ring.folder.glob("c2pa-leaf-key*"))) == 2


def test_a_ring_without_the_issuing_key_gets_a_chain_beside_its_old_root(
    ring: KeyRing, tmp_path: Path
) -> None:
    names = json.loads((ring.folder / RING).read_text())
    del names[ISSUING_KEY]
    (ring.folder / RING).write_text(json.dumps(names))
    (ring.folder / ISSUING_KEY).unlink()
    old = open_keys(tmp_path, organisation="Test")
    assert old.issuing_key_pem is None
    new, renewed = renew_signing(old, organisation="Test", now=NEXT_YEAR)
    roots = load_certificates(new.root_pem)
    assert renewed and roots[:1] == load_certificates(ring.root_pem) and len(roots) == 2
    assert new.issuing_key_pem is not None and new.root_path.read_bytes() == new.root_pem
    load_certificates(new.chain_pem)[1].verify_directly_issued_by(roots[1])


def test_a_renewal_cut_off_before_the_ring_was_written_is_done_again(
    ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("guarded_sora.keys.os.replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            renew_signing(ring, organisation="Test", now=NEXT_YEAR)
    assert open_keys(tmp_path, organisation="Test").chain_pem == ring.chain_pem
    assert renew_signing(ring, organisation="Test", now=NEXT_YEAR)[1]


def test_processes_that_renew_at_once_agree(ring: KeyRing) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: renew_signing(ring, organisation="Test", now=NEXT_YEAR), range(8)))
    assert len({keys.chain_pem for keys, _ in done}) == 1 and sum(renewed for _, renewed in done) == 1


def test_a_ring_that_cannot_be_written_signs_to_the_last_day_and_then_says_why(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("guarded_sora.keys._write_private", full)
    assert renew_signing(ring, organisation="Test", now=NEXT_YEAR) == (ring, False)
    with pytest.raises(KeyMissing, match=r"expired on .* make it writable"):
        renew_signing(ring, organisation="Test", now=NEXT_YEAR + timedelta(days=60))
