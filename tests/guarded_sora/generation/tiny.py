"""A tiny built-in pipeline with random weights, for tests of everything but the pictures."""

from __future__ import annotations

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from guarded_sora.generation.models.autoencoder import VideoAutoencoder
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.pipeline import GuardedSoraPipeline


def tiny_transformer(patch: int, *, guide: bool = False, layout: int = 0) -> SpacetimeTransformer:
    transformer = SpacetimeTransformer(
        channels=4 + layout,
        width=32,
        depth=2,
        heads=2,
        patch=patch,
        guide=guide,
        layout=layout,
        text_width=32,
    )
    for parameter in transformer.parameters():  # a fresh transformer is zero at its end by design
        if parameter.abs().sum() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    return transformer.eval()


def tiny_pipeline(seed: int = 0) -> GuardedSoraPipeline:
    torch.manual_seed(seed)
    autoencoder = VideoAutoencoder(channels=4, width=16, detail=8, depth=1).eval()
    torch.nn.init.normal_(autoencoder.pixels.weight, std=0.1)
    torch.nn.init.normal_(autoencoder.to_latent.weight, std=0.1)
    pipeline = GuardedSoraPipeline(
        autoencoder=autoencoder,
        text_encoder=ConceptEncoder(width=32).eval(),
        transformer=tiny_transformer(2, layout=2),
        temporal=tiny_transformer(2, guide=True),
        spatial=tiny_transformer(4, guide=True),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=2.0),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
