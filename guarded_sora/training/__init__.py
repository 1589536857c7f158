"""Trains what the package ships.

``train("autoencoder", out=...)``, then ``"base"``, then ``"cascade"`` (once with ``stage="temporal"`` and
once with ``stage="spatial"``) make the generator; ``"prompts"`` trains the prompt head and ``"detector"``
(``photos=FOLDER``) the detector of synthetic films.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

NAMES = ("autoencoder", "base", "cascade", "prompts", "detector")

__all__ = ["NAMES", "defaults", "train"]


def defaults(name: str) -> Any:
    """The configuration of one part, as shipped; raises ``UsageError`` for an unknown part."""
    from guarded_sora.errors import UsageError
    from guarded_sora.training.config import AutoencoderConfig, BaseConfig, CascadeConfig, DetectorConfig
    from guarded_sora.training.prompt_head import PromptHeadConfig

    kinds = (AutoencoderConfig, BaseConfig, CascadeConfig, PromptHeadConfig, DetectorConfig)
    if name not in NAMES:
        raise UsageError(f"There is nothing called that to train; choose one of: {', '.join(NAMES)}.")
    return dict(zip(NAMES, kinds, strict=True))[name]()


def train(name: str, *, out: str | Path, **options: Any) -> Path:
    """Train one part and return the folder of the exported model.

    ``name`` is one of ``NAMES``; ``options`` override fields of the part's configuration. A run of the
    generator whose folder holds a state resumes. Raises ``UsageError`` for an unknown part or option.
    """
    from guarded_sora.errors import UsageError

    try:
        config = replace(defaults(name), **options)
    except TypeError as error:
        raise UsageError(f"One of the options is not a field of the {name} configuration.") from error
    folder = Path(out)
    match name:
        case "autoencoder":
            from guarded_sora.training.autoencoder import train_autoencoder

            return train_autoencoder(folder, config)
        case "base":
            from guarded_sora.training.base import train_base

            return train_base(folder, config)
        case "cascade":
            from guarded_sora.training.cascade import train_cascade

            return train_cascade(folder, config)
        case "prompts":
            from guarded_sora.training.prompt_head import train_prompts

            return train_prompts(folder, config)
        case _:
            from guarded_sora.training.detector import train_detector

            return train_detector(folder, config)
