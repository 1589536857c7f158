"""The networks: causal in time, packed rows equal single ones, known latents are kept."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from guarded_sora.generation.conditioning import solve
from guarded_sora.generation.models.autoencoder import VideoAutoencoder, latent_frames
from guarded_sora.generation.models.text import ConceptEncoder, empty_tokens
from guarded_sora.generation.models.transformer import SpacetimeTransformer, attend, positions
from guarded_sora.generation.pipeline import passes
from guarded_sora.generation.vocabulary import MAX_TOKENS, read_prompt
from tests.guarded_sora.generation.tiny import tiny_pipeline


def film(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, frames, 256, 256, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def autoencoder() -> VideoAutoencoder:
    return tiny_pipeline().autoencoder


@torch.no_grad()
def test_a_longer_film_never_changes_its_beginning(autoencoder: VideoAutoencoder) -> None:
    whole = film(9)
    latents = autoencoder.encode(whole)
    assert latents.shape == (1, 4, 3, 8, 8)
    assert torch.allclose(autoencoder.encode(whole[:, :, :5]), latents[:, :, :2], atol=1e-5)
    assert torch.allclose(autoencoder.encode(whole[:, :, :1]), latents[:, :, :1], atol=1e-5)
    made = autoencoder.decode(latents)
    assert made.shape == whole.shape
    assert torch.allclose(autoencoder.decode(latents[:, :, :2]), made[:, :, :5], atol=1e-5)
    assert autoencoder.preview(latents).shape == (1, 3, 9, 128, 128)


@torch.no_grad()
def test_the_decoder_sees_across_blocks(autoencoder: VideoAutoencoder) -> None:
    latents = torch.zeros(1, 4, 1, 8, 8)
    changed = latents.clone()
    changed[..., 4, 4] = 3.0
    difference = (autoencoder.decode(changed) - autoencoder.decode(latents)).abs().amax((0, 1, 2))
    outside = difference.clone()
    outside[128:160, 128:160] = 0
    assert outside.max() > 0


@pytest.mark.parametrize("frames", [0, 2, 3, 4, 6, 16])
def test_lengths_other_than_one_and_fours_are_refused(autoencoder: VideoAutoencoder, frames: int) -> None:
    with pytest.raises(ValueError):
        latent_frames(frames)


@torch.no_grad()
def test_packed_rows_equal_single_ones() -> None:
    torch.manual_seed(0)
    model = tiny_pipeline().transformer
    clips = []
    for count, frames in ((1, 1), (2, 2), (3, 3)):
        video = torch.randn(1, frames * 16, 9)
        text, condition = torch.randn(1, 6, 32), torch.randn(1, 1, 32)
        clips.append((video, text, condition, positions(frames, 4, 4, 6), count))
    single = [model.rows(v, t, c, p) for v, t, c, p, _ in clips]
    packed = model.rows(
        torch.cat([v for v, *_ in clips], 1),
        torch.cat([t for _, t, *_ in clips], 1),
        torch.cat([c.expand(-1, 6, -1) for _, _, c, *_ in clips]
                  + [c.expand(-1, v.shape[1], -1) for v, _, c, *_ in clips], 1),
        torch.cat([p[:6] for *_, p, _ in clips] + [p[6:] for *_, p, _ in clips]),
        torch.cat([torch.full((1, 6), n) for *_, n in clips]
                  + [torch.full((1, v.shape[1]), n) for v, *_, n in clips], 1),
    )  # fmt: skip
    assert torch.allclose(packed, torch.cat(single, 1), atol=1e-5)
    leaky = model.rows(
        torch.cat([v for v, *_ in clips], 1), torch.cat([t for _, t, *_ in clips], 1), clips[0][2],
        torch.cat([p[:6] for *_, p, _ in clips] + [p[6:] for *_, p, _ in clips]),
    )  # fmt: skip
    assert not torch.allclose(leaky, packed, atol=1e-3)


def test_both_kernels_of_attention_agree() -> None:
    q, k, v = torch.randn(3, 2, 4, 50, 16, generator=torch.Generator().manual_seed(0))
    everything = torch.ones(2, 1, 50, 50, dtype=torch.bool)
    assert torch.allclose(attend(q, k, v, None), attend(q, k, v, everything), atol=1e-5)


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
    noise = torch.randn(1, 4, 5, 8, 8, generator=torch.Generator().manual_seed(1))
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


@pytest.mark.parametrize(
    ("total", "known", "count"),
    [(1, 0, 1), (2, 0, 2), (5, 0, 2), (6, 0, 3), (8, 0, 3), (9, 0, 4), (5, 1, 1), (3, 3, 0)],
)
def test_number_of_passes(total: int, known: int, count: int) -> None:
    assert passes(total, known) == count


def test_fresh_transformer_predicts_nothing() -> None:
    model = SpacetimeTransformer(channels=4, width=32, depth=1, heads=2)
    out = model(
        torch.randn(1, 4, 1, 8, 8), torch.tensor([500.0]), torch.randn(1, 6, 32), torch.randn(1, 32),
        torch.zeros(1, 4, 1, 8, 8), torch.zeros(1, 1, 1, 8, 8),
    )  # fmt: skip
    assert out.abs().max() == 0
