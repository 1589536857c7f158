"""Expanders say more than the prompt, never something else, and a broken one says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from guarded_sora.errors import BackendUnavailable
from guarded_sora.generation.expansion import (
    LONGEST,
    WHERE,
    GrammarExpander,
    ModelExpander,
    PromptExpander,
    load_expander,
)
from guarded_sora.generation.reading import read_prompt
from guarded_sora.generation.vocabulary import (
    BACKGROUNDS,
)


@pytest.mark.parametrize(
    "prompt", ["a balloon", "the puppies", "a red car", "a kite at night", "an owl rising"]
)
@pytest.mark.parametrize("seed", range(6))
def test_the_grammar_keeps_what_was_said_and_names_the_rest(prompt: str, seed: int) -> None:
    said, full = read_prompt(prompt), GrammarExpander().expand(prompt, seed=seed)
    reading = read_prompt(full)
    assert reading.in_domain
    for kind in ("object", "colour", "background", "motion"):
        if said.named(kind):
            assert reading.named(kind) == said.named(kind)
    assert reading.named("background") and reading.named("motion")


def test_the_grammar_has_words_for_every_place() -> None:
    assert set(WHERE) == set(BACKGROUNDS)
    assert all(read_prompt(f"a dog {where}").named("background") == name for name, where in WHERE.items())


def test_the_grammar_is_the_same_for_the_same_seed_and_differs_between_seeds() -> None:
    expand = GrammarExpander().expand
    assert expand("a boat", seed=5) == expand("a boat", seed=5)
    assert len({expand("a boat", seed=seed) for seed in range(20)}) > 5


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "a harbour in the fog",
        "a dog, a cat and three unicorns",
        "two dogs",
        "a red balloon rising over a sandy beach",
        "\ud800",
        "x" * 100_000,
    ],
)
def test_the_grammar_leaves_alone_what_it_cannot_complete(prompt: str) -> None:
    assert GrammarExpander().expand(prompt, seed=0) == prompt


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random causal language model of real transformers classes, with a byte tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("language-model")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"</s>": 0} | {letter: index + 1 for index, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=2048, bos_token_id=0, eos_token_id=0,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_a_local_language_model_expands(model_folder: Path) -> None:
    expander = load_expander(model_folder)
    assert isinstance(expander, PromptExpander) and expander.name.startswith("model:")
    said = expander.expand("a boat at sea", seed=0)
    assert said and said == expander.expand("a boat at sea", seed=9)
    assert "\n" not in said and len(said) <= LONGEST
    assert expander.expand("z" * 50_000, seed=0)


def test_a_folder_with_pickles_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BackendUnavailable, match="safetensors"):
            ModelExpander(folder)


def test_a_broken_model_is_one_clear_error(model_folder: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(model_folder, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:64])
    with pytest.raises(BackendUnavailable, match="could not be loaded"):
        ModelExpander(broken)


def test_an_expander_stays_as_it_is() -> None:
    expander = GrammarExpander()
    assert load_expander(expander) is expander
    assert load_expander("grammar").name == "grammar"
