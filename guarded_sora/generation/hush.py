"""Loading models of transformers without its bars and lists: our own progress says what is going on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def hushed() -> Iterator[None]:
    """Only errors, and no bars, from transformers inside. Raises ImportError where it is not installed."""
    from transformers.utils import logging as reports

    logging: Any = reports  # without types
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
