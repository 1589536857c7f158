"""Thousands of films: nothing is lost, nothing is done twice, and one bad file stops nobody."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import GuardedSora
from guarded_sora.cli.main import main
from guarded_sora.detectors.synthetic import SyntheticDetector
from guarded_sora.errors import UsageError
from guarded_sora.explain import draw_if_telling
from guarded_sora.scan import OUT_OF_TIME, films, scan
from tests.detectors.synthetic.films import model


@pytest.fixture
def folder(tmp_path: Path, film: Callable[..., Path]) -> Path:
    """Two films, a damaged one, and a file that is none."""
    place = tmp_path / "films"
    (place / "deeper").mkdir(parents=True)
    shutil.move(film("a.mp4", seed=1, frames=12), place / "a.mp4")
    shutil.move(film("b.mp4", seed=2, frames=12), place / "deeper" / "b.MP4")
    (place / "broken.mp4").write_bytes((place / "a.mp4").read_bytes()[:300])
    (place / "notes.txt").write_text("no film")
    return place


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def test_films_are_found_in_order_and_links_lead_nowhere(folder: Path) -> None:
    (folder / "deeper" / "ring").symlink_to(folder, target_is_directory=True)
    found = [path.name for path in films([folder])]
    assert found == ["a.mp4", "broken.mp4", "b.MP4"]
    assert list(films([folder / "notes.txt"])) == [folder / "notes.txt"]
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        list(films([folder / "nothing"]))


def test_a_wrong_path_stops_before_anything_is_looked_at(
    sora: GuardedSora, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    told: list[Any] = []
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        scan(sora.services, [folder, tmp_path / "nothing"], out, told=lambda *line: told.append(line))
    assert not told and not out.exists()


def test_every_film_gets_a_line(sora: GuardedSora, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    told: list[str] = []
    summary = scan(
        sora.services, [folder], out, depth="provenance", told=lambda line, _: told.append(line["file"])
    )
    seen = {Path(line["file"]).name: line for line in lines(out)}
    assert seen["broken.mp4"]["verdict"] == "unreadable"
    assert seen["a.mp4"]["verdict"] == seen["b.MP4"]["verdict"] == "no_evidence"
    assert (summary.scanned, summary.errors, summary.skipped, len(told)) == (3, 0, 0, 3)
    assert {"sha256", "reason", "evidence", "segments", "rules", "audit", "seconds"} <= set(seen["a.mp4"])


def test_a_scan_goes_on_where_it_was(sora: GuardedSora, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    scan(sora.services, [folder / "a.mp4"], out, depth="credentials")
    with pytest.raises(UsageError, match="--resume"):
        scan(sora.services, [folder], out, depth="credentials")
    with open(out, "ab") as file:
        file.write(b'{"file": "cut sho')  # what a crash leaves
    summary = scan(sora.services, [folder], out, depth="credentials", resume=True)
    assert (summary.scanned, summary.skipped) == (2, 1)
    assert len(lines(out)) == 3
    (folder / "a.mp4").write_bytes((folder / "deeper" / "b.MP4").read_bytes() + b"\0")
    again = scan(sora.services, [folder], out, depth="credentials", resume=True)
    assert (again.scanned, again.skipped) == (1, 2)


def test_strange_lines_in_the_output_are_left_alone(sora: GuardedSora, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(b'[]\n{"file": 3}\nnonsense\n\xff\xfe\n')
    summary = scan(sora.services, [folder / "a.mp4"], out, depth="credentials", resume=True)
    assert summary.scanned == 1
    assert out.read_bytes().startswith(b'[]\n{"file": 3}\nnonsense\n\xff\xfe\n')


def test_the_folder_of_the_output_must_be_there(sora: GuardedSora, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        scan(sora.services, [folder], tmp_path / "nowhere" / "out.jsonl")


def test_side_by_side_says_the_same(sora: GuardedSora, folder: Path, tmp_path: Path) -> None:
    said = []
    for jobs in (1, 3):
        out = tmp_path / f"{jobs}.jsonl"
        scan(sora.services, [folder], out, depth="provenance", jobs=jobs)
        said.append({line["file"]: line["verdict"] for line in lines(out)})
    assert said[0] == said[1]


class Slow(SyntheticDetector):
    def inspect_film(self, *_: Any, **__: Any) -> Any:
        time.sleep(3)


def test_a_film_that_takes_too_long_is_inconclusive(sora: GuardedSora, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    slow = dataclasses.replace(sora.services, synthetic=lambda: Slow(model()))
    settings = slow.settings
    scan(dataclasses.replace(slow, settings=settings), [folder / "a.mp4"], out, budget=2.0)
    line = lines(out)[0]
    assert line["verdict"] == "inconclusive"
    assert line["reason"] in (OUT_OF_TIME, "check_failed")


def test_a_picture_is_drawn_of_what_is_put_up_for_review(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    services = dataclasses.replace(sora.services, synthetic=lambda: SyntheticDetector(model(bias=3.0)))
    out = tmp_path / "out.jsonl"
    summary = scan(services, [film()], out)
    line = lines(out)[0]
    assert (summary.for_review, line["verdict"]) == (1, "inconclusive")
    drawn = draw_if_telling(services, line, tmp_path / "pictures")
    assert drawn is not None and drawn.read_bytes().startswith(b"\x89PNG")
    assert draw_if_telling(services, line | {"evidence": []}, tmp_path) is None


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str], home: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    def call(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments), "--home", str(home)])
        return int(left.value.code or 0), capsys.readouterr().out

    yield call


def test_the_command_sums_up_and_its_status_is_the_worst(
    called: Callable[..., tuple[int, str]], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    status, shown = called("scan", folder, "-o", out, "--depth", "credentials")
    assert status == 1
    assert "unreadable" in shown and "3 films" in shown
    status, shown = called("scan", folder, "-o", out, "--depth", "credentials")
    assert status == 2
    status, shown = called("scan", folder, "-o", out, "--resume", "--json", "--depth", "credentials")
    assert (status, shown) == (0, "")
