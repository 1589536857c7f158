"""The contact sheet shows the whole clip and never much memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guarded_sora.contact_sheet import comparison_sheet, contact_sheet, time_code
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError
from guarded_sora.media import ClipFrames


def ramp(count: int, height: int = 90, width: int = 160) -> np.ndarray:
    """Frame number n is all grey level n."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3)
    ).copy()


def centres(path: Path, columns: int, rows: int, top: int, cell: tuple[int, int]) -> list[int]:
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    width, height = cell
    return [
        int(pixels[top + row * (height + 12) + height // 3, 28 + column * (width + 12) + width // 2, 0])
        for row in range(rows)
        for column in range(columns)
    ]


def test_frames_stand_in_order_and_reach_both_ends(tmp_path: Path) -> None:
    path = contact_sheet(
        ClipFrames(ramp(120, 270, 480), 8.0), tmp_path / "sheet.png", title="gs1:0011:22", columns=4, count=12
    )
    with Image.open(path) as sheet:
        assert sheet.format == "PNG" and sheet.width == 2 * 28 + 4 * 480 + 3 * 12
    seen = centres(path, 4, 3, 28 + 42 + 12, (480, 270))
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 119
    assert max(np.diff(seen)) <= 16, "no long stretch of the clip is left out"


@pytest.mark.parametrize("count", [1, 2, 5, 12, 13, 200])
@pytest.mark.parametrize("wanted", [1, 2, 12])
def test_any_number_of_frames(tmp_path: Path, count: int, wanted: int) -> None:
    path = contact_sheet(
        ClipFrames(ramp(count, 6, 10), 8.0, chunk_bytes=500), tmp_path / "s.png", title="t", count=wanted
    )
    with Image.open(path) as sheet:
        sheet.load()


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (64, 64), (1080, 608)])
def test_any_shape_of_frame(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = contact_sheet(
        ClipFrames(ramp(3, *shape), 1.0), tmp_path / "s.png", title="x" * 30, lines=["a", "b"]
    )
    with Image.open(path) as sheet:
        assert sheet.width < 4000 and sheet.height < 4000


def test_a_long_film_is_read_once_and_thinned(tmp_path: Path) -> None:
    class Film:
        passes = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            self.passes += 1
            for start in range(0, 3000, 50):
                yield FrameBatch(
                    frames=np.full((50, 9, 16, 3), start // 12, np.uint8),
                    times=(start + np.arange(50.0)) / 25,
                    fps=25.0,
                )

    film = Film()
    contact_sheet(film, tmp_path / "s.png", title="t")
    assert film.passes == 1


def test_empty_and_unwritable_are_errors(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no frames"):
        contact_sheet([], tmp_path / "s.png", title="t")
    with pytest.raises(MediaError, match="does not exist"):
        contact_sheet(ClipFrames(ramp(2), 1.0), tmp_path / "missing" / "s.png", title="t")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        contact_sheet(ClipFrames(ramp(2), 1.0), tmp_path / "folder", title="t")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_control_characters_do_not_break_the_header(tmp_path: Path) -> None:
    contact_sheet(
        ClipFrames(ramp(2), 1.0), tmp_path / "s.png", title="a\nb\x00c\udcff" * 200, lines=["\u202e"]
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.00"), (3.25, "0:03.25"), (59.999, "1:00.00"), (3723.5, "1:02:03.50"), (-1, "0:00.00")],
)
def test_time_codes(seconds: float, text: str) -> None:
    assert time_code(seconds) == text


def test_several_films_stand_below_each_other(tmp_path: Path) -> None:
    films = [(f"film {n}", ClipFrames(ramp(count), 8.0)) for n, count in enumerate((20, 3, 1))]
    path = comparison_sheet(films, tmp_path / "sheet.png", title="three", columns=4)
    with Image.open(path) as sheet:
        tall, wide = sheet.height, sheet.width
    one = comparison_sheet(films[:1], tmp_path / "one.png", title="three", columns=4)
    with Image.open(one) as sheet:
        assert sheet.width == wide and sheet.height < tall / 2
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".part"]


@pytest.mark.parametrize("films", [[], [("empty", iter(()))]])
def test_a_comparison_of_nothing_is_refused(tmp_path: Path, films: list[object]) -> None:
    with pytest.raises(MediaError, match="sheet"):
        comparison_sheet(films, tmp_path / "sheet.png", title="none")
    assert not list(tmp_path.iterdir())
