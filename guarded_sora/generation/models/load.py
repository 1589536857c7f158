"""Reading a model from a folder: from there alone, and whole or not at all.

diffusers fills numbers that a file lacks with chance ones and only says so; a film of those would be black.
"""

from __future__ import annotations

from logging import CRITICAL
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.utils import logging
from torch import nn

M = TypeVar("M", bound=nn.Module)


def load_model(kind: type[M], folder: Path) -> M:
    """The model of a ``folder`` with ``config.json`` and safetensors, ready to be used.

    Raises ValueError where the folder holds none, or one that lacks numbers, has too many, or some that are
    not finite. Nothing is asked of a hub, whatever the folder is called.
    """
    if not (folder / "config.json").is_file():
        raise ValueError("there is no model in the folder")
    reader: Any = kind  # one of diffusers' models, which say nothing of their types
    verbosity = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)  # what is missing is said below, without a path
    try:
        loaded: Any = reader.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:
        raise ValueError("the model in the folder cannot be read") from error
    finally:
        logging.set_verbosity(verbosity)
    model, told = loaded
    if told["missing_keys"] or told["unexpected_keys"] or told["mismatched_keys"]:
        raise ValueError("the model in the folder is not whole")
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise ValueError("the model in the folder holds numbers that are not finite")
    whole: M = model.eval()
    return whole
