"""Files that are written whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from guarded_sora.media.files import beside, write_private


def test_what_is_written_beside_takes_the_place_in_one_step(tmp_path: Path) -> None:
    path, other = tmp_path / "film.mp4", tmp_path / "other"
    other.write_text("other")
    path.symlink_to(other)
    with beside(path) as part:
        part.write_text("new")
        assert path.read_text() == "other"
    assert path.read_text() == "new" and other.read_text() == "other" and not path.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_a_block_that_raises_leaves_what_there_was(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), beside(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_private_words_are_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OSError):
        write_private(tmp_path / "missing" / "words", b"x")
    with pytest.raises(OSError):
        write_private(path / "below a file", b"x")
