"""Puts trained parts together into the folder that the package ships.

``python -m guarded_sora.training.release AUTOENCODER BASE TEMPORAL SPATIAL OUT [DISTILLED]`` writes
half-precision safetensors, the scheduler, and ``facts.json`` with what was trained on what. DISTILLED is the
run of a base model that learned the guided flow of another, for films in a hurry.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from guarded_sora.generation import reading, vocabulary
from guarded_sora.generation.models.autoencoder import VideoAutoencoder
from guarded_sora.generation.models.base import euler_scheduler
from guarded_sora.generation.models.load import load_model
from guarded_sora.generation.models.text import ConceptEncoder
from guarded_sora.generation.models.transformer import SpacetimeTransformer
from guarded_sora.generation.packaged import DISTILLED, FACTS
from guarded_sora.generation.pipeline import GuardedSoraPipeline
from guarded_sora.training import drawing, places, sprites, styles, world

VERSION = "0.6.0"
SHIFT = 3.0
"""Time shift of the scheduler: more of the steps where shape and motion are decided."""


def data_digest() -> str:
    """SHA-256 (hex) of what the training data follow from: the atlas, the world and the vocabulary."""
    whole = hashlib.sha256(hashlib.sha256(sprites.ATLAS.read_bytes()).digest())
    for module in (sprites, places, styles, world, drawing, reading, vocabulary):
        whole.update(hashlib.sha256(Path(str(module.__file__)).read_bytes()).digest())
    return whole.hexdigest()


PARTS = ("autoencoder", "text_encoder", "transformer", "temporal", "spatial")


def without_teacher(trained: SpacetimeTransformer) -> SpacetimeTransformer:
    """The same network without the head that only training needs."""
    bare = SpacetimeTransformer.from_config({**trained.config, "align": 0})
    weights = {name: value for name, value in trained.state_dict().items() if not name.startswith("look.")}
    bare.load_state_dict(weights)
    return bare


def _network(run: Path) -> SpacetimeTransformer:
    return without_teacher(load_model(SpacetimeTransformer, run / "export" / "transformer"))


def _words(run: Path) -> ConceptEncoder:
    return load_model(ConceptEncoder, run / "export" / "text_encoder")


def _write(parts: Any, folder: Path) -> None:
    """Save in half precision."""
    parts.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)


def release(
    autoencoder: Path, base: Path, temporal: Path, spatial: Path, out: Path, distilled: Path | None = None
) -> dict[str, Any]:
    """Write the shipped folder from the folders of the runs; returns the facts.

    Raises ValueError, before anything is written, where a run has no whole model, or ``distilled`` has
    learned no guidance.
    """
    fast = None if distilled is None else (_network(distilled), _words(distilled))
    if fast is not None and not fast[0].config.guidance > 1:
        raise ValueError("the distilled run has learned no guidance")
    pipeline = GuardedSoraPipeline(
        autoencoder=load_model(VideoAutoencoder, autoencoder / "export"),
        text_encoder=_words(base),
        transformer=_network(base),
        temporal=load_model(SpacetimeTransformer, temporal / "export"),
        spatial=load_model(SpacetimeTransformer, spatial / "export"),
        scheduler=euler_scheduler(shift=SHIFT),
    )
    for folder in (*PARTS, "scheduler", DISTILLED):
        shutil.rmtree(out / folder, ignore_errors=True)
    _write(pipeline, out)
    if fast is not None:
        for part, name in zip(fast, ("transformer", "text_encoder"), strict=True):
            _write(part, out / DISTILLED / name)
    for path in out.rglob("config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # where it was trained is nobody's business
        path.write_text(json.dumps(config, indent=2) + "\n")
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)
    facts: dict[str, Any] = {
        "version": VERSION,
        "licence": "Apache-2.0",
        "data_digest": data_digest(),
        "parameters": {name: sum(p.numel() for p in getattr(pipeline, name).parameters()) for name in PARTS},
        "autoencoder": json.loads((autoencoder / "config.json").read_text()),
        "base": json.loads((base / "config.json").read_text()),
        "temporal": json.loads((temporal / "config.json").read_text()),
        "spatial": json.loads((spatial / "config.json").read_text()),
        "seen": json.loads((base / "export" / "facts.json").read_text()),
    }
    if distilled is not None and fast is not None:
        facts["parameters"][DISTILLED] = sum(p.numel() for part in fast for p in part.parameters())
        facts[DISTILLED] = json.loads((distilled / "config.json").read_text())
        facts["seen_" + DISTILLED] = json.loads((distilled / "export" / "facts.json").read_text())
    facts["base"].pop("guidance", None)  # what a guide would have been given
    for name in ("base", "temporal", "spatial", DISTILLED):  # where the other parts lay is nobody's business
        for key in ("autoencoder", "text_encoder", "start", "guide"):
            facts.get(name, {}).pop(key, None)
    (out / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    return facts


if __name__ == "__main__":
    print(json.dumps(release(*(Path(argument) for argument in sys.argv[1:7])), indent=2))
