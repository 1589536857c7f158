"""The benchmark's peers are asked about the same films, by the calls their own documentation names."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.detector import looked_at
from benchmarks.detector_peers import (
    SECOND_DIFFERENCE,
    authentica,
    peers_of,
    pictures,
    second_difference,
)
from tests.detectors.synthetic.films import model, noisy

STILL = np.full((9, 32, 48, 3), 90, np.uint8)


def scan(path: Path) -> SimpleNamespace:
    """Answers as authentica does: trust falls as a picture gets brighter, and is whole where it is blind."""
    seen = cv2.imread(str(path))
    assert path.suffix == ".png" and seen is not None
    blind = int(seen.max()) == 0
    anomaly = float("nan") if blind else float(seen.mean()) / 255
    return SimpleNamespace(
        trust_score=100.0 if blind else 50 - 40 * anomaly,
        forensics=SimpleNamespace(anomaly_score=anomaly),
        watermark=SimpleNamespace(detected=False),
        errors={"forensics": "it broke"} if int(seen.max()) == 7 else {},
    )


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("authentica")
    module.scan = scan
    monkeypatch.setitem(sys.modules, "authentica", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.2.2")


def family(*, with_pictures: bool = True) -> dict[str, Any]:
    """Four films of one block: the synthetic ones are brighter."""
    films = [np.full((9, 128, 128, 3), value, np.uint8) for value in (40, 120, 60, 90)]
    shown = np.stack([film[:, :, :, 0] for film in films])[:, None]
    data: dict[str, Any] = {
        "synthetic": np.array([0, 1, 0, 1]),
        "source": np.array(["a", "a", "b", "b"]),
        "plain": shown,
        "second_difference": np.array([1.0, 0.0, 2.0, 0.5]),
    }
    return data | ({"pictures": np.array([pictures(film) for film in films])} if with_pictures else {})


def test_the_middle_frame_of_each_window_is_kept_as_it_is() -> None:
    film = noisy(20)
    first, second = pictures(film)
    for file, frame in ((first, film[4]), (second, film[13])):
        seen = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
        assert seen is not None and np.array_equal(seen[..., ::-1], frame)
    assert len(pictures(film[:8])) == 0


def test_a_film_that_moves_evenly_has_no_second_difference() -> None:
    assert second_difference(STILL) == 0.0
    film = noisy(9)
    film[4] = 255 - film[4]
    assert second_difference(film) < second_difference(noisy(9)) < 0.0


def test_authentica_gets_frames_and_its_trust_is_turned_round(
    installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    dark, bright, black = (np.full((2, 8, 8, 3), value, np.uint8) for value in (51, 204, 0))
    files = [[cv2.imencode(".png", frame)[1].tobytes() for frame in film] for film in (dark, bright, black)]
    assert authentica(files) == pytest.approx([58.0, 82.0, 0.0])
    assert "2 pictures with an undefined score" in capsys.readouterr().err
    mixed = [[files[0][0], files[1][0]]]
    assert authentica(mixed) == pytest.approx([70.0])


def test_a_picture_that_it_could_not_judge_stops_the_benchmark(installed: None) -> None:
    broken = cv2.imencode(".png", np.full((8, 8, 3), 7, np.uint8))[1].tobytes()
    with pytest.raises(RuntimeError, match="did not judge"):
        authentica([[broken]])


def test_each_peer_stands_in_the_table_under_a_name_of_its_own(installed: None) -> None:
    rows = looked_at(model(), {"waifu2x": family()})
    names = [each.metric for each in rows]
    assert len(set(names)) == len(names)
    found = {each.metric.removeprefix("looked at before: "): (each.peer, each.peer_name) for each in rows}
    assert found["macro over decoders"] == (0.0, SECOND_DIFFERENCE)
    assert found["macro over decoders, beside authentica"] == (1.0, "authentica 0.2.2 trust score")
    assert found["decoder waifu2x, beside authentica"][0] == 1.0
    assert found["true positives at 5 % false positives, beside authentica"][0] == 1.0


@pytest.mark.parametrize("reason", ["not installed", "no pictures"])
def test_a_peer_that_cannot_be_asked_is_left_out_and_said_so(
    reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = peers_of({"own": family(with_pictures=reason != "no pictures")})
    assert list(found) == [SECOND_DIFFERENCE]
    said = capsys.readouterr().err
    assert "left out" in said and reason in said
