"""What a score is worth: a likelihood ratio, how rare it is among real films, and what may be said of it.

A score means nothing until real films the model never saw were scored beside synthetic ones. The card
holds what came of that. Without a card a score is shown and counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from guarded_sora.detectors.errors import WeightsInvalid

LEAST_AUC = 0.7
"""What a head must reach on generators it was never trained on; below it, it counts for nothing."""
PUBLIC_ALPHA = 0.01
"""Real films that may at most be called synthetic in public."""
PUBLIC_LEAST = 299
"""Independent real films, none of them called so, that show it with 95 % confidence (0.99^299 < 0.05)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicTest:
    """``real_clips`` independent real films of cameras; ``above`` of them scored ``threshold`` or more."""

    real_clips: int = 0
    above: int = 0
    threshold: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether ``likely_synthetic`` may be said in public at this threshold."""
        return self.real_clips >= PUBLIC_LEAST and self.above == 0 and math.isfinite(self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A calibration card.

    ``slope`` and ``offset`` turn a score into a natural-log likelihood ratio, fitted on films of
    sources that the model had not seen, and ``least`` and ``most`` hold it within what their number
    supports. ``held_out_auc`` was measured on generators or decoders that took no part in training, 0
    where nobody measured it. ``reals`` are the scores of real films, by quality class and then by source.
    ``withheld`` says in one clause why the score shall count for nothing all the same; empty where nothing
    speaks against it.
    """

    set_sha256: str
    made: date
    sources: tuple[str, ...]
    per_generator_auc: Mapping[str, float]
    held_out_auc: float
    slope: float
    offset: float
    least: float
    most: float
    reals: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    public: PublicTest = field(default_factory=PublicTest)
    withheld: str = ""

    @property
    def supported(self) -> bool:
        """Whether the head may say anything at all."""
        return self.held_out_auc >= LEAST_AUC and not self.withheld

    def llr(self, score: float) -> float:
        """Natural-log likelihood ratio, synthetic over real, within [least, most]."""
        return min(self.most, max(self.least, self.slope * score + self.offset))

    def p_value(self, score: float, quality: str) -> float:
        """The share of real sources of this quality class that score as high, counting one more.

        Valid where the film and the calibration films are exchangeable (Vovk et al., conformal
        prediction); each source counts once however many films it gave. 1.0 without any.
        """
        sources = self.reals.get(quality, ())
        reached = sum(sum(real >= score for real in source) / len(source) for source in sources)
        return (1.0 + reached) / (len(sources) + 1.0)

    def may_flag(self, quality: str, alpha: float) -> bool:
        """Whether there are sources enough in this quality class to hold ``alpha`` at all."""
        return len(self.reals.get(quality, ())) + 1 >= 1.0 / alpha - 1e-9


def posterior(llr: float, prior: float) -> float:
    """Probability after the evidence, from an explicit ``prior`` in (0, 1).

    Raises:
        ValueError: no probability.
    """
    if not 0.0 < prior < 1.0:
        raise ValueError("prior must lie between 0 and 1")
    odds = math.log(prior / (1.0 - prior)) + llr
    return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, odds))))


def read_card(document: Any, *, what: str) -> Calibration:
    """The card of a JSON object.

    Raises:
        WeightsInvalid: something is missing or out of range; ``what`` names the file.
    """
    try:
        return _card(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsInvalid(
            f"The calibration card of {what} cannot be used ({type(error).__name__}); "
            "see docs/model-card-detector.md for its form."
        ) from error


def _card(document: Any) -> Calibration:
    tested = document.get("public", {})
    card = Calibration(
        set_sha256=str(document["set_sha256"]),
        made=date.fromisoformat(document["made"]),
        sources=tuple(map(str, document["sources"])),
        per_generator_auc={str(name): float(auc) for name, auc in document["per_generator_auc"].items()},
        held_out_auc=float(document["held_out_auc"]),
        slope=float(document["slope"]),
        offset=float(document["offset"]),
        least=float(document["least"]),
        most=float(document["most"]),
        reals={
            str(quality): tuple(tuple(map(float, source)) for source in sources)
            for quality, sources in document.get("reals", {}).items()
        },
        public=PublicTest(
            real_clips=int(tested.get("real_clips", 0)),
            above=int(tested.get("above", 0)),
            threshold=float(tested.get("threshold", math.inf)),
        ),
        withheld=str(document.get("withheld", "")),
    )
    numbers = (card.slope, card.offset, card.least, card.most, *_flat(card.reals))
    sound = (
        len(card.set_sha256) == 64
        and bool(card.sources)
        and all(map(math.isfinite, numbers))
        and card.slope > 0
        and card.least <= 0 <= card.most
        and all(0 <= auc <= 1 for auc in (card.held_out_auc, *card.per_generator_auc.values()))
        and all(source for sources in card.reals.values() for source in sources)
        and card.public.above >= 0
        and not math.isnan(card.public.threshold)
    )
    if not sound:
        raise ValueError("out of range")
    return card


def _flat(reals: Mapping[str, Sequence[Sequence[float]]]) -> list[float]:
    return [score for sources in reals.values() for source in sources for score in source]


__all__ = ["LEAST_AUC", "PUBLIC_ALPHA", "PUBLIC_LEAST", "Calibration", "PublicTest", "posterior", "read_card"]
