"""Readers by meaning give the pipeline what the grammar gives; a folder of no model is one clear error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from guarded_sora.errors import BackendUnavailable
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.contract import GenerationRequest
from guarded_sora.generation.language import (
    FACTS,
    GrammarReader,
    LanguageReader,
    load_reader,
    model_digest,
    plain_caption,
)
from guarded_sora.generation.models.language import (
    LENGTH,
    OUTSIDE,
    SLOTS,
    LanguageStates,
    SlotHead,
    SpellingStates,
    TextStates,
)
from guarded_sora.generation.reading import Reading, read_prompt
from guarded_sora.generation.vocabulary import CONCEPTS, KINDS
from tests.guarded_sora.generation.tiny import tiny_pipeline
from tests.guarded_sora.generation.tiny_language import tiny_language_model

HOSTILE = {
    "empty": "",
    "spaces": "  \n\t ",
    "surrogate": "\ud800",
    "zeros": "\x00" * 40,
    "one word": "z" * 16_000,
    "many words": "a red balloon " * 1_200,
    "many scripts": "赤い風船 воздушный шар 🎈" * 800,
    "accents": "e" + "\u0301" * 16_000,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("language-models")
    return {kind: tiny_language_model(folder / kind, kind) for kind in ("llama", "bert", "t5")}


def reader_of(states: TextStates) -> LanguageReader:
    torch.manual_seed(1)
    return LanguageReader(states, SlotHead(features=states.features, width=32, depth=1))


class Answering:
    """A reader that always reads the same."""

    name = "answering"

    def __init__(self, said: str) -> None:
        self._said = said

    def read(self, prompt: str, *, known: int = len(CONCEPTS)) -> Reading:
        return read_prompt(self._said, known=known)


# -- what is read is said again in plain words ----------------------------------------------------


def test_plain_words_read_back_to_the_same_concepts() -> None:
    from guarded_sora.training.language import captions

    for said in captions(300, 3):
        means = {kind: name for kind, name in said.slots.items() if name and kind != OUTSIDE}
        reading = read_prompt(plain_caption(means))
        assert {kind: reading.named(kind) for kind in KINDS if reading.named(kind)} == means


def test_a_second_object_without_a_relation_is_not_said() -> None:
    assert plain_caption({"object": "dog", "object2": "cat"}) == "dog"
    assert plain_caption({"object": "dog", "relation": "hit"}) == "dog"
    assert plain_caption({}) == ""


def test_slots_hold_every_concept_once() -> None:
    assert [f"{kind}:{name}" for kind in KINDS for name in SLOTS[kind] if name] == list(CONCEPTS[2:])


# -- encoders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "bert", "t5"])
def test_a_language_model_of_any_kind_gives_states_of_its_tokens(models: dict[str, Path], kind: str) -> None:
    states = LanguageStates(models[kind])
    hidden, shown = states(["a dog", "a longer prompt"])
    assert states.features == 32 and states.name == kind
    assert hidden.shape == (2, shown.sum(1).max(), 32) and shown.sum(1)[0] < shown.sum(1)[1]
    alone = states(["a dog"])[0][0]
    assert torch.allclose(hidden[0][: len(alone)], alone, atol=1e-5), "padding must not change a prompt"


def test_fewer_blocks_give_other_states(models: dict[str, Path]) -> None:
    whole, less = (LanguageStates(models["bert"], layers=n)(["a dog"])[0] for n in (None, 1))
    assert whole.shape == less.shape and not torch.allclose(whole, less)


def test_the_order_of_words_counts_only_in_the_head() -> None:
    torch.manual_seed(0)
    states = SpellingStates(features=16, buckets=64)
    ab, ba = (states([text])[0][0] for text in ("dog car", "CAR, dog"))
    assert torch.equal(ab[0], ba[2]) and torch.equal(ab[1], ba[0])


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize("kind", ["llama", "spelling"])
def test_hostile_prompts_are_read_within_bounds(models: dict[str, Path], kind: str, name: str) -> None:
    states: TextStates = SpellingStates(features=16) if kind == "spelling" else LanguageStates(models[kind])
    hidden, shown = states([HOSTILE[name]])
    assert 1 <= hidden.shape[1] <= LENGTH and shown.any() and bool(hidden.isfinite().all())
    reading = reader_of(states).read(HOSTILE[name])
    assert len(HOSTILE[name]) <= 2000 or not reading.in_domain


# -- folders that are no language model -----------------------------------------------------------


def test_pickles_only_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BackendUnavailable, match="safetensors"):
            LanguageStates(folder)


@pytest.mark.parametrize("damage", ["cut", "no config", "no tokenizer", "remote code", "picture model"])
def test_a_folder_without_a_whole_text_model_is_one_clear_error(
    models: dict[str, Path], tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["bert"], folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:64])
    elif damage == "no config":
        config.unlink()
    elif damage == "no tokenizer":
        for path in folder.glob("*token*"):
            path.unlink()
    elif damage == "remote code":
        (folder / "evil.py").write_text("raise SystemExit('ran')\n")
        config.write_text(
            json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}})
        )
    else:
        from transformers import ViTConfig, ViTModel

        shutil.rmtree(folder)
        ViTModel(
            ViTConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                      image_size=16, patch_size=8)
        ).save_pretrained(folder)  # fmt: skip
    with pytest.raises(BackendUnavailable, match="no text model"):
        LanguageStates(folder)


# -- training, saving and loading -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["spelling", "llama"])
def test_a_trained_reader_comes_back_from_its_folder(
    models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    from guarded_sora.training.config import ReaderConfig
    from guarded_sora.training.language import train

    model = None if kind == "spelling" else models[kind]
    config = ReaderConfig(captions=16, epochs=1, batch=8, width=32, depth=1)
    facts = train(tmp_path, model, 1, config)
    first, again = (load_reader(tmp_path, model) for _ in range(2))
    assert first.name == f"language:{kind}" and facts["captions"] == 16
    prompt = "a red kite over the sea"
    assert first.read(prompt) == again.read(prompt) and first.found(prompt) == again.found(prompt)
    if model is not None:
        assert facts["model_sha256"] == model_digest(model)
        for other in (None, models["bert"]):
            with pytest.raises(BackendUnavailable, match="another language model"):
                load_reader(tmp_path, other)
    shutil.rmtree(tmp_path / "head")
    with pytest.raises(BackendUnavailable, match="cannot be read"):
        load_reader(tmp_path, model)
    (tmp_path / FACTS).write_text("[]")
    with pytest.raises(BackendUnavailable, match="no trained reader"):
        load_reader(tmp_path, model)


def test_captions_are_of_trained_combinations_and_avoid_what_is_withheld() -> None:
    from guarded_sora.training.language import captions, strange_words
    from guarded_sora.training.world import held_out, held_out_pair, held_out_style

    found = captions(400, 4, without=("kitten", "puppy"))
    for said in found:
        has = said.slots
        assert "kitten" not in said.text and "puppy" not in said.text
        if has["object"] and has["object2"]:
            assert not held_out_pair(has["object"], has["object2"])
        elif has["object"] and has["background"] and has["motion"] and not said.slots[OUTSIDE]:
            whole = said.slots["colour"] or has["object"] in ("dog", "cat")
            assert not whole or not held_out(
                has["object"], has["colour"] or None, has["background"], has["motion"]
            )
        if has["object"] and has["style"]:
            assert not held_out_style(has["object"], has["style"])
    assert 0.05 < np.mean([bool(said.slots[OUTSIDE]) for said in found]) < 0.3
    assert not {word for word in strange_words() if read_prompt(word).in_domain}


@pytest.mark.slow
def test_a_head_learns_to_read_captions_that_it_never_saw() -> None:
    """Of the objects and places of fresh captions most are read; a wrong column of targets would not be."""
    from guarded_sora.training.config import ReaderConfig
    from guarded_sora.training.language import captions, train_head

    torch.manual_seed(0)
    states = SpellingStates(features=64)
    head, _ = train_head(states, ReaderConfig(captions=1500, epochs=6, width=64, depth=1, lr=4e-3))
    reader, fresh = LanguageReader(states.eval(), head), captions(80, 77)
    read = [reader.found(said.text) for said in fresh]
    for kind, least in (("object", 0.6), ("background", 0.6)):
        asked = [(s, r) for s, r in zip(fresh, read, strict=True) if s.slots[kind]]
        assert np.mean([r.get(kind) == s.slots[kind] for s, r in asked]) > least


# -- in the pipeline ------------------------------------------------------------------------------


def test_the_pipeline_reads_through_the_reader_that_it_is_given() -> None:
    pipeline = tiny_pipeline()
    assert isinstance(pipeline.reader, GrammarReader)
    pipeline.reader = Answering("a dog rising over a beach")
    assert pipeline.read("anything").named("object") == "dog"

    def film(prompt: str) -> np.ndarray:
        out = pipeline(
            prompt, height=64, width=64, num_frames=5, frame_rate=8.0, num_inference_steps=1, refine_steps=1,
            generator=torch.Generator().manual_seed(0), output_type="latent",
        )  # fmt: skip
        return out.frames.numpy()

    asked = film("anything at all")
    pipeline.reader = GrammarReader()
    assert np.array_equal(asked, film("a dog rising over a beach"))
    assert not np.array_equal(asked, film("anything at all"))


def test_the_backend_hands_its_reader_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from guarded_sora.generation import pipeline as module

    monkeypatch.setattr(module.GuardedSoraPipeline, "from_pretrained", lambda *a, **k: tiny_pipeline())
    backend = BuiltinBackend(reader=Answering("a cat falling in the snow"))
    clip = backend.generate(
        GenerationRequest(
            prompt="words of mine", seconds=0.5, width=128, height=128, seed=0, fps=8.0, steps=1
        )
    )
    assert clip.in_domain and clip.settings["reader"] == "answering"
    assert BuiltinBackend().load().reader.name == "grammar"
