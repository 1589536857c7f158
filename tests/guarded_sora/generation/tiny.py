"""A tiny built-in pipeline with random weights, for tests of everything but the pictures."""

from __future__ import annotations

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from guarded_sora.generation.models.autoencoder import VideoAutoencoder
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.pipeline import GuardedSoraPipeline


def tiny_pipeline(seed: int = 0) -> GuardedSoraPipeline:
    torch.manual_seed(seed)
    transformer = SpacetimeTransformer(channels=4, width=32, depth=2, heads=2)
    for parameter in transformer.parameters():  # a fresh transformer is zero at its end by design
        if parameter.abs().sum() == 0:
            torch.nn.init.normal_(parameter, std=0.05)
    pipeline = GuardedSoraPipeline(
        autoencoder=VideoAutoencoder(channels=4, width=32).eval(),
        text_encoder=ConceptEncoder(width=32).eval(),
        transformer=transformer.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=2.0),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
