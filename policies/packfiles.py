"""Reads the files of a pack: bounded, inside its folder, safe YAML, one digest over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from guarded_sora.policies.errors import PackInvalid

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_PACK_BYTES: Final = 64 * 1024 * 1024
MAX_FILES: Final = 1000
MAX_YAML_DEPTH: Final = 20
SUFFIXES: Final = frozenset({".yaml", ".txt"})
DEFAULT_PACK: Final = Path(__file__).resolve().parent / "packs" / "default"


def read_pack_files(folder: Path) -> dict[str, bytes]:
    """Every ``.yaml`` and ``.txt`` file below ``folder`` by its path with forward slashes.

    Raises :class:`PackInvalid` when the folder is missing, a file is too large, or a link leads out.
    """
    if not folder.is_dir():
        raise PackInvalid(f"There is no policy pack at {folder}; give the folder that holds pack.yaml.")
    root = folder.resolve()
    files: dict[str, bytes] = {}
    total = 0
    try:
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            if path.suffix not in SUFFIXES or any(part.startswith(".") for part in relative.parts):
                continue
            if not path.resolve().is_relative_to(root):
                raise PackInvalid(f"{relative} is a link that leads out of the pack; copy the file into it.")
            if not path.is_file():
                continue
            size = path.stat().st_size
            total += size
            if size > MAX_FILE_BYTES or total > MAX_PACK_BYTES or len(files) >= MAX_FILES:
                raise PackInvalid(f"{relative} makes the pack too large; split it or shorten its lexicons.")
            files[relative.as_posix()] = path.read_bytes()
    except OSError as error:
        raise PackInvalid(
            f"The pack at {folder} cannot be read; check its permissions ({error.strerror})."
        ) from error
    return files


def digest_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 in hex over names and contents, each preceded by its length, in order of names."""
    digest = hashlib.sha256(b"guarded-sora policy pack 1\n")
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def decode_text(name: str, data: bytes) -> str:
    """``data`` as UTF-8. Raises :class:`PackInvalid`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackInvalid(f"{name} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error


def load_yaml(name: str, data: bytes) -> Any:
    """Safe YAML without aliases (they can expand without bound), duplicate keys or deep nesting."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = decode_text(name, data)

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key_node, _ in node.value:
                key = str(key_node.value)
                if key in seen:
                    raise PackInvalid(f"{name}:{_line(key_node)}: {key!r} stands twice; keep one.")
                seen.add(key)
            return super().construct_mapping(node, deep=deep)

    depth = 0
    try:
        for event in yaml.parse(text, Loader=base):
            if isinstance(event, yaml.AliasEvent):
                raise PackInvalid(f"{name}:{_line(event)}: aliases are not read; write it out.")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_YAML_DEPTH:
                    raise PackInvalid(f"{name} nests deeper than {MAX_YAML_DEPTH} levels; flatten it.")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
        return yaml.load(text, Loader=Loader)  # noqa: S506 - a subclass of the safe loader
    except PackInvalid:
        raise
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise PackInvalid(f"{name} is not YAML that can be read{where}: {problem}.") from error


def _line(marked: Any) -> int:
    return int(marked.start_mark.line) + 1


def validate(name: str, model: type[Any], data: object) -> Any:
    """``data`` as ``model``. Raises :class:`PackInvalid` naming the first field that does not fit."""
    from pydantic import ValidationError

    from guarded_sora.policies.schema import parse

    try:
        return parse(model, data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PackInvalid(f"{name}: {place}: {first['msg']}.") from error
