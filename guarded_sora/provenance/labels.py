"""Visible labels: which a profile asks for, drawn into frames before the mark, and found again.

Drawn: white text in a half-transparent dark box at the top right, readable on any picture. Text heights
are shares of the frame's shorter side: the Chinese text has 7 % (its capitals 5.4 %, the standard asks for
5 %), the others 4.5 %. Found: by matching our own art only; a label of another design is not recognised.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import UsageError

Law = Literal["eu", "us-ca", "cn", "in", "kr"]
Kind = Literal["generated", "modified"]

LAWS: tuple[Law, ...] = ("eu", "us-ca", "cn", "in", "kr")
LANGUAGES: dict[Law, tuple[str, ...]] = {
    "eu": ("en",),
    "us-ca": (),  # asks for a latent disclosure only
    "cn": ("zh",),
    "in": ("en", "hi"),
    "kr": ("ko",),
}
TEXT_HEIGHT = {"zh": 0.07}
_OTHER_HEIGHT = 0.045
_MIN_INK = 8  # pixels; smaller text cannot be read
_BOX_SHADE = 0.62
_MAX_WIDTH = 0.94

_MATCH_SIDE = 360
_MATCH_SCORE = 0.68  # films without labels reach 0.61, labels in frames of 128 lines 0.70 and more
_MATCH_CONTRAST = 70.0  # grey levels between text and box; as drawn it is 158 or more
_SCALES = (1.0, 0.96, 1.04, 0.92, 1.09, 0.87, 1.15, 0.8, 1.25, 0.72, 1.36)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlan:
    """Which texts are shown, and when; all times in seconds.

    Shown for ``shown`` seconds at the start, again every ``every`` seconds and after each of ``breaks``;
    ``whole`` shows them all the time. No law names an interval except China's two seconds on the opening
    picture.
    """

    kind: Kind = "generated"
    languages: tuple[str, ...] = ()
    shown: float = 3.0
    every: float = 20.0
    whole: bool = False
    breaks: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.shown < 2.0 or self.every < self.shown:
            raise UsageError("A label must be shown for 2 seconds or more, and repeated no faster than that.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the artwork, for the manifest: ``en-generated`` and so on."""
        return tuple(f"{language}-{self.kind}" for language in self.languages)

    def visible(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """For ``times`` (T,) in seconds: bool (T,), whether the label is shown."""
        if not self.languages:
            return np.zeros(times.shape, bool)
        shown = np.full(times.shape, self.whole) | (np.mod(times, self.every) < self.shown)
        for moment in self.breaks:
            shown |= (times >= moment) & (times < moment + self.shown)
        return shown


def plan_labels(
    profile: Iterable[str], *, kind: Kind = "generated", breaks: tuple[float, ...] = ()
) -> LabelPlan:
    """The plan that satisfies every law in ``profile``.

    India's label stays for the whole length: a draft amendment of 2026 asks for it.
    Raises ``UsageError`` for a law that is not known.
    """
    laws = tuple(dict.fromkeys(profile))
    for law in laws:
        if law not in LAWS:
            raise UsageError(f"There are no labels for {law[:40]!r}; use some of: {', '.join(LAWS)}.")
    wanted = dict.fromkeys(language for law in LAWS if law in laws for language in LANGUAGES[law])
    return LabelPlan(kind=kind, languages=tuple(wanted), whole="in" in laws, breaks=breaks)


class Stamp:
    """A plan's labels for frames of one size.

    ``apply`` is a plain function of the frames, so a film may be labelled in chunks of any length.
    """

    def __init__(self, plan: LabelPlan, height: int, width: int) -> None:
        self.plan = plan
        self.size = (height, width)
        self._shade, self._ink, self._where = _compose(plan.names, height, width)

    def apply(self, frames: NDArray[np.uint8], times: NDArray[np.float64]) -> NDArray[np.uint8]:
        """A copy of ``frames`` uint8 (T, H, W, 3) sRGB with the labels where ``times`` (T,) ask for them.

        Raises ``UsageError`` when the frames have another size than the stamp.
        """
        if frames.shape[1:3] != self.size:
            raise UsageError(f"These labels are for frames of {self.size}, not {frames.shape[1:3]}.")
        result = frames.copy()
        if not self.plan.names:
            return result
        rows, columns = self._where
        for index in np.flatnonzero(self.plan.visible(times)):
            region = result[index, rows, columns].astype(np.float32)
            region *= 1.0 - self._shade[..., None]
            region += self._ink[..., None]
            result[index, rows, columns] = np.clip(np.rint(region), 0, 255).astype(np.uint8)
        return result

    def apply_batch(self, batch: FrameBatch) -> FrameBatch:
        return FrameBatch(frames=self.apply(batch.frames, batch.times), times=batch.times, fps=batch.fps)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSighting:
    """One of our labels, seen in one frame.

    ``time`` in seconds; ``score`` is the correlation with our art, 0 to 1; ``height`` is the ink height as
    a share of the frame's shorter side.
    """

    name: str
    time: float
    score: float
    height: float

    @property
    def language(self) -> str:
        return self.name.partition("-")[0]


def find_labels(
    batch: FrameBatch, languages: Iterable[str] = ("en", "zh", "ko", "hi")
) -> tuple[LabelSighting, ...]:
    """Our labels in the frames of ``batch``: of each language the better matching kind, if it matches at all.

    Finds them after re-encoding, resizing and moderate cropping; text below 8 pixels is not looked for.
    """
    found: list[LabelSighting] = []
    for frame, time in zip(batch.frames, batch.times, strict=True):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        side = min(grey.shape)
        if side < 32:
            continue
        ratio = _MATCH_SIDE / side
        interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        size = (round(grey.shape[1] * ratio), round(grey.shape[0] * ratio))
        view = np.asarray(cv2.resize(grey, size, interpolation=interpolation), np.uint8)
        for language in languages:
            best = max(
                (_match(view, f"{language}-{kind}") for kind in ("generated", "modified")),
                key=lambda sighting: sighting[0],
            )
            if best[0] >= _MATCH_SCORE:
                found.append(
                    LabelSighting(
                        name=best[2], time=float(time), score=round(best[0], 3), height=round(best[1], 4)
                    )
                )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSurvey:
    """Where in a film we looked for labels and what was seen. Times in seconds.

    A language that was in none of the opening frames is not looked for any longer.
    """

    sightings: tuple[LabelSighting, ...] = ()
    looked: tuple[float, ...] = ()

    def times(self, language: str) -> tuple[float, ...]:
        return tuple(sighting.time for sighting in self.sightings if sighting.language == language)

    def height(self, language: str) -> float:
        """Smallest ink height seen, as a share of the frame's shorter side; 0 when none was."""
        heights = [item.height for item in self.sightings if item.language == language]
        return min(heights, default=0.0)


def survey_labels(
    batches: Iterable[FrameBatch], languages: Iterable[str] = ("en", "zh", "ko", "hi")
) -> LabelSurvey:
    """Look at the opening (five frames in two seconds), then every five seconds, 24 frames at most."""
    wanted = tuple(languages)
    due = [0.0, 0.5, 1.0, 1.5, 1.9, *(5.0 * step for step in range(1, 20))]
    sightings: list[LabelSighting] = []
    looked: list[float] = []
    for batch in batches:
        for index, time in enumerate(batch.times):
            if not due or not wanted or time < due[0]:
                continue
            while due and due[0] <= time:
                due.pop(0)
            one = FrameBatch(
                frames=batch.frames[index : index + 1], times=batch.times[index : index + 1], fps=batch.fps
            )
            sightings.extend(find_labels(one, wanted))
            looked.append(float(time))
            if time >= 1.9:
                seen = {sighting.language for sighting in sightings}
                wanted = tuple(language for language in wanted if language in seen)
    return LabelSurvey(sightings=tuple(sightings), looked=tuple(looked))


def _match(view: NDArray[np.uint8], name: str) -> tuple[float, float, str]:
    """Best correlation of the artwork in ``view``, its ink height as a share of the shorter side, the
    name."""
    share = _share(name)
    best = (0.0, share)
    for scale in _SCALES:
        ink = round(share * scale * _MATCH_SIDE)
        mask = _mask(name, ink)
        pad = max(2, ink // 4)
        template = np.pad(mask, pad)
        if template.shape[0] >= view.shape[0] or template.shape[1] >= view.shape[1]:
            continue
        _, score, _, (left, top) = cv2.minMaxLoc(cv2.matchTemplate(view, template, cv2.TM_CCOEFF_NORMED))
        if score > best[0] and (
            score < _MATCH_SCORE or _contrast(view, template, left, top) >= _MATCH_CONTRAST
        ):
            best = (score, ink / _MATCH_SIDE)
        if best[0] > 0.85:
            break
    return best[0], best[1], name


def _contrast(view: NDArray[np.uint8], template: NDArray[np.uint8], left: int, top: int) -> float:
    """Grey levels between the text and what is around it: correlation alone does not see how strong a
    pattern is."""
    region = view[top : top + template.shape[0], left : left + template.shape[1]]
    return float(region[template > 200].mean() - region[template < 20].mean())


def _share(name: str) -> float:
    return TEXT_HEIGHT.get(name.partition("-")[0], _OTHER_HEIGHT)


@lru_cache(maxsize=256)
def _mask(name: str, ink: int) -> NDArray[np.uint8]:
    """The artwork ``name`` as uint8 (ink, width), 255 where the text is."""
    data = resources.files("guarded_sora.provenance.art").joinpath(f"{name}.png").read_bytes()
    art = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if art is None:
        raise UsageError(f"The artwork of the label {name!r} is damaged; install the package again.")
    width = max(1, round(art.shape[1] * ink / art.shape[0]))
    return np.asarray(cv2.resize(art, (width, ink), interpolation=cv2.INTER_AREA), np.uint8)


def _rows(names: tuple[str, ...]) -> list[list[str]]:
    """The Latin text has its own line; the short texts of the other scripts share the next one."""
    rows = [[name for name in names if name.startswith("en-")], [n for n in names if not n.startswith("en-")]]
    return [row for row in rows if row]


def _compose(
    names: tuple[str, ...], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[slice, slice]]:
    """Shade (h, w) 0 to 1, ink (h, w) 0 to 255 and the rows and columns of the frame that they cover."""
    side = min(height, width)
    inks = {name: max(_MIN_INK, round(_share(name) * side)) for name in names}
    block = _block(names, inks)
    if block.shape[1] > _MAX_WIDTH * width:  # a narrow frame: the whole block shrinks together
        shrink = _MAX_WIDTH * width / block.shape[1]
        block = _block(names, {name: max(4, int(ink * shrink)) for name, ink in inks.items()})
    block = block[:height, :width]
    margin = min(max(2, round(0.03 * side)), height - block.shape[0], width - block.shape[1])
    top, left = margin, width - margin - block.shape[1]
    text = block.astype(np.float32) / 255.0
    shade = _BOX_SHADE + (1.0 - _BOX_SHADE) * text if names else text
    where = (slice(top, top + block.shape[0]), slice(left, left + block.shape[1]))
    return shade, text * 255.0, where


def _block(names: tuple[str, ...], inks: dict[str, int]) -> NDArray[np.uint8]:
    """All texts as one mask, uint8 (h, w), with room around them."""
    gap = max(2, max(inks.values(), default=0) // 2)
    lines = []
    for row in _rows(names):
        masks = [_mask(name, inks[name]) for name in row]
        tall = max(mask.shape[0] for mask in masks)
        spaced: list[NDArray[np.uint8]] = []
        for mask in masks:
            above = (tall - mask.shape[0]) // 2
            spaced.append(np.pad(mask, ((above, tall - mask.shape[0] - above), (0, gap))))
        lines.append(np.hstack(spaced)[:, :-gap])
    if not lines:
        return np.zeros((0, 0), np.uint8)
    wide = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, gap), (wide - line.shape[1], 0))) for line in lines]
    return np.pad(np.vstack(padded)[:-gap], gap)
