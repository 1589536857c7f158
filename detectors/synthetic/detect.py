"""Looks at a film and says what its pixels tell of how it was made, or that they tell nothing.

The packaged model ranks films for review. It never says that a film is real, and it says
``likely`` only at a threshold that its card shows to hold on 299 independent real films.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic.blocks import SAMPLE_FPS, Cutter, gate, quality_class, spacing
from guarded_sora.detectors.synthetic.calibration import LEAST_AUC, PUBLIC_ALPHA, Calibration
from guarded_sora.detectors.synthetic.cuttings import Cuttings
from guarded_sora.detectors.synthetic.features import NAMES
from guarded_sora.detectors.synthetic.model import TriageModel, packaged_model
from guarded_sora.detectors.synthetic.report import Head, HeadState, Moment, Reading, SyntheticReport

ALPHA = 0.05
"""Share of real films that may be put up for review."""
NAME = "frames.synthetic"
_FLAT = NAMES.index("noise_flat")
_STILL_SHARE = 0.8
_MOST_OUTSIDE = 0.12
"""Share of measurements beyond all of training above which a film is too strange to judge: drawings, say."""
_UNSUPPORTED: dict[Head, str] = {
    Head.FACE_MANIPULATED: "face swaps are not detected: no head that beats chance is installed",
    Head.LIP_OR_AUDIO_EDITED: "edited lips and voices are not detected: no head is installed",
    Head.PARTLY_EDITED: "films edited in part are not detected: no head is installed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a film without its pixels. Nothing of it enters a score, only the gate."""

    width: int
    height: int
    fps: float
    seconds: float
    has_audio: bool = False


@runtime_checkable
class SyntheticPlugin(Protocol):
    """A detector of somebody else, such as a probe on a large backbone.

    ``card`` None means that it brings no calibration: its score is shown and counts for nothing.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def head(self) -> Head: ...

    @property
    def card(self) -> Calibration | None: ...

    def score(self, frames: FrameBatch) -> float:
        """Higher is more synthetic. ``frames``: up to 16 frames at 8 a second from the middle of the film."""
        ...


class SyntheticDetector:
    """The packaged model and what plug-ins add. Holds no state between films."""

    def __init__(
        self,
        model: TriageModel | None = None,
        *,
        plugins: Sequence[SyntheticPlugin] = (),
        alpha: float = ALPHA,
    ) -> None:
        self.model = model or packaged_model()
        self.plugins = tuple(plugins)
        self.alpha = alpha
        self.name = NAME
        self.version = self.model.version

    @property
    def needs_pictures(self) -> bool:
        """Whether something installed looks at more than the blocks: cuttings are then not enough."""
        return bool(self.plugins)

    def inspect_film(
        self, batches: Iterable[FrameBatch] | Cuttings, facts: Facts, *, whole_picture: bool = False
    ) -> SyntheticReport:
        """Look at a film in one pass.

        Args:
            batches: its frames at 8 a second or fewer, at their own size; scaled ones lose the traces. Or
                what was cut of them before, which gives the same report unless :attr:`needs_pictures`.
            whole_picture: measure blocks all over the picture, for a heat map; it costs as much more.
        """
        others = self._others(facts)
        shut = gate(width=facts.width, height=facts.height, fps=facts.fps, seconds=facts.seconds)
        if shut:
            return self._silent(shut, others)
        keep: _Middle | None = None
        if isinstance(batches, Cuttings):
            cutter, windows = batches.cutter, iter(batches)
        else:
            cutter = Cutter(every=spacing(facts.seconds, facts.fps), whole=whole_picture)
            keep = _Middle(facts.seconds) if self.plugins else None
            windows = cutter.windows(keep.through(batches) if keep else batches)
        moments, measured, still = [], [], 0
        for window in windows:
            features = [self.model.measure(block) for block in window.blocks]
            still += window.still
            measured += features
            scores = tuple(self.model.score(each) for each in features)
            moments.append(
                Moment(
                    start=window.start,
                    end=window.end + 1.0 / SAMPLE_FPS,
                    score=float(np.mean(scores)),
                    blocks=scores,
                    places=tuple((spot.top, spot.left) for spot in window.spots),
                )
            )
        if not moments:
            return self._silent("it has too few frames or too small a picture inside its bars", others)
        if still >= _STILL_SHARE * len(moments):
            return self._silent("nothing moves in it", others)
        if np.mean([self.model.outside(each) for each in measured]) > _MOST_OUTSIDE:
            return self._silent("it is unlike any film that the detector was measured on", others)
        readings = [self._reading(moments, np.array(measured)), *others]
        if keep is not None and keep.frames:
            readings += [self._plugged(plugin, keep.batch()) for plugin in self.plugins]
        families = [self.model.families(each) for each in measured]
        return SyntheticReport(
            readings=tuple(readings),
            moments=tuple(moments),
            contributions={name: float(np.mean([item[name] for item in families])) for name in families[0]},
            bias=self.model.bias,
            size=(cutter.width, cutter.height),
            version=self.version,
            weights_sha256=self.model.sha256,
        )

    def _reading(self, moments: Sequence[Moment], measured: NDArray[np.float32]) -> Reading:
        score = float(np.mean([moment.score for moment in moments]))
        quality = quality_class(float(measured[:, _FLAT].mean()))
        return judge_score(
            score, quality, self.model.calibration, head=Head.FULLY_SYNTHETIC, name=NAME, alpha=self.alpha
        )

    def _plugged(self, plugin: SyntheticPlugin, frames: FrameBatch) -> Reading:
        score = float(plugin.score(frames))
        if plugin.card is None:
            return Reading(
                head=plugin.head,
                state=HeadState.UNCALIBRATED,
                detector=plugin.name,
                score=score,
                reason="it brings no calibration card, so its score counts for nothing",
            )
        return judge_score(score, "any", plugin.card, head=plugin.head, name=plugin.name, alpha=self.alpha)

    def _others(self, facts: Facts) -> list[Reading]:
        """The heads that nothing installed can fill."""
        filled = {plugin.head for plugin in self.plugins}
        readings = []
        for head, reason in _UNSUPPORTED.items():
            if head in filled:
                continue
            if head is Head.LIP_OR_AUDIO_EDITED and not facts.has_audio:
                readings.append(Reading(head=head, state=HeadState.NOT_APPLICABLE, reason="it has no sound"))
            else:
                readings.append(Reading(head=head, state=HeadState.UNSUPPORTED, reason=reason))
        return readings

    def _silent(self, reason: str, others: Sequence[Reading]) -> SyntheticReport:
        main = Reading(
            head=Head.FULLY_SYNTHETIC, state=HeadState.NOT_APPLICABLE, detector=NAME, reason=reason
        )
        return SyntheticReport(
            readings=(main, *others), version=self.version, weights_sha256=self.model.sha256
        )


def open_detector(folders: Sequence[Path] = (), *, alpha: float = ALPHA) -> SyntheticDetector:
    """The packaged model and a plug-in for each folder of a backbone.

    Raises:
        WeightsInvalid: a file is missing, is not the pinned one, or is of another form.
    """
    from guarded_sora.detectors.synthetic.backbones import open_backbone

    return SyntheticDetector(plugins=[open_backbone(folder) for folder in folders], alpha=alpha)


def judge_score(
    score: float, quality: str, card: Calibration, *, head: Head, name: str, alpha: float
) -> Reading:
    """What a calibrated score amounts to: conformal abstention, and what may be said in public."""
    p_value = card.p_value(score, quality)
    if not card.supported:
        return Reading(
            head=head,
            state=HeadState.UNSUPPORTED,
            detector=name,
            reason=_why_unsupported(card),
            score=score,
            p_value=p_value,
            quality=quality,
        )
    reason = ""
    if card.public.holds and score >= card.public.threshold and p_value <= max(alpha, PUBLIC_ALPHA):
        state = HeadState.LIKELY
    elif not card.may_flag(quality, alpha):
        state = HeadState.ABSTAINS
        reason = f"too few real films of {quality} quality were measured to hold {alpha:g}"
    elif p_value <= alpha:
        state = HeadState.FOR_REVIEW
        reason = "rarer than that among real films; it ranks for review and proves nothing"
    else:
        state = HeadState.NOTHING
    return Reading(
        head=head,
        state=state,
        detector=name,
        reason=reason,
        score=score,
        llr=card.llr(score),
        p_value=p_value,
        quality=quality,
    )


def _why_unsupported(card: Calibration) -> str:
    if card.held_out_auc < LEAST_AUC:
        why = f"its AUC of {card.held_out_auc:.2f} on generators it never saw is below {LEAST_AUC:g}"
    else:
        why = card.withheld
    return f"{why}, so its score counts for nothing"


class _Middle:
    """Keeps up to 16 frames from the middle of a film for plug-ins while it passes by."""

    def __init__(self, seconds: float, *, most: int = 16) -> None:
        self._from = max(0.0, seconds / 2 - most / SAMPLE_FPS / 2)
        self._most = most
        self.frames: list[tuple[float, NDArray[np.uint8]]] = []
        self._fps = SAMPLE_FPS

    def through(self, batches: Iterable[FrameBatch]) -> Iterable[FrameBatch]:
        for batch in batches:
            self._fps = batch.fps
            for frame, time in zip(batch.frames, batch.times, strict=True):
                if time >= self._from and len(self.frames) < self._most:
                    self.frames.append((float(time), frame.copy()))
            yield batch

    def batch(self) -> FrameBatch:
        return FrameBatch(
            frames=np.stack([frame for _, frame in self.frames]),
            times=np.array([time for time, _ in self.frames]),
            fps=self._fps,
        )


__all__ = ["ALPHA", "NAME", "Facts", "SyntheticDetector", "SyntheticPlugin", "judge_score", "open_detector"]
