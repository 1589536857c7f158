"""Trains what the package ships: ``train("autoencoder", out=...)``, then ``"base"``, then ``"cascade"``.

The cascade is trained once with ``stage="temporal"`` and once with ``stage="spatial"``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

NAMES = ("autoencoder", "base", "cascade")

__all__ = ["NAMES", "train"]


def train(name: str, *, out: str | Path, **options: Any) -> Path:
    """Train one part and return the folder of the exported model.

    ``name`` is one of ``NAMES``; ``options`` override fields of the part's configuration in
    ``guarded_sora.training.config``. A run whose folder holds a state resumes. Raises
    ``UsageError`` for an unknown part or option.
    """
    from guarded_sora.errors import UsageError
    from guarded_sora.training.config import AutoencoderConfig, BaseConfig, CascadeConfig

    configs: dict[str, AutoencoderConfig | BaseConfig | CascadeConfig] = {
        "autoencoder": AutoencoderConfig(),
        "base": BaseConfig(),
        "cascade": CascadeConfig(),
    }
    if name not in configs:
        raise UsageError(f"There is nothing called that to train; choose one of: {', '.join(NAMES)}.")
    try:
        config = replace(configs[name], **options)
    except TypeError as error:
        raise UsageError(f"One of the options is not a field of the {name} configuration.") from error
    if isinstance(config, AutoencoderConfig):
        from guarded_sora.training.autoencoder import train_autoencoder

        return train_autoencoder(Path(out), config)
    if isinstance(config, BaseConfig):
        from guarded_sora.training.base import train_base

        return train_base(Path(out), config)
    from guarded_sora.training.cascade import train_cascade

    return train_cascade(Path(out), config)
