"""One picture that shows a whole clip: evenly spaced frames with their times, and a header.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError
from guarded_sora.media.files import beside, cannot_write

_PAPER, _INK, _FAINT, _SHADE = (250, 250, 248), (28, 30, 34), (112, 116, 122), (12, 13, 16)
_CELL = 480  # the long side of a frame on the sheet, in pixels, at most
_MARGIN, _GAP = 28, 12
_TITLE, _TEXT, _TIME = 26, 17, 15


def contact_sheet(
    frames: Iterable[FrameBatch],
    path: Path,
    *,
    title: str,
    lines: Sequence[str] = (),
    columns: int = 4,
    count: int = 12,
) -> Path:
    """Write at most ``count`` evenly spaced frames as a PNG to ``path`` and return it.

    ``title`` is the header, such as the clip id; ``lines`` stand small below it. Neither may hold
    the prompt. ``frames`` is read once and at most twice ``count`` of them are kept in memory.
    Raises MediaError when there are no frames or ``path`` cannot be written.
    """
    chosen = _evenly(_thinned(frames, max(1, count)), max(1, count))
    if not chosen:
        raise MediaError("There are no frames to show; the contact sheet would be empty.")
    return save_png(_draw(chosen, title, lines, min(max(1, columns), len(chosen))), path)


def comparison_sheet(
    films: Sequence[tuple[str, Iterable[FrameBatch]]], path: Path, *, title: str, columns: int = 5
) -> Path:
    """Write several films below each other, ``columns`` evenly spaced frames of each, as a PNG.

    Each film comes with its label, which stands above its row and, like ``title``, may not hold the
    prompt. Raises MediaError when a film has no frames or ``path`` cannot be written.
    """
    rows = []
    for label, frames in films:
        chosen = _evenly(_thinned(frames, columns), columns)
        if not chosen:
            raise MediaError("A film has no frames to show; leave it out of the sheet.")
        rows.append(_draw(chosen, label, (), columns))
    if not rows:
        raise MediaError("There are no films to show; the sheet would be empty.")
    head = _MARGIN + round(_TITLE * 1.8)
    sheet = Image.new("RGB", (max(row.width for row in rows), head + sum(row.height for row in rows)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), _plain(title), font=ImageFont.load_default(_TITLE + 4), fill=_INK)
    for row in rows:
        sheet.paste(row, (0, head))
        head += row.height
    return save_png(sheet, path)


def save_png(picture: Image.Image, path: Path) -> Path:
    """Write a picture, whole or not at all. Raises MediaError when ``path`` cannot be written."""
    try:
        with beside(path) as part:
            picture.save(part, format="PNG")
    except OSError as error:
        raise MediaError(cannot_write(path, error)) from error
    return path


def time_code(seconds: float) -> str:
    """``0:03.25`` or ``1:02:03.25``: hours only where there are any, hundredths always."""
    hundredths = round(max(0.0, seconds) * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 100:02d}.{rest % 100:02d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def _thinned(frames: Iterable[FrameBatch], count: int) -> list[tuple[float, Image.Image]]:
    """Every n-th frame, n doubling whenever more than ``2 * count`` have gathered; the last one too."""
    kept: list[tuple[int, float, Image.Image]] = []
    last: tuple[int, float, Image.Image] | None = None
    index, every = 0, 1
    for batch in frames:
        for position in range(len(batch)):
            is_last = position == len(batch) - 1
            if index % every == 0 or is_last:
                entry = (index, float(batch.times[position]), _small(batch.frames[position]))
                last = entry
                if index % every == 0:
                    kept.append(entry)
                if len(kept) > 2 * count:
                    every *= 2
                    kept = [one for one in kept if one[0] % every == 0]
            index += 1
    if last is not None and kept[-1][0] != last[0]:
        kept.append(last)
    return [(time, image) for _, time, image in kept]


def _evenly(entries: list[tuple[float, Image.Image]], count: int) -> list[tuple[float, Image.Image]]:
    """``count`` of them, first and last included, nearest to evenly spaced times."""
    if len(entries) <= count:
        return entries
    times = np.array([time for time, _ in entries])
    wanted = np.linspace(times[0], times[-1], count) if count > 1 else times[:1]
    return [entries[index] for index in sorted({int(np.abs(times - time).argmin()) for time in wanted})]


def _small(frame: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(frame)
    if max(image.size) > _CELL:
        image.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS, reducing_gap=2.0)
    else:
        image = image.copy()
    return image


def _draw(
    chosen: list[tuple[float, Image.Image]], title: str, lines: Sequence[str], columns: int
) -> Image.Image:
    scale = max(1, 240 // max(chosen[0][1].size))
    images = [image.resize((image.width * scale, image.height * scale)) for _, image in chosen]
    cell_width = max(image.width for image in images)
    cell_height = max(image.height for image in images)
    rows = math.ceil(len(images) / columns)
    fonts = {size: ImageFont.load_default(size) for size in (_TITLE, _TEXT, _TIME)}
    top = _MARGIN + round(_TITLE * 1.6) + round(_TEXT * 1.5) * len(lines) + _GAP
    width = max(
        2 * _MARGIN + columns * cell_width + (columns - 1) * _GAP,
        2 * _MARGIN + math.ceil(fonts[_TITLE].getlength(_plain(title))),
        *(2 * _MARGIN + math.ceil(fonts[_TEXT].getlength(_plain(line))) for line in lines),
    )
    height = top + rows * cell_height + (rows - 1) * _GAP + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN - 4), _plain(title), font=fonts[_TITLE], fill=_INK)
    for number, line in enumerate(lines):
        at = (_MARGIN, _MARGIN + round(_TITLE * 1.6) + number * round(_TEXT * 1.5) - 4)
        pen.text(at, _plain(line), font=fonts[_TEXT], fill=_FAINT)
    for number, ((time, _), image) in enumerate(zip(chosen, images, strict=True)):
        left = _MARGIN + (number % columns) * (cell_width + _GAP)
        upper = top + (number // columns) * (cell_height + _GAP)
        sheet.paste(image, (left, upper))
        _stamp(pen, time_code(time), left, upper + image.height, fonts[_TIME])
    return sheet


def _stamp(
    pen: ImageDraw.ImageDraw,
    text: str,
    left: int,
    bottom: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """The time in the lower left corner of a frame, light on dark so that it reads on any picture."""
    width = math.ceil(font.getlength(text))
    pen.rectangle((left, bottom - _TIME - 7, left + width + 10, bottom - 1), fill=_SHADE)
    pen.text((left + 5, bottom - _TIME - 6), text, font=font, fill=(245, 245, 245))


def _plain(text: str) -> str:
    """One line without control characters, so that nothing moves the pen; at most 200 characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]
