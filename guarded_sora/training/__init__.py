"""Trains what the package ships: ``train("autoencoder", out=...)``, then ``train("base", out=...)``;
``train("prompts", out=...)`` trains the prompt head, ``train("detector", out=..., photos=FOLDER)`` the
detector of synthetic films."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

NAMES = ("autoencoder", "base", "prompts", "detector")

__all__ = ["NAMES", "train"]


def train(name: str, *, out: str | Path, **options: Any) -> Path:
    """Train one part and return the folder of the exported model.

    ``name`` is one of ``NAMES``; ``options`` override fields of the part's configuration in
    ``guarded_sora.training.config``. A run whose folder holds a state resumes. Raises
    ``UsageError`` for an unknown part or option.
    """
    from guarded_sora.errors import UsageError
    from guarded_sora.training.config import AutoencoderConfig, BaseConfig, DetectorConfig

    if name not in NAMES:
        raise UsageError(f"There is nothing called that to train; choose one of: {', '.join(NAMES)}.")
    try:
        if name == "autoencoder":
            from guarded_sora.training.autoencoder import train_autoencoder

            return train_autoencoder(Path(out), replace(AutoencoderConfig(), **options))
        if name == "prompts":
            from guarded_sora.training.prompt_head import PromptHeadConfig, train_prompts

            return train_prompts(Path(out), replace(PromptHeadConfig(), **options))
        if name == "detector":
            from guarded_sora.training.detector import train_detector

            return train_detector(Path(out), replace(DetectorConfig(), **options))
        from guarded_sora.training.base import train_base

        return train_base(Path(out), replace(BaseConfig(), **options))
    except TypeError as error:
        raise UsageError(f"One of the options is not a field of the {name} configuration.") from error
