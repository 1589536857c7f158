"""Going on from an earlier base model: a larger vocabulary and more layout, and nothing forgotten.

What both models have is copied. New words begin as the nearest old word, new channels as nothing, so that
the grown model makes at first what the old one made.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from guarded_sora.errors import UsageError
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.vocabulary import CONCEPTS
from guarded_sora.training.earlier import earlier

NEAREST = {"object2": "object", "colour2": "colour"}
"""Kinds of words whose names another kind has too."""
LIKE = {"motion:bounce": "motion:fall"}
SPREAD = 0.1
"""Deviation by which a new word differs from the word that it begins as."""


@torch.no_grad()
def grow(
    folder: Path, transformer: SpacetimeTransformer, text_encoder: ConceptEncoder, *, looks: int
) -> None:
    """Fill both models from an exported ``folder`` (``transformer`` and ``text_encoder`` in it).

    ``looks`` of the channels say how things look, in both. Words are matched by their place: a larger
    vocabulary has the smaller one at its beginning.
    """
    old = earlier(SpacetimeTransformer, folder / "transformer", "start")
    words = earlier(ConceptEncoder, folder / "text_encoder", "start")
    if old.config.width != transformer.config.width or old.config.depth != transformer.config.depth:
        raise UsageError("start: the model has another width or depth; set width and depth as it has them.")
    had, has = old.config.channels, transformer.config.channels
    area = transformer.config.patch**2
    known = old.state_dict()
    fresh = transformer.state_dict()
    for name, value in fresh.items():
        if name == "enter.weight":
            _copy_inputs(known[name], value, had, has, area)
        elif name.startswith("leave."):
            value.zero_()
            value[: had * area] = known[name]
        elif name in known:  # a released model has no ``look``: it learns again
            value.copy_(known[name])
    transformer.load_state_dict(fresh)
    encoder = text_encoder.state_dict()
    for name, value in words.state_dict().items():
        if name != "table.weight":
            encoder[name].copy_(value)
    table = encoder["table.weight"]
    count = len(words.table.weight)
    table[:count] = words.table.weight
    for index, concept in enumerate(CONCEPTS[count:], count):
        kind, _, value = concept.partition(":")
        nearest = LIKE.get(concept) or f"{NEAREST.get(kind, '')}:{value}"
        if nearest in CONCEPTS[:count]:
            table[index] = table[CONCEPTS.index(nearest)] + SPREAD * torch.randn(table.shape[1])
    text_encoder.load_state_dict(encoder)


def _copy_inputs(old: Tensor, new: Tensor, had: int, has: int, area: int) -> None:
    """Inputs are [latents, known, what is told]; the new channels of the first two start at zero."""
    new.zero_()
    new[:, : had * area] = old[:, : had * area]
    new[:, has * area : (has + had) * area] = old[:, had * area : 2 * had * area]
    new[:, 2 * has * area :] = old[:, 2 * had * area :]
