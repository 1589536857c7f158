"""The networks: causal in time, packed rows equal single ones, known latents are kept."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from guarded_sora.generation.conditioning import solve
from guarded_sora.generation.models.autoencoder import (
    BLOCK,
    VideoAutoencoder,
    from_blocks,
    latent_frames,
    repeat_first,
    to_blocks,
)
from guarded_sora.generation.models.text import ConceptEncoder, empty_tokens
from guarded_sora.generation.models.transformer import (
    SpacetimeTransformer,
    from_patches,
    to_patches,
)
from guarded_sora.generation.reading import read_prompt
from guarded_sora.generation.vocabulary import (
    MAX_TOKENS,
)
from tests.guarded_sora.generation.tiny import tiny_pipeline


def film(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, frames, 64, 96, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def autoencoder() -> VideoAutoencoder:
    return tiny_pipeline().autoencoder


@torch.no_grad()
def test_a_longer_film_never_changes_its_beginning(autoencoder: VideoAutoencoder) -> None:
    whole = film(9)
    latents = autoencoder.encode(whole)
    assert latents.shape == (1, 4, 3, 8, 12)
    assert torch.allclose(autoencoder.encode(whole[:, :, :5]), latents[:, :, :2], atol=1e-5)
    assert torch.allclose(autoencoder.encode(whole[:, :, :1]), latents[:, :, :1], atol=1e-5)
    made = autoencoder.decode(latents)
    assert made.shape == whole.shape
    assert torch.allclose(autoencoder.decode(latents[:, :, :2]), made[:, :, :5], atol=1e-5)
    assert autoencoder.preview(latents).shape == whole.shape


@torch.no_grad()
def test_the_decoder_sees_across_blocks(autoencoder: VideoAutoencoder) -> None:
    latents = torch.zeros(1, 4, 1, 8, 8)
    changed = latents.clone()
    changed[..., 4, 4] = 3.0
    difference = (autoencoder.decode(changed) - autoencoder.decode(latents)).abs().amax((0, 1, 2))
    difference[32:40, 32:40] = 0
    assert difference.max() > 0


@torch.no_grad()
def test_blocks_go_there_and_back() -> None:
    whole = repeat_first(film(9))
    assert torch.equal(from_blocks(to_blocks(whole), 1), whole)
    both = torch.cat([whole, whole.flip(-1)])
    assert torch.equal(from_blocks(to_blocks(both), 2), both)


@torch.no_grad()
def test_the_linear_path_is_the_best_linear_code() -> None:
    """Blocks that lie in a plane of four dimensions come back whole; those outside lose the rest."""
    generator = torch.Generator().manual_seed(4)
    basis = torch.randn(4, BLOCK, generator=generator)
    flat = 0.1 * torch.randn(500, 4, generator=generator) @ basis + 0.2
    model = VideoAutoencoder(channels=4, width=16, detail=8, depth=1).eval()
    model.fit_linear(flat)
    blocks = flat[:, :, None, None]
    code = model.project(blocks)
    assert torch.allclose(model.expand(code), blocks, atol=1e-3)
    assert 0.95 < code.square().mean().sqrt() < 1.05
    other = torch.randn(1, BLOCK, 1, 1, generator=generator)
    assert not torch.allclose(model.expand(model.project(other)), other, atol=1e-1)


def test_a_discrete_autoencoder_has_so_many_codes() -> None:
    for levels in (4, 5):
        model = VideoAutoencoder(channels=4, width=16, detail=8, depth=1, levels=levels)
        z = torch.linspace(-40, 40, 4001, requires_grad=True)
        codes = model.quantise(z)
        assert len(torch.unique(codes.detach().round(decimals=4))) == levels
        assert torch.allclose(codes.detach(), -model.quantise(-z).detach(), atol=1.01 * 6 / (levels - 1))
        codes.sum().backward()
        assert z.grad is not None and z.grad[2000] > 0.5  # rounding lets the gradient through
        with torch.no_grad():
            latents = model.encode(film(5))
            assert len(torch.unique(latents.round(decimals=4))) <= levels
            assert model.decode(latents).shape == (1, 3, 5, 64, 96)


@pytest.mark.parametrize("frames", [0, 2, 3, 4, 6, 16])
def test_lengths_other_than_one_and_fours_are_refused(autoencoder: VideoAutoencoder, frames: int) -> None:
    with pytest.raises(ValueError):
        latent_frames(frames)


@torch.no_grad()
def test_patches_go_there_and_back() -> None:
    latents = torch.randn(2, 4, 3, 8, 12)
    rows = to_patches(latents, 2)
    assert rows.shape == (2, 3 * 4 * 6, 16)
    assert torch.equal(from_patches(rows, 2, 3, 8, 12), latents)
    # The first token is the first frame's first corner.
    assert torch.equal(rows[0, 0].sort().values, latents[0, :, 0, :2, :2].flatten().sort().values)


def test_padding_does_not_change_what_a_prompt_means() -> None:
    encoder = ConceptEncoder(width=32).eval()
    row = torch.tensor([read_prompt("a dog at night").tokens])
    with torch.no_grad():
        whole, cut = encoder(row), encoder(row[:, :2])
        empty = encoder(empty_tokens(2))
    assert torch.allclose(whole[1], cut[1], atol=1e-5)
    assert torch.isfinite(empty[1]).all()
    assert row.shape[1] == MAX_TOKENS


@torch.no_grad()
def test_known_latents_come_out_as_they_went_in() -> None:
    pipeline = tiny_pipeline()
    noise = torch.randn(1, 6, 5, 16, 16, generator=torch.Generator().manual_seed(1))
    known, mask = torch.full_like(noise, 0.5), torch.zeros_like(noise[:, :1])
    mask[:, :, 1:3] = 1
    made = solve(
        pipeline.transformer, pipeline.text_encoder, FlowMatchEulerDiscreteScheduler(shift=3.0),
        empty_tokens(1), noise, steps=2, guidance=2.0, known=known, mask=mask,
    )  # fmt: skip
    assert torch.equal(made[:, :, 1:3], known[:, :, 1:3])
    assert not torch.allclose(made[:, :, 3:], known[:, :, 3:])


@torch.no_grad()
def test_the_flow_of_a_perfect_model_leads_to_the_clean_latents() -> None:
    """The convention itself: v = noise - clean at t = 1000 sigma brings noise to clean."""
    clean = torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    noise = torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    pipeline = tiny_pipeline()

    def perfect(*_: object) -> torch.Tensor:
        return noise - clean

    guesses: list[torch.Tensor] = []
    made = solve(
        perfect, pipeline.text_encoder, FlowMatchEulerDiscreteScheduler(shift=3.0), empty_tokens(1), noise,
        steps=4, guidance=1.0, on_step=lambda i, x, guess: guesses.append(guess),
    )  # type: ignore[arg-type]  # fmt: skip
    assert torch.allclose(made, clean, atol=1e-5)
    assert all(torch.allclose(guess, clean, atol=1e-5) for guess in guesses)


def test_fresh_transformer_predicts_nothing() -> None:
    model = SpacetimeTransformer(channels=4, width=32, depth=1, heads=2, text_width=32)
    out = model(
        torch.randn(1, 4, 1, 8, 8), torch.tensor([500.0]), torch.randn(1, 6, 32), torch.randn(1, 32),
        torch.zeros(1, 4, 1, 8, 8), torch.zeros(1, 1, 1, 8, 8),
    )  # fmt: skip
    assert out.abs().max() == 0
