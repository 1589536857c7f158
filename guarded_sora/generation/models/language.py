"""Text encoders beside the closed vocabulary: what a language model's hidden states say of a prompt.

An encoder turns prompts into token states; a small head reads from them which concept of the generator's
world fills each place of the concept row, or none. The concept table then gives the transformer what it
always gets, so that one set of weights serves every encoder. Two encoders share the head: any language
model in a local folder, frozen, and a table of spellings that is trained with the head.

Legend: B prompts, L tokens, F features of the encoder, S slots.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from guarded_sora.errors import BackendUnavailable
from guarded_sora.generation.hush import hushed
from guarded_sora.generation.models.base import ModelMixin, keep_config
from guarded_sora.generation.vocabulary import CONCEPTS, KINDS

LENGTH = 96
"""Tokens of a prompt that are looked at; what comes after them is cut."""
CHARACTERS = 2000
"""Characters that a tokenizer is given at most, so that a huge prompt costs no time."""
OUTSIDE = "outside"
SLOTS: dict[str, tuple[str, ...]] = {
    **{kind: ("", *(c.split(":")[1] for c in CONCEPTS if c.startswith(f"{kind}:"))) for kind in KINDS},
    OUTSIDE: ("", OUTSIDE),
}
"""What each slot may hold, "" for nothing. The last one tells a prompt that asks for more than the world."""


class TextStates(Protocol):
    """An encoder: prompts to states (B, L, F) float32 and which tokens are there (B, L) bool; L <= LENGTH."""

    @property
    def name(self) -> str: ...

    @property
    def features(self) -> int: ...

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]: ...


def readable(prompt: str) -> str:
    """The beginning of a prompt, as text that every tokenizer takes."""
    text = unicodedata.normalize("NFKC", prompt[:CHARACTERS].encode("utf-8", "replace").decode())
    return text if text.strip() else "."  # a tokenizer may make no token at all of nothing


class LanguageStates:
    """Hidden states of a text model of transformers from a local folder: safetensors only, none of its code.

    ``layers``: how many of its blocks are run, all by default. Of an encoder-decoder the encoder is taken.

    Raises:
        BackendUnavailable: no such folder, no safetensors, no text model, or transformers is not installed.
    """

    def __init__(self, folder: str | Path, *, layers: int | None = None) -> None:
        folder = Path(folder).expanduser()
        if not folder.is_dir() or not any(folder.glob("*.safetensors")):
            raise BackendUnavailable(
                "There is no language model of safetensors in that folder; name one, or convert it first."
            )
        try:
            from transformers import AutoConfig, AutoModel, AutoTokenizer
        except ImportError as error:
            raise BackendUnavailable(
                "A language model needs transformers; install guarded-sora[generate]."
            ) from error
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(folder, **options)
            if layers is not None:
                config.num_hidden_layers = min(layers, config.num_hidden_layers)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
            with hushed():  # it would list the blocks that are left out on purpose
                loaded: Any = AutoModel.from_pretrained(
                    folder, config=config, use_safetensors=True, dtype=torch.float32, **options
                )
            model = loaded.get_encoder() if config.is_encoder_decoder else loaded
            self._model: Any = model.eval().requires_grad_(False)
            if self._tokenizer.pad_token is None:
                self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
            self._tokenizer.padding_side = "right"
            # Where its file is missing, transformers makes a tokenizer that knows no word.
            if self._tokenizer("kite")["input_ids"] == self._tokenizer("boat")["input_ids"]:
                raise ValueError("the tokenizer tells no words apart")
            states, _ = self(["a prompt"])
        except Exception as error:
            raise BackendUnavailable(
                f"That folder holds no text model that can be read ({type(error).__name__}); name the folder "
                "of a language model in transformers' format."
            ) from error
        self.features = int(states.shape[-1])
        self.name = folder.name

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        asked = self._tokenizer(
            [readable(prompt) for prompt in prompts], return_tensors="pt", padding=True, truncation=True,
            max_length=LENGTH,
        )  # fmt: skip
        shown = asked["attention_mask"]
        states: Tensor = self._model(input_ids=asked["input_ids"], attention_mask=shown).last_hidden_state
        return states, shown.bool()


class SpellingStates(ModelMixin):
    """A trained table: each word is the mean of its hashed spelling, whole and in groups of three letters."""

    name = "spelling"
    PIECES = 16

    @keep_config
    def __init__(self, features: int = 160, buckets: int = 8192) -> None:
        super().__init__()
        self.features = features
        self.table = nn.EmbeddingBag(buckets + 1, features, mode="mean", padding_idx=0)

    def forward(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = [self._words(prompt) for prompt in prompts]
        length = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), length, self.PIECES, dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
        ids = ids.to(self.device)
        states: Tensor = self.table(ids.flatten(0, 1)).reshape(len(rows), length, self.features)
        return states, (ids != 0).any(-1)

    def _words(self, prompt: str) -> list[list[int]]:
        """Hashed pieces of each word, padded with zeros; at least one word."""
        buckets, rows = self.config.buckets, []
        for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?|[,.:;]", readable(prompt).casefold())[:LENGTH] or ["."]:
            spelt = f"<{word}>"
            pieces = [spelt, *(spelt[i : i + 3] for i in range(len(spelt) - 2))][: self.PIECES]
            ids = [1 + zlib.crc32(piece.encode()) % buckets for piece in pieces]
            rows.append(ids + [0] * (self.PIECES - len(ids)))
        return rows


class SlotHead(ModelMixin):
    """Token states (B, L, F) to what fills each slot: for every slot of ``SLOTS`` logits (B, names).

    One learned query a slot goes through a few attention blocks together with the tokens.
    """

    @keep_config
    def __init__(self, features: int, width: int = 160, depth: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, width))
        self.places = nn.Parameter(torch.randn(LENGTH, width) * 0.1)
        self.queries = nn.Parameter(torch.randn(len(SLOTS), width) * 0.5)
        block = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout, batch_first=True, norm_first=True, activation="gelu"
        )
        self.blocks = nn.TransformerEncoder(block, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.tell = nn.ModuleList(nn.Linear(width, len(names)) for names in SLOTS.values())

    def forward(self, states: Tensor, shown: Tensor) -> list[Tensor]:
        x = self.enter(states) + self.places[: states.shape[1]]
        x = torch.cat([self.queries.expand(len(x), -1, -1), x], 1)
        there = torch.cat([shown.new_ones(len(x), len(SLOTS)), shown], 1)
        slots = self.blocks(x, src_key_padding_mask=~there)[:, : len(SLOTS)]
        return [tell(slots[:, index]) for index, tell in enumerate(self.tell)]
