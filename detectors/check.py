"""What a frame detector is: pixels in, findings out, no decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import Finding

if TYPE_CHECKING:
    from guarded_sora.detectors.gallery import Gallery, WorkIndex


@runtime_checkable
class FrameCheck(Protocol):
    """A detector that others may implement (entry-point group ``guarded_sora.detectors``)."""

    @property
    def name(self) -> str:
        """Stable, dotted, such as ``frames.unsafe``."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever a score may change."""
        ...

    @property
    def unavailable(self) -> str:
        """Why this check cannot run here, in one sentence; empty when it can."""
        ...

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        """Look at sampled frames, uint8 (T, H, W, 3) sRGB; may raise, which counts as failed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmReport:
    """What a check saw in a whole film, and what its record says: words, score, bound, weights."""

    findings: tuple[Finding, ...] = ()
    result: str = ""
    score: float | None = None
    threshold: float | None = None
    weights_sha256: str | None = None


@runtime_checkable
class FilmCheck(FrameCheck, Protocol):
    """A frame check that wants the film in one piece: it chooses its frames, or compares seconds."""

    def inspect_film(self, frames: Iterable[FrameBatch]) -> FilmReport:
        """Look at a film, chunk by chunk and in one pass; may raise, which counts as failed."""
        ...


class Unequipped:
    """A check whose model is not installed: it stands in every record, so silence is impossible."""

    version = "0"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.unavailable = reason

    def inspect(self, frames: FrameBatch) -> Sequence[Finding]:
        """Never called by the guard, which asks :attr:`unavailable` first."""
        raise RuntimeError(self.unavailable)


def default_frame_checks(
    *, gallery: Gallery | None = None, works: WorkIndex | None = None, cards: Sequence[Path] = ()
) -> tuple[FrameCheck, ...]:
    """The checks every record names, whether a model for them is at hand or not.

    ``cards`` are model cards of the operator (:mod:`guarded_sora.detectors.cards`); one with the name
    of a stand-in takes its place.

    Raises:
        WeightsInvalid: a card cannot be used.
    """
    from guarded_sora.detectors.cards import Network, load_card
    from guarded_sora.detectors.copies import WorksFrames
    from guarded_sora.detectors.faces import DlibFaces
    from guarded_sora.detectors.likeness import LikenessFrames
    from guarded_sora.detectors.unsafe import UnsafeFrames, open_nsfw_card, packaged_open_nsfw

    checks: dict[str, FrameCheck] = {
        "frames.unsafe": Unequipped(
            "frames.unsafe",
            "no model for nudity is installed; pip install 'guarded-sora[detect]' brings one",
        ),
        "frames.violence": Unequipped(
            "frames.violence", "no model for violence is installed; name a model card in the settings"
        ),
        "frames.gore": Unequipped(
            "frames.gore", "no model for gore is installed; name a model card in the settings"
        ),
        "frames.minor": Unequipped(
            "frames.minor", "no packaged model judges age; name a model card in the settings"
        ),
    }
    weights = packaged_open_nsfw()
    if weights is not None:
        checks["frames.unsafe"] = UnsafeFrames(Network(open_nsfw_card(weights)))
    for card in map(load_card, cards):
        checks[card.name] = UnsafeFrames(Network(card))
    if gallery is None:
        checks["frames.likeness"] = Unequipped("frames.likeness", "no gallery of protected people is set up")
    else:
        checks["frames.likeness"] = LikenessFrames(DlibFaces(), gallery)
    if works is None:
        checks["frames.works"] = Unequipped("frames.works", "no register of protected works is set up")
    else:
        checks["frames.works"] = WorksFrames(works)
    return tuple(checks.values())
