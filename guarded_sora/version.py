"""The version of this program."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed

try:
    __version__ = _installed("guarded-sora")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0"
