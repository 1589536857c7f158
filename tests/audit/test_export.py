import csv
import json
import shutil
import subprocess
import sys

import pytest

from guarded_sora.audit import Event, tree
from guarded_sora.audit.errors import EntryInvalid, FileFailed
from guarded_sora.audit.export import export_entries, export_tiles, write_verifier
from guarded_sora.audit.sinks import BUILT_IN, Sink
from guarded_sora.audit.verifier import (
    CheckFailed,
    check_csv,
    check_export,
    check_parquet,
    check_tiles,
    main,
)
from tests.audit.conftest import some


def checked(path, log):
    note = path.with_name(path.name + ".checkpoint").read_text()
    with path.open("rb") as file:
        return check_export(file, note, log.vkey)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 700])
def test_a_tile_tree_checks_by_itself(small, tmp_path, size):
    small.append(some(size))
    export_tiles(small, tmp_path / "tiles")
    found = check_tiles(tmp_path / "tiles", small.vkey)
    assert (found.size, found.root) == (size, small.checkpoint().root)


def test_a_tile_tree_grows_and_full_tiles_stay(small, tmp_path):
    small.append(some(300))
    export_tiles(small, tmp_path / "tiles")
    full = tmp_path / "tiles" / "tile" / "0" / "000"
    stamp = full.stat().st_mtime_ns
    small.append(some(500))
    second = export_tiles(small, tmp_path / "tiles")
    assert full.stat().st_mtime_ns == stamp and second.files < 12
    assert check_tiles(tmp_path / "tiles", small.vkey).size == 800
    assert not list((tmp_path / "tiles").rglob("*.partial"))


@pytest.mark.slow
def test_two_levels_of_tiles(small, tmp_path):
    for _ in range(66):
        small.append(some(1000))
    export_tiles(small, tmp_path / "tiles")
    assert (tmp_path / "tiles" / tree.tile_path(1, 0)).stat().st_size == 8192
    assert (tmp_path / "tiles" / tree.tile_path(2, 0, 1)).stat().st_size == 32
    assert check_tiles(tmp_path / "tiles", small.vkey).size == 66_000
    (tmp_path / "tiles" / tree.tile_path(1, 0)).write_bytes(bytes(8192))
    with pytest.raises(CheckFailed, match="level 1"):
        check_tiles(tmp_path / "tiles", small.vkey)


def test_every_changed_file_of_a_tile_tree_is_noticed(small, tmp_path):
    small.append(some(300))
    export_tiles(small, tmp_path / "tiles")
    files = [item for item in (tmp_path / "tiles" / "tile").rglob("*") if item.is_file()]
    assert len(files) == 5
    for file in [*files, tmp_path / "tiles" / "checkpoint"]:
        data = file.read_bytes()
        for broken in (
            data[:-1] + bytes([data[-1] ^ 1]) if file.name != "checkpoint" else data[3:],
            data[:-1],
        ):
            if file.name == "checkpoint" and broken == data[:-1]:
                continue  # without its last line break the note says the same
            file.write_bytes(broken)
            with pytest.raises(CheckFailed):
                check_tiles(tmp_path / "tiles", small.vkey)
        file.write_bytes(data)
    check_tiles(tmp_path / "tiles", small.vkey)


def test_lines_are_the_entries_and_check_by_themselves(small, tmp_path):
    small.append(
        [*some(299), Event(kind="other.kind", actor="=cmd", subject="ü\u2028€", body={"x": '","proof":[]'})]
    )
    path = tmp_path / "out" / "all.jsonl"
    assert export_entries(small, path).entries == 300
    tree_, count = checked(path, small)
    assert (tree_.size, count) == (300, 300)
    lines = path.read_bytes().split(b"\n")[:-1]
    for seq, line in enumerate(lines):
        document = json.loads(line)
        assert document["seq"] == seq
        assert line.startswith(b'{"entry":' + small.read(seq).canonical + b',"proof":')
    assert main([str(path), "--key", str(path) + ".vkey"]) == 0


def test_a_selection_checks_too(small, tmp_path):
    small.append([Event(kind=f"kind.k{number % 3}", actor="a", subject="s") for number in range(50)])
    path = tmp_path / "some.jsonl"
    assert export_entries(small, path, kind="kind.k1").entries == 17
    assert checked(path, small)[1] == 17


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0].replace(b'"number":0', b'"number":9'), *lines[1:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [lines[0].replace(b'"seq":0', b'"seq":1'), *lines[1:]],
        lambda lines: [lines[0].replace(b',"seq"', b',"entry":{"evil":1},"seq"'), *lines[1:]],
        lambda lines: [b"{}\n", *lines],
        lambda lines: [b"\xff\n", *lines],
        lambda lines: [lines[0][:50]],
    ],
)
def test_changed_lines_are_noticed(small, tmp_path, change):
    small.append(some(20))
    path = tmp_path / "all.jsonl"
    export_entries(small, path)
    lines = path.read_bytes().splitlines(keepends=True)
    note = (tmp_path / "all.jsonl.checkpoint").read_text()
    with pytest.raises(CheckFailed):
        check_export(change(lines), note, small.vkey)


def test_a_spreadsheet_gets_text_not_formulas(small, tmp_path):
    small.append([Event(kind="a.b", actor="=HYPERLINK(1)", subject="@x", body={"t": 'comma, "quote"\n'})])
    path = tmp_path / "all.csv"
    export_entries(small, path, "csv")
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["actor"] == "'=HYPERLINK(1)" and row["subject"] == "'@x"
    assert (
        row["entry"].encode() == small.read(0).canonical
        and json.loads(row["body"])["t"] == 'comma, "quote"\n'
    )


def table(path, log):
    return check_table(path, path.with_name(path.name + ".checkpoint").read_text(), log.vkey)


def check_table(path, note, key):
    if path.suffix == ".parquet":
        return check_parquet(path, note, key)
    with path.open(encoding="utf-8", newline="") as lines:
        return check_csv(lines, note, key)


ODD = Event(kind="other.kind", actor="=cmd", subject="ü\u2028€", body={"x": '",\n\x01\t\x7f', "a": [None]})


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_checks_by_itself(small, tmp_path, form, capsys):
    small.append([*some(299), ODD])
    path = tmp_path / f"all.{form}"
    seen = []
    export_entries(small, path, form, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (300, 300)
    tree_, count = table(path, small)
    assert (tree_.root, count) == (small.checkpoint().root, 300)
    export_entries(small, path, form, kind="other.*")
    assert table(path, small)[1] == 1
    assert main([str(path), "--key", f"{path}.vkey"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 1


def test_an_empty_selection_is_an_export_too(small, tmp_path):
    small.append(some(3))
    for form in ("csv", "parquet"):
        export_entries(small, tmp_path / f"x.{form}", form, kind="no.such")
        assert table(tmp_path / f"x.{form}", small)[1] == 0
    export_entries(small, tmp_path / "x.jsonl", kind="no.such")
    assert checked(tmp_path / "x.jsonl", small)[1] == 0


COLUMNS = ("seq", "id", "time", "kind", "actor", "subject", "body", "entry", "proof")


@pytest.mark.parametrize("column", COLUMNS)
def test_every_changed_cell_is_noticed(small, tmp_path, column):
    small.append(some(9))
    path = tmp_path / "all.csv"
    export_entries(small, path, "csv")
    note = (tmp_path / "all.csv.checkpoint").read_text()
    rows = list(csv.reader(path.read_text().splitlines()))
    for change in (lambda cell: cell[:-1] + ("7" if cell[-1:] != "7" else "5"), lambda cell: ""):
        changed = [list(row) for row in rows]
        changed[4][COLUMNS.index(column)] = change(changed[4][COLUMNS.index(column)])
        text = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in changed]
        with pytest.raises(CheckFailed, match="Row 4 "):
            check_csv(text, note, small.vkey)


@pytest.mark.parametrize(
    "text", ["", "seq,id\n1,2\n", 'seq,id,"', ",".join(COLUMNS) + "\nx\n", ",".join(COLUMNS) + '\n"a"b\n']
)
def test_what_is_no_table(small, tmp_path, text):
    small.append(some(3))
    note = small.checkpoint().note
    with pytest.raises(CheckFailed):
        check_csv(text.splitlines(keepends=True), note, small.vkey)


def test_a_changed_parquet_file_is_noticed(small, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs guarded-sora[export]")
    small.append(some(9))
    path = tmp_path / "all.parquet"
    export_entries(small, path, "parquet")
    whole = parquet.read_table(path)
    assert whole.column("seq").to_pylist() == list(range(9)) and whole.schema.names == list(COLUMNS)
    changes = {
        "actor": lambda rows: rows[3].update(actor="nobody"),
        "time": lambda rows: rows[3].update(time=rows[3]["time"].replace(year=2001)),
        "order": lambda rows: rows.reverse(),
        "twice": lambda rows: rows.insert(3, rows[3]),
        "entry": lambda rows: rows[3].update(entry=rows[4]["entry"]),
        "proof": lambda rows: rows[3].update(proof=[]),
    }
    for name, change in changes.items():
        rows = whole.to_pylist()
        change(rows)
        parquet.write_table(type(whole).from_pylist(rows, schema=whole.schema), path)
        with pytest.raises(CheckFailed, match="Row"):
            table(path, small)
        assert name
    parquet.write_table(whole.drop_columns(["proof"]), path)
    with pytest.raises(CheckFailed, match="columns"):
        table(path, small)
    path.write_bytes(b"PAR1 nothing of the kind PAR1")
    with pytest.raises(CheckFailed, match="cannot be read"):
        table(path, small)


def test_without_pyarrow_the_answer_names_the_extra(small, tmp_path, monkeypatch, capsys):
    small.append(some(3))
    export_entries(small, tmp_path / "x.parquet", "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EntryInvalid, match=r"guarded-sora\[export\]"):
        export_entries(small, tmp_path / "y.parquet", "parquet")
    assert not (tmp_path / "y.parquet").exists()
    assert main([str(tmp_path / "x.parquet"), "--key", str(tmp_path / "x.parquet.vkey")]) == 2
    assert "pyarrow" in capsys.readouterr().err


class Counting:
    """Another form, as a plug-in would bring it."""

    name = "counting"

    def open(self, file):
        self.file, self.rows, self.closed = file, 0, False
        return self

    def write(self, rows):
        self.rows += len(rows)
        self.file.write(b"".join(b"%d %b\n" % (row.entry.seq, row.proof[0].hex().encode()) for row in rows))

    def close(self):
        self.closed = True


def test_a_sink_of_ones_own(small, tmp_path):
    small.append(some(20))
    sink = Counting()
    assert isinstance(sink, Sink) and all(isinstance(item, Sink) for item in BUILT_IN.values())
    assert export_entries(small, tmp_path / "x.txt", sink).entries == sink.rows == 20
    assert sink.closed and len((tmp_path / "x.txt").read_text().splitlines()) == 20
    assert (tmp_path / "x.txt.checkpoint").read_text() == small.checkpoint().note


def test_payloads_are_never_exported(small, tmp_path):
    small.append(some(3, payload=b"a secret thing"))
    for form in BUILT_IN:
        export_entries(small, tmp_path / f"x.{form}", form)
    export_tiles(small, tmp_path / "tiles")
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or file.name.startswith("small.db") or b"a secret thing" not in file.read_bytes()


def test_unknown_forms_and_bad_places(small, tmp_path):
    with pytest.raises(EntryInvalid, match="jsonl, csv, parquet"):
        export_entries(small, tmp_path / "x", "xml")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileFailed):
        export_entries(small, tmp_path / "file" / "x.jsonl")
    with pytest.raises(FileFailed):
        export_tiles(small, tmp_path / "file" / "tiles")


def test_the_verifiers_command_line_takes_all_three(small, tmp_path, capsys):
    small.append(some(300))
    export_tiles(small, tmp_path / "tiles")
    assert main([str(tmp_path / "tiles"), "--key", str(tmp_path / "tiles" / "key.vkey")]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 300
    shutil.rmtree(tmp_path / "tiles" / "tile" / "entries")
    assert main([str(tmp_path / "tiles"), "--key", str(tmp_path / "tiles" / "key.vkey")]) == 2
    with pytest.raises(SystemExit):
        main(["proof.tlog-proof", "--key", "x"])


def test_the_verifier_is_one_file_that_runs_alone(small, tmp_path):
    small.append(some(5))
    files = small.prove(3).write(tmp_path / "proof")
    write_verifier(tmp_path / "verifier.pyz")
    first = (tmp_path / "verifier.pyz").read_bytes()
    write_verifier(tmp_path / "verifier.pyz")
    assert (tmp_path / "verifier.pyz").read_bytes() == first
    command = [
        sys.executable,
        "-I",
        str(tmp_path / "verifier.pyz"),
        str(files.proof),
        "--key",
        str(files.key),
    ]
    run = subprocess.run([*command, "--entry", str(files.entry)], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["index"] == 3
    with pytest.raises(FileFailed):
        write_verifier(tmp_path / "proof" / "entry.json" / "x.pyz")
