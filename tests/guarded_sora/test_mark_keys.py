"""The book of mark keys: rotation, tenants, revocation, and what happens when it is damaged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from guarded_sora.errors import KeyMissing, UsageError
from guarded_sora.mark_keys import BOOK, EPOCHS, MarkKeys, open_mark_keys

FIRST = bytes(range(32))


@pytest.fixture
def keys(tmp_path: Path) -> MarkKeys:
    return open_mark_keys(tmp_path, FIRST)


def test_without_a_book_only_the_first_key_lives(keys: MarkKeys, tmp_path: Path) -> None:
    assert [(key.epoch, key.tenant, key.secret) for key in keys.readers] == [(0, "local", FIRST)]
    assert keys.writer("anybody") == keys.readers[0]
    assert not (tmp_path / BOOK).exists()


def test_rotation_marks_with_a_new_key_and_reads_the_old(keys: MarkKeys, tmp_path: Path) -> None:
    turned = keys.rotate()
    again = open_mark_keys(tmp_path, FIRST)
    assert again == turned
    assert again.writer("local").epoch == 1
    assert again.writer("local").secret != FIRST
    assert [key.epoch for key in again.readers] == [1, 0]
    assert (tmp_path / "mark-epoch-1.key").stat().st_mode & 0o077 == 0


def test_tenants_have_their_own_key_in_every_epoch(keys: MarkKeys, tmp_path: Path) -> None:
    keys.with_tenant("studio").rotate()
    book = open_mark_keys(tmp_path, FIRST)
    assert book.writer("studio").tenant == "studio"
    assert book.writer("unknown").tenant == "local"
    assert {(key.epoch, key.tenant) for key in book.readers} == {
        (epoch, tenant) for epoch in (0, 1) for tenant in ("local", "studio")
    }
    assert book.writer("studio").mac_key() != book.writer("local").mac_key()


def test_revoked_key_is_read_and_no_longer_writes(keys: MarkKeys, tmp_path: Path) -> None:
    keys.with_tenant("studio").revoke(0, "studio", "left the company")
    book = open_mark_keys(tmp_path, FIRST)
    found = book.revocation(0, "studio")
    assert found is not None and found.reason == "left the company"
    assert book.revocation(0, "local") is None
    assert any(key.tenant == "studio" for key in book.readers)
    with pytest.raises(UsageError, match="keys mark rotate"):
        book.writer("studio")
    assert book.writer("local").epoch == 0
    turned = book.rotate()
    assert turned.writer("studio").epoch == 1


def test_whole_epoch_is_revoked_for_every_tenant(keys: MarkKeys) -> None:
    book = keys.with_tenant("studio").revoke(0, None, "stolen")
    assert book.revocation(0, "studio") is not None
    assert book.revocation(0, "local") is not None
    assert book.revoke(0, "studio", "again") is book


@pytest.mark.parametrize("name", ["", "a" * 101, "two\nlines"], ids=["empty", "long", "lines"])
def test_names_that_cannot_be_used(keys: MarkKeys, name: str) -> None:
    with pytest.raises(UsageError):
        keys.with_tenant(name)


@pytest.mark.parametrize(("epoch", "tenant"), [(1, None), (0, "nobody")], ids=["epoch", "tenant"])
def test_revoking_what_is_not_there(keys: MarkKeys, epoch: int, tenant: str | None) -> None:
    with pytest.raises(UsageError, match="keys mark list"):
        keys.revoke(epoch, tenant, "")


def test_epochs_end(keys: MarkKeys) -> None:
    for _ in range(EPOCHS - 1):
        keys = keys.rotate()
    assert keys.epoch == EPOCHS - 1
    with pytest.raises(UsageError):
        keys.rotate()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / BOOK).unlink(),
        lambda folder: (folder / BOOK).write_text("{"),
        lambda folder: (folder / BOOK).write_text("[]"),
        lambda folder: (folder / "mark-epoch-1.key").unlink(),
        lambda folder: (folder / "mark-epoch-1.key").write_text("00" * 32),
        lambda folder: (folder / "mark-epoch-1.key").write_text("zz"),
        lambda folder: _change(folder, epoch=7),
        lambda folder: _change(folder, tenants=[]),
        lambda folder: _change(folder, revocations=[{"epoch": 0}]),
    ],
    ids=["gone", "torn", "list", "key-gone", "key-other", "key-torn", "epoch", "tenants", "revocations"],
)
def test_damage_stops_the_program(keys: MarkKeys, tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    keys.rotate()
    damage(tmp_path)
    with pytest.raises(KeyMissing, match="backup"):
        open_mark_keys(tmp_path, FIRST)


def test_another_first_secret_is_refused(keys: MarkKeys, tmp_path: Path) -> None:
    keys.rotate()
    with pytest.raises(KeyMissing, match="epoch"):
        open_mark_keys(tmp_path, b"\x01" * 32)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folder_that_cannot_be_written(keys: MarkKeys, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(KeyMissing, match="rights"):
        keys.rotate()
    tmp_path.chmod(0o700)


def test_nothing_secret_is_shown(keys: MarkKeys, tmp_path: Path) -> None:
    turned = keys.rotate()
    assert FIRST.hex() not in repr(turned) and repr(FIRST) not in repr(turned)
    assert turned.secrets[1].hex() not in (tmp_path / BOOK).read_text()


def _change(folder: Path, **values: object) -> None:
    path = folder / BOOK
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
