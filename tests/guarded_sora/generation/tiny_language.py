"""Tiny random language models of real transformers classes in a folder, for tests without any download."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)


def byte_tokenizer(folder: Path) -> int:
    """A tokenizer of bytes in the folder; returns how many tokens it has."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"</s>": 0} | {letter: index + 1 for index, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(folder)
    return len(vocabulary)


def tiny_language_model(folder: Path, kind: str = "llama", *, layers: int = 2) -> Path:
    """A model of 32 features; ``kind`` is "llama" (causal), "bert" or "t5" (encoder and decoder)."""
    folder.mkdir(parents=True, exist_ok=True)
    size = byte_tokenizer(folder)
    torch.manual_seed(0)
    model: torch.nn.Module
    if kind == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=layers,
                num_attention_heads=2, max_position_embeddings=2048, bos_token_id=0, eos_token_id=0,
            )
        )  # fmt: skip
    elif kind == "bert":
        model = BertModel(
            BertConfig(
                vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=layers,
                num_attention_heads=2,
            )
        )  # fmt: skip
    else:
        model = T5Model(
            T5Config(vocab_size=size, d_model=32, d_ff=64, num_layers=layers, num_heads=2, d_kv=16)
        )
    model.save_pretrained(folder)
    return folder
