"""One picture that shows which seconds of a film belong to which clip of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from guarded_sora.contact_sheet import save_png
from guarded_sora.evidence import Segment, Verdict

WIDTH = 1280
_PAPER, _INK, _FAINT = (250, 250, 248), (28, 30, 34), (112, 116, 122)
_NOBODY, _DOUBT = (226, 226, 222), (250, 222, 150)
# Told apart with every common colour blindness (Okabe and Ito, 2008).
_COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0))
_MARGIN, _BAR, _ROW, _TITLE, _TEXT = 32, 84, 30, 24, 16
_MOST_LEGEND = 24
_MOST_TICKS = 12


def draw_timeline(verdict: Verdict, path: Path) -> Path:
    """Write the segments of ``verdict`` as a PNG of 1,280 pixels width to ``path`` and return it.

    Bars in colour are seconds of a clip of ours, grey ones nobody's we know, striped ones a trace
    that proves nothing. Raises MediaError when ``path`` cannot be written.
    """
    picture = _draw(verdict)
    save_png(picture, path)
    return path


def length_of(verdict: Verdict) -> float:
    """Seconds of the film as far as the evidence knows; 0 for a film that could not be read."""
    known = [float(item.detail.get("seconds") or 0.0) for item in verdict.evidence if item.kind == "media"]
    return max([*known, *(part.end for part in verdict.segments)], default=0.0)


def _draw(verdict: Verdict) -> Image.Image:
    owners = list(dict.fromkeys(str(part.clip_id) for part in verdict.segments if part.clip_id))
    colours = {owner: _COLOURS[index % len(_COLOURS)] for index, owner in enumerate(owners)}
    rows = verdict.segments[:_MOST_LEGEND]
    height = _MARGIN * 2 + _TITLE + 24 + _BAR + 44 + _ROW * (len(rows) or 1)
    picture = Image.new("RGB", (WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    title, text = ImageFont.load_default(_TITLE), ImageFont.load_default(_TEXT)
    pen.text((_MARGIN, _MARGIN), f"{verdict.verdict.value}: {verdict.reason.replace('_', ' ')}", _INK, title)
    top = _MARGIN + _TITLE + 24
    length = length_of(verdict)
    _bar(pen, (_MARGIN, top, WIDTH - _MARGIN, top + _BAR), _NOBODY, striped=False)
    for part in verdict.segments:
        left, right = (_place(moment, length) for moment in (part.start, part.end))
        if right > left:
            _bar(pen, (left, top, right, top + _BAR), _colour(part, colours), striped=_doubtful(part))
    _ticks(pen, top + _BAR, length, text)
    _legend(pen, rows, colours, top + _BAR + 44, text, left_out=len(verdict.segments) - len(rows))
    return picture


def _legend(
    pen: ImageDraw.ImageDraw,
    rows: Sequence[Segment],
    colours: dict[str, tuple[int, int, int]],
    top: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    *,
    left_out: int,
) -> None:
    if not rows:
        pen.text((_MARGIN, top), "no seconds of ours were found", _FAINT, font)
    for index, part in enumerate(rows):
        line = top + index * _ROW
        box = (_MARGIN, line, _MARGIN + 22, line + 18)
        _bar(pen, box, _colour(part, colours), striped=_doubtful(part))
        owner = str(part.clip_id) if part.clip_id else "not ours"
        more = f"   and {left_out} more" if left_out and index == len(rows) - 1 else ""
        words = f"{part.start:.2f} to {part.end:.2f} s   {owner}   {part.state}{more}"
        pen.text((_MARGIN + 36, line), words, _INK, font)


def _bar(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: tuple[int, int, int], *, striped: bool
) -> None:
    pen.rectangle(box, fill=colour, outline=_PAPER)
    if striped:
        for x in range(box[0] + 4, box[2], 8):
            pen.line((x, box[1] + 1, x, box[3] - 1), fill=_FAINT)


def _ticks(
    pen: ImageDraw.ImageDraw, top: int, length: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    if length <= 0.0:
        return
    step = _step(length)
    for index in range(math.floor(length / step + 1e-6) + 1):
        moment = index * step
        x = _place(moment, length)
        pen.line((x, top, x, top + 8), fill=_FAINT)
        pen.text((x, top + 12), f"{moment:g} s", _FAINT, font, anchor="ma")


def _step(length: float) -> float:
    """The smallest round step that gives at most 12 ticks."""
    for power in range(-2, 6):
        for lead in (1.0, 2.0, 5.0):
            if length / (lead * 10.0**power) <= _MOST_TICKS:
                return float(lead * 10.0**power)
    return length


def _place(moment: float, length: float) -> int:
    part = min(max(moment / length, 0.0), 1.0) if length > 0 else 0.0
    return round(_MARGIN + part * (WIDTH - 2 * _MARGIN))


def _colour(part: Segment, colours: dict[str, tuple[int, int, int]]) -> tuple[int, int, int]:
    if part.clip_id is not None:
        return colours[str(part.clip_id)]
    return _DOUBT if _doubtful(part) else _NOBODY


def _doubtful(part: Segment) -> bool:
    return part.clip_id is None and part.state not in ("absent",)
