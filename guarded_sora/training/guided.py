"""Teaching a network to make at once what guidance makes of two evaluations.

Guidance needs the network twice a step, with the words and without. A network that has learned the guided
flow of a trained one needs it once, and none of its steps any guidance (Meng et al. 2023, "On distillation of
guided diffusion models", with one fixed scale).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from guarded_sora.errors import UsageError
from guarded_sora.generation.conditioning import eased
from guarded_sora.generation.models.text import ConceptEncoder, empty_tokens
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.vocabulary import PAD, UNKNOWN
from guarded_sora.training.earlier import earlier
from guarded_sora.training.noised import Noised, told_clips


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """A trained base model whose guided flow is to be learned; ``scale`` is that of the first frame."""

    transformer: SpacetimeTransformer
    text_encoder: ConceptEncoder
    scale: float

    @classmethod
    def load(cls, folder: Path, scale: float) -> Guide:
        """The models of an exported ``folder``, which are not trained on.

        Raises:
            UsageError: there are none, or their flow is guided already, or the scale guides to nothing.
        """
        if not scale > 1:
            raise UsageError("guidance must be more than 1: that much and less guides to nothing.")
        transformer = earlier(SpacetimeTransformer, folder / "transformer", "guide")
        if transformer.config.guidance > 1:
            raise UsageError("guide: the model has learned guidance already; name the one it learned from.")
        return cls(
            transformer=transformer,
            text_encoder=earlier(ConceptEncoder, folder / "text_encoder", "guide"),
            scale=scale,
        )

    @torch.no_grad()
    def flows(self, parts: Sequence[Noised], rows: Tensor) -> list[Tensor]:
        """The guided flow of every clip of ``parts``, told ``rows`` (B, L); all in one packed row.

        A clip that is told nothing has nothing to be guided to, and keeps its plain flow.
        """
        with torch.autocast("cpu", torch.bfloat16):
            told = told_clips(parts, *self.text_encoder(rows))
            away = told_clips(parts, *self.text_encoder(empty_tokens(len(rows))))
            flows = self.transformer.packed(told + away)
        guided = []
        for clip, row, flow, plain in zip(told, rows, flows[: len(told)], flows[len(told) :], strict=True):
            knows = bool(((row != PAD) & (row != UNKNOWN)).any())
            scale = eased(self.scale, clip.mask) if knows else 1.0
            guided.append(plain.float() + scale * (flow.float() - plain.float()))
        return guided
