"""Trains what the package ships.

``train("autoencoder", out=...)``, then ``"base"``, then ``"cascade"`` (once with ``stage="temporal"`` and once
with ``stage="spatial"``) make the generator; ``"prompts"`` trains the prompt head and ``"detector"``
(``photos=FOLDER``) the detector of synthetic films.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

NAMES = ("autoencoder", "base", "cascade", "prompts", "detector")

__all__ = ["NAMES", "train"]

_Config = TypeVar("_Config")


def train(name: str, *, out: str | Path, **options: Any) -> Path:
    """Train one part and return the folder of the exported model.

    ``name`` is one of ``NAMES``; ``options`` override fields of the part's configuration in
    ``guarded_sora.training.config``. A run of the generator whose folder holds a state resumes. Raises
    ``UsageError`` for an unknown part or option.
    """
    from guarded_sora.errors import UsageError
    from guarded_sora.training.config import AutoencoderConfig, BaseConfig, CascadeConfig, DetectorConfig

    def given(config: _Config) -> _Config:
        try:
            return replace(config, **options)  # type: ignore[type-var]
        except TypeError as error:
            raise UsageError(f"One of the options is not a field of the {name} configuration.") from error

    folder = Path(out)
    match name:
        case "autoencoder":
            from guarded_sora.training.autoencoder import train_autoencoder

            return train_autoencoder(folder, given(AutoencoderConfig()))
        case "base":
            from guarded_sora.training.base import train_base

            return train_base(folder, given(BaseConfig()))
        case "cascade":
            from guarded_sora.training.cascade import train_cascade

            return train_cascade(folder, given(CascadeConfig()))
        case "prompts":
            from guarded_sora.training.prompt_head import PromptHeadConfig, train_prompts

            return train_prompts(folder, given(PromptHeadConfig()))
        case "detector":
            from guarded_sora.training.detector import train_detector

            return train_detector(folder, given(DetectorConfig()))
    raise UsageError(f"There is nothing called that to train; choose one of: {', '.join(NAMES)}.")
