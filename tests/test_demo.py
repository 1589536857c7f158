"""``make demo`` through the public API: built-in generator, real SQLite, real credentials library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demonstration_comes_out_as_it_should(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("ours_intact", "ours_altered", "p = 10^-", "blocked by rule", "audit record"):
        assert words in done.stdout
    for name in ("penguin.contact-sheet.png", "three-films.png"):
        assert (tmp_path / "demo" / name).read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "demo" / "never.mp4").exists()
