"""``guarded-sora audit``: search, kept searches, exports, publishing, the sequencer, a resumed check."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from guarded_sora.audit import Event
from guarded_sora.audit.verifier import main as verifier
from guarded_sora.cli.times import moment
from guarded_sora.errors import UsageError
from guarded_sora.services import open_services
from guarded_sora.settings import Settings
from tests.guarded_sora.test_cli import Run, run

__all__ = ["run"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation whose log has a few entries, one with a searchable prompt."""
    home = tmp_path_factory.mktemp("made") / "home"
    with open_services(Settings(home=home)) as services:
        ann = services.keys.pseudonym("actor", "ann")
        events = [Event(kind="test.made", actor=ann, subject=f"s{number}") for number in range(6)]
        prompt = b"a red balloon over the beach"
        events.append(
            Event(kind="prompt.received", actor=ann, subject="s1", payload=prompt, owner=ann, searchable=True)
        )
        services.log.append(events)
        services.log.submit([Event(kind="test.later", actor="a", subject="s")])
    return home


@pytest.fixture
def filled(made: Path, home: Path) -> Path:
    """A copy of it, since making keys takes its time."""
    shutil.copytree(made, home, dirs_exist_ok=True)
    return home


def test_search_by_time_and_words_is_logged(run: Run, filled: Path) -> None:
    status, found, _ = run("audit", "search", "--text", '"red balloon" beach')
    assert status == 0 and [entry["kind"] for entry in found] == ["prompt.received"]
    assert "balloon" not in json.dumps(found)
    _, (looked,), _ = run("audit", "search", "--kind", "payload.searched")
    assert looked["body"] == {"found": 1} and looked["actor"] == "operator"
    _, found, _ = run("audit", "search", "--since", "1h", "--until", "2999-01-01", "--kind", "test.*")
    assert len(found) == 6
    _, found, _ = run("audit", "search", "--until", "2001-01-01T00:00+00:00")
    assert found == []
    for arguments in (["--since", "yesterday"], ["--text", "!!"], ["--until", "99999999w"]):
        status, (answer,), _ = run("audit", "search", *arguments)
        assert status == 2 and answer["error"]["message"], arguments


@pytest.mark.slow
def test_a_search_is_kept_under_a_name(run: Run, filled: Path) -> None:
    run("audit", "search", "--actor", "ann", "--kind", "test.made", "--since", "7d", "--save", "mine")
    _, (kept,), _ = run("audit", "searches")
    assert kept["name"] == "mine" and kept["filters"]["since"] == "7d"
    assert kept["filters"]["actor"].startswith("actor-"), "never the name itself"
    _, found, _ = run("audit", "search", "--saved", "mine")
    assert len(found) == 6
    _, found, _ = run("audit", "search", "--saved", "mine", "--subject", "s3")
    assert [entry["subject"] for entry in found] == ["s3"]
    assert run("audit", "search", "--save", "Not A Name", "--kind", "x")[0] == 2
    assert run("audit", "searches", "--remove", "mine")[:2] == (0, [])
    status, (answer,), _ = run("audit", "search", "--saved", "mine")
    assert status != 0 and "mine" in answer["error"]["message"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_export_is_checked_offline(run: Run, filled: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"log.{form}"
    status, (done,), _ = run("audit", "export", "-o", str(out), "--format", form, "--kind", "test.*")
    assert (status, done["entries"]) == (0, 6)
    assert verifier([str(out), "--key", f"{out}.vkey"]) == 0


@pytest.mark.slow
def test_tiles_the_checker_and_unknown_forms(run: Run, filled: Path, tmp_path: Path) -> None:
    tiles = tmp_path / "tiles"
    assert run("audit", "export", "-o", str(tiles), "--format", "tiles")[0] == 0
    assert verifier([str(tiles), "--key", str(tiles / "key.vkey")]) == 0
    assert run("audit", "export", "-o", str(tmp_path / "v.pyz"), "--format", "verifier")[0] == 0
    assert (tmp_path / "v.pyz").read_bytes()[:2] == b"#!"
    for arguments in (["--format", "tiles", "--kind", "x"], ["--format", "ocsf"]):
        assert run("audit", "export", "-o", str(tmp_path / "x"), *arguments)[0] == 2


class Lines:
    name = "lines"

    def open(self, file: BinaryIO) -> Lines:
        self.file = file
        return self

    def write(self, rows: Any) -> None:
        self.file.write(b"".join(b"%d\n" % row.entry.seq for row in rows))

    def close(self) -> None:
        pass


def test_a_plug_in_exports_only_when_the_settings_name_it(
    run: Run, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Point:
        name = "lines"

        @staticmethod
        def load() -> type[Lines]:
            return Lines

    monkeypatch.setattr("guarded_sora.plugins.entry_points", lambda group: [Point] * (group[-5:] == "sinks"))
    command = ("audit", "export", "-o", str(tmp_path / "x"), "--format", "lines", "--kind", "test.*")
    assert run(*command)[0] == 2
    monkeypatch.setenv("GUARDED_SORA_SINKS", '["lines"]')
    assert run(*command)[0] == 0
    assert len((tmp_path / "x").read_text().splitlines()) == 6


@pytest.mark.slow
def test_published_checkpoints_show_a_rollback(run: Run, filled: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    assert run("audit", "publish", "--file", str(kept))[0] == 0
    run("audit", "search", "--text", "balloon")  # one more entry
    status, (done,), _ = run("audit", "publish", "--file", str(kept))
    assert (status, done["size"]) == (0, 8)
    status, (report,), _ = run("audit", "verify", "--published", str(kept))
    assert status == 0 and report["checkpoints"] >= 3
    text = kept.read_text().replace("\n7\n", "\n9\n")
    (tmp_path / "other.txt").write_text(text)
    status, (report,), _ = run("audit", "verify", "--published", str(tmp_path / "other.txt"))
    assert status == 1 and report["problems"][0]["where"] == "published checkpoint 1"
    for arguments in ([], ["--witness", "https://w.example"], ["--url", "ftp://x"]):
        assert run("audit", "publish", *arguments)[0] != 0


def test_what_waits_is_moved(run: Run, filled: Path) -> None:
    assert run("audit", "sequence", "--once")[:2] == (0, [{"moved": 1}])
    _, found, _ = run("audit", "search", "--kind", "test.later")
    assert len(found) == 1


def test_verify_goes_on_where_it_was_stopped(
    run: Run, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    status, (report,), _ = run("audit", "verify", "--resume", str(place), "--without-payloads")
    assert (status, report["payloads"]) == (0, 1) and not place.exists()
    place.write_text("{}")
    status, (answer,), _ = run("audit", "verify", "--resume", str(place))
    assert status != 0 and "delete it" in answer["error"]["message"]


@pytest.mark.slow
def test_verify_shows_a_bar_to_a_person(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, _, err = run("audit", "verify", json_output=False)
    assert "rehash" in err
    _, _, err = run("audit", "verify", "--quiet", json_output=False)
    assert err == ""


def test_times_as_people_write_them() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    hour = 3_600_000
    base = int(now.timestamp() * 1000)
    assert moment("2026-11-22T12:00") == moment("2026-11-22T13:00+01:00") == base
    assert moment("2026-11-22") == base - 12 * hour
    assert [moment(words, now) for words in ("60m", "24h", "1d", "2w")] == [
        base - hour,
        base - 24 * hour,
        base - 24 * hour,
        base - 14 * 24 * hour,
    ]
    for wrong in ("", "7", "7x", "-1h", "2026-13-01", "999999w", "tomorrow"):
        with pytest.raises(UsageError, match="is no time"):
            moment(wrong)
