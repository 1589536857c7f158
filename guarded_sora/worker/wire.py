"""How parent and worker talk: length-prefixed pickles with large arrays beside them.

A message is a header (magic, number of buffers, pickle length), the length of each buffer, the
pickle (protocol 5) and the raw buffers, so frames cross without being copied into a pickle first.

The worker parses hostile files, so the parent treats what comes back as hostile too: it builds
only builtin values, numpy arrays, and the dataclasses, enums and error classes of this package.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

OUR_PACKAGE = "guarded_sora"
MAX_MESSAGE_BYTES = 1 << 30
MAX_BUFFERS = 1024

_HEADER = struct.Struct("!4sIQ")
_MAGIC = b"GSW1"

_PLAIN: frozenset[tuple[str, str]] = frozenset(
    {
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("builtins", "bytearray"),
        ("builtins", "complex"),
        ("builtins", "frozenset"),
        ("builtins", "set"),
        ("builtins", "slice"),
        ("collections", "OrderedDict"),
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("fractions", "Fraction"),
        ("pathlib", "Path"),
        ("pathlib", "PosixPath"),
        ("pathlib", "PurePosixPath"),
        ("uuid", "UUID"),
    }
)

ReadInto = Callable[[memoryview], None]
"""Fills the whole view or raises."""


class WireError(Exception):
    """The bytes are no message of this protocol."""


def is_ours(module: str) -> bool:
    """Whether ``module`` belongs to this package."""
    return module == OUR_PACKAGE or module.startswith(OUR_PACKAGE + ".")


def our_class(module: str, name: str) -> type:
    """The class ``name`` of one of our modules; WireError for anything else."""
    if not is_ours(module) or "__" in module or "." in name:  # nor may importing it start anything
        raise WireError(f"{module}.{name} may not cross")
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, type) or not is_ours(found.__module__):
        raise WireError(f"{module}.{name} is no class of ours")
    return found


class _Values(pickle.Unpickler):
    """An unpickler that can build values and can call nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        found = our_class(module, name)
        if dataclasses.is_dataclass(found) or issubclass(found, enum.Enum):
            return found
        raise WireError(f"{module}.{name} is neither a dataclass nor an enum")


def pack(message: Any) -> list[memoryview]:
    """The pieces of ``message``, to be written one after the other. Raises WireError."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
        raise WireError(f"the value cannot be pickled ({type(error).__name__})") from None
    views = [buffer.raw() for buffer in buffers]
    lengths = struct.pack(f"!{len(views)}Q", *(view.nbytes for view in views))
    return [memoryview(_HEADER.pack(_MAGIC, len(views), len(body)) + lengths + body), *views]


def unpack(read_into: ReadInto, *, trusted: bool) -> Any:
    """Read one message. ``trusted`` is True only in the worker, which trusts its parent.

    Raises WireError for anything that is not a message; what ``read_into`` raises passes through.
    """
    magic, count, body_length = _HEADER.unpack(_take(read_into, _HEADER.size))
    if magic != _MAGIC or count > MAX_BUFFERS or body_length > MAX_MESSAGE_BYTES:
        raise WireError("no header of ours")
    lengths = struct.unpack(f"!{count}Q", _take(read_into, 8 * count))
    if body_length + sum(lengths) > MAX_MESSAGE_BYTES:
        raise WireError("the message is too long")
    body = _take(read_into, body_length)
    buffers = [_take(read_into, length) for length in lengths]
    if trusted:
        return pickle.loads(body, buffers=buffers)  # noqa: S301 - the worker trusts its parent
    try:
        return _Values(io.BytesIO(body), buffers=buffers).load()
    except WireError:
        raise
    except Exception as error:  # a forged pickle can raise anything
        raise WireError(f"unreadable message ({type(error).__name__})") from None


def _take(read_into: ReadInto, length: int) -> bytearray:
    data = bytearray(length)
    if length:
        read_into(memoryview(data))
    return data
