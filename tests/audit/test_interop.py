"""Tools made by others accept our proofs, checkpoints and tiles. Each runs where it is installed.

Go: ``apt install golang-go golang-golang-x-mod-dev``. Python: ``pip install pymerkle tamperlog``;
``aics-tlog`` wants Python 3.12. ``GUARDED_SORA_GO`` and ``GOPATH`` may name other places.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from guarded_sora.audit.export import export_tiles
from tests.audit.conftest import some

SIZES = (1, 2, 255, 256, 257, 700)
GO = os.environ.get("GUARDED_SORA_GO") or shutil.which("go")
GOPATH = os.environ.get("GOPATH", "/usr/share/gocode")


def grown(log):
    """The log at each of a few sizes, with its entries so far."""
    entries = []
    for size in SIZES:
        log.append(some(size - len(entries)))
        entries = [entry.canonical for entry in log.tail(size)]
        yield entries


def test_pymerkle_has_the_same_root(small):
    pymerkle = pytest.importorskip("pymerkle", reason="SKIPPED: pymerkle is not installed; root not compared")
    for entries in grown(small):
        other = pymerkle.InmemoryTree.init_from_entries(entries)
        assert other.get_root() == small.checkpoint().root


def test_tamperlog_accepts_our_proofs(small):
    tamperlog = pytest.importorskip(
        "tamperlog", reason="SKIPPED: tamperlog is not installed; proofs not checked"
    )
    sizes = []
    for entries in grown(small):
        leaves = [tamperlog.hash_leaf(entry) for entry in entries]
        root, size = small.checkpoint().root, len(entries)
        assert tamperlog.merkle_root(leaves) == root
        for seq in {0, size // 2, size - 1}:
            tamperlog.verify_inclusion(seq, size, leaves[seq], list(small.prove(seq).path), root)
        for old, old_root in sizes:
            path = list(small.prove_consistency(old, size).path)
            tamperlog.verify_consistency(old, old_root, size, root, path)
        sizes.append((size, root))


def test_aics_tlog_audits_the_whole_tile_export(small, tmp_path):
    pytest.importorskip(
        "aics_tlog", reason="SKIPPED: aics-tlog (Python 3.12) is not installed; tiles not audited"
    )
    from aics_tlog.checkpoint import verify_checkpoint
    from aics_tlog.note import parse_note, parse_vkey
    from aics_tlog.tiles import FileSystemTileReader
    from aics_tlog.verified import audit_tiles

    for entries in grown(small):
        export_tiles(small, tmp_path)
        note = (tmp_path / "checkpoint").read_text()
        checked = verify_checkpoint(parse_note(note), parse_vkey(small.vkey), expected_origin=small.origin)
        assert checked.ok, checked
        report = audit_tiles(FileSystemTileReader(tmp_path), len(entries), small.checkpoint().root)
        assert report.bundles == (len(entries) + 255) // 256


@pytest.mark.slow
def test_go_accepts_our_proofs(small, tmp_path):
    if GO is None or not (Path(GOPATH) / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("SKIPPED: Go with golang.org/x/mod is not installed; proofs not checked by it")
    checker = tmp_path / "check"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": GOPATH, "GOCACHE": str(tmp_path / "cache")}
    source = Path(__file__).parent / "check_proof.go"
    subprocess.run([GO, "build", "-o", str(checker), str(source)], env=environment, check=True)
    for entries in grown(small):
        for seq in sorted({0, len(entries) // 2, len(entries) - 1}):
            files = small.prove(seq).write(tmp_path / f"{len(entries)}-{seq}")
            command = [str(checker), str(files.proof), str(files.entry), str(files.key)]
            assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == "holds\n"
            files.entry.write_bytes(files.entry.read_bytes().replace(b"tester", b"nobody"))
            assert subprocess.run(command, capture_output=True, check=False).returncode == 1
