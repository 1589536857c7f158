import pytest
from sqlalchemy import text

from guarded_sora.audit.errors import EntryInvalid, ErasureRefused, NotFound
from guarded_sora.audit.export import export_tiles
from guarded_sora.audit.verifier import CheckFailed, check_proof, check_tiles
from tests.audit.conftest import some


def test_pruning_drops_entries_and_keeps_every_later_proof(log, tmp_path):
    log.append(some(700, payload=b"old words", owner="one", searchable=True))
    log.append(some(100))
    early = log.prove(3)
    before = log.checkpoint()
    pruned = log.prune(600, actor="operator", reason="two years")
    assert (pruned.minimum, pruned.events) == (512, 512)
    assert check_proof(early.text(), early.entry, log.vkey).index == 3
    proof = log.prove(600)
    assert check_proof(proof.text(), proof.entry, log.vkey).index == 600
    with pytest.raises(NotFound):
        log.read(511)
    assert log.read(512).seq == 512 and log.payload(512) == b"old words"
    assert [entry.seq for entry in log.search_text("old", limit=2)] == [512, 513]
    assert log.verify(published=[before.note]).ok
    log.append(some(300))
    assert log.prune(800, actor="operator", reason="x").minimum == 768
    assert log.verify().ok
    export_tiles(log, tmp_path / "tiles")
    assert check_tiles(tmp_path / "tiles", log.vkey).size == log.size
    with pytest.raises(Exception, match="append-only"), log.engine.begin() as connection:
        connection.execute(text("DELETE FROM events"))


def test_a_missing_row_above_the_minimum_is_still_named(small):
    small.append(some(600))
    small.prune(256, actor="operator", reason="x")
    with small.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER events_no_delete"))
        connection.execute(text("DELETE FROM events WHERE seq = 300"))
    assert [problem.where for problem in small.verify().problems] == ["events.seq=300"]


def test_a_hold_stops_pruning(log):
    log.append(some(300, payload=b"x", owner="one"))
    log.hold("one", "court", actor="counsel")
    with pytest.raises(ErasureRefused):
        log.prune(256, actor="operator", reason="x")
    assert log.read(0).seq == 0 and log.verify().ok


@pytest.mark.parametrize("before", [-5, 0, 255, 10_000])
def test_what_cannot_be_pruned(small, before):
    small.append(some(300))
    with pytest.raises(EntryInvalid, match="Nothing to prune"):
        small.prune(before, actor="operator", reason="x")


def test_a_tile_tree_cannot_hide_entries_by_claiming_a_minimum(small, tmp_path):
    small.append(some(600))
    export_tiles(small, tmp_path / "tiles")
    (tmp_path / "tiles" / "minimum").write_text("256\n")
    assert check_tiles(tmp_path / "tiles", small.vkey).size == 600, "their hashes still lead to the root"
    tile = tmp_path / "tiles" / "tile" / "0" / "000"
    tile.write_bytes(bytes(8192))
    with pytest.raises(CheckFailed):
        check_tiles(tmp_path / "tiles", small.vkey)
