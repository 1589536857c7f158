"""Rows of benchmarks: the ratio, the rounding, and the keys that others read."""

from __future__ import annotations

import json

import pytest

from benchmarks.rows import Row, print_report, print_rows, ratio_of, row

KEYS = ("metric", "ours", "peer", "peer_name", "ratio", "better", "unit")


def test_a_ratio_stands_only_beside_a_peer_that_has_something() -> None:
    assert row("a", 1.0, 2.0, "p").ratio == 0.5
    assert row("a", 1.0).ratio is None and row("a", 1.0, 0.0, "p").ratio is None
    assert ratio_of(1, 3) == 0.333 and ratio_of(1, 3, digits=None) == 1 / 3


def test_numbers_are_rounded_after_the_ratio_was_taken_or_not_at_all() -> None:
    rounded = row("a", 0.26, 0.14, "p", digits=1)
    assert (rounded.ours, rounded.peer, rounded.ratio) == (0.3, 0.1, 1.857)
    whole = row("a", 1 / 3, 2 / 3, "p", digits=None)
    assert (whole.ours, whole.peer, whole.ratio) == (1 / 3, 2 / 3, 0.5)


def test_a_report_is_one_line_of_json_with_the_common_keys(capsys: pytest.CaptureFixture[str]) -> None:
    print_report("name", {"cpus": 2}, [Row(metric="a", ours=1.0), row("b", 2.0, n=7)], detail={"x": 1})
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert {name: document[name] for name in ("name", "environment", "detail")} == {
        "name": "name",
        "environment": {"cpus": 2},
        "detail": {"x": 1},
    }
    first, second = document["rows"]
    assert tuple(first) == KEYS and tuple(second) == (*KEYS, "n") and second["n"] == 7


def test_people_read_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([row("speed", 1234.5, 2.0, "a peer", unit="1/s", low=1, bar=""), row("share", 0.25)])
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["speed", "1,234.5", "1/s", "2", "a", "peer", "x617.25", "low", "1"]
    assert second.split() == ["share", "0.25", "share"]
