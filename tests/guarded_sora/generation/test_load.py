"""A model is read whole, from its folder alone, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from guarded_sora.errors import BackendUnavailable
from guarded_sora.generation import GenerationRequest
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.models.load import load_model
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from tests.guarded_sora.generation.tiny import tiny_pipeline, tiny_transformer

Tensors = dict[str, torch.Tensor]
NAME = "diffusion_pytorch_model.safetensors"


def _without(tensors: Tensors) -> None:
    del tensors["blocks.0.fall.weight"]


def _with_more(tensors: Tensors) -> None:
    tensors["blocks.9.fall.weight"] = torch.zeros(2)


def _not_finite(tensors: Tensors) -> None:
    tensors["leave.bias"][0] = torch.nan


def _of_another_size(tensors: Tensors) -> None:
    tensors["leave.bias"] = torch.zeros(3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_transformer(2).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("spoil", [_without, _with_more, _not_finite, _of_another_size])
def test_a_model_that_is_not_whole_is_refused(
    folder: Path, spoil: Callable[[Tensors], None], capfd: pytest.CaptureFixture[str]
) -> None:
    assert not load_model(SpacetimeTransformer, folder).training
    tensors = load_file(folder / NAME)
    spoil(tensors)
    save_file(tensors, folder / NAME, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="the model in the folder") as told:
        load_model(SpacetimeTransformer, folder)
    assert str(folder) not in str(told.value) and str(folder) not in "".join(capfd.readouterr())


def test_a_folder_that_is_none_asks_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was opened"))
    with pytest.raises(ValueError, match="no model"):
        load_model(ConceptEncoder, Path("someone/something"))


def test_a_generator_with_a_hole_makes_nothing(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    file = tmp_path / "temporal" / NAME
    tensors = load_file(file)
    _without(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(BackendUnavailable, match="reinstall"):
        BuiltinBackend(tmp_path).generate(GenerationRequest(prompt="a dog", seconds=0.5, steps=1))


def test_a_distilled_model_that_learned_no_guidance_is_not_taken_for_one(tmp_path: Path) -> None:
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path)
    pipeline.text_encoder.save_pretrained(tmp_path / "distilled/text_encoder")
    pipeline.transformer.save_pretrained(tmp_path / "distilled/transformer")
    with pytest.raises(BackendUnavailable, match="reinstall"):
        BuiltinBackend(tmp_path, fast=True).load()
    pipeline.transformer.register_to_config(guidance=3.0)
    pipeline.transformer.save_pretrained(tmp_path / "distilled/transformer")
    assert BuiltinBackend(tmp_path, fast=True).load().guidance() == 1
