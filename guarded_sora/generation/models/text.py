"""The built-in text encoder: concept tokens to states, trained together with the transformer.

Words become concepts in ``guarded_sora.generation.vocabulary``; here concepts become vectors. The
vocabulary is closed and small, so this is one attention block over a learned table.

Legend: B prompts, L tokens, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from guarded_sora.generation.models.base import ModelMixin, keep_config
from guarded_sora.generation.vocabulary import CONCEPTS, MAX_TOKENS, PAD


class ConceptEncoder(ModelMixin):
    """Tokens (B, L) int64 -> states (B, L, D) and a pooled vector (B, D)."""

    @keep_config
    def __init__(self, width: int = 160, concepts: int = len(CONCEPTS), length: int = MAX_TOKENS) -> None:
        super().__init__()
        self.table = nn.Embedding(concepts, width)
        nn.init.normal_(self.table.weight, std=0.5)
        self.norm = nn.RMSNorm(width)
        self.attend = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mix = nn.Sequential(
            nn.RMSNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.pool = nn.Sequential(
            nn.RMSNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        tokens = tokens[:, : self.config.length]  # weights of a smaller vocabulary fill fewer places
        x = self.table(tokens)
        # A row of nothing but padding is the empty prompt; it attends to itself instead of to nothing.
        hidden = (tokens == PAD) & (tokens != PAD).any(1, keepdim=True)
        y = self.norm(x)
        x = x + self.attend(y, y, y, key_padding_mask=hidden, need_weights=False)[0]
        x = x + self.mix(x)
        shown = (~hidden).to(x.dtype)[..., None]
        pooled: Tensor = self.pool((x * shown).sum(1) / 2)
        return x, pooled


def empty_tokens(rows: int) -> Tensor:
    """Tokens of the empty prompt, for classifier-free guidance: (B, L)."""
    return torch.full((rows, MAX_TOKENS), PAD, dtype=torch.long)
