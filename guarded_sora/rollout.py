"""Which pack decides and which one is only tried: kept in ``home/policy.json`` with their digests.

A promoted pack is pinned: if its folder changes afterwards, the guard stops instead of deciding by
rules that nobody promoted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.audit.log import AuditLog
from guarded_sora.errors import UsageError
from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.errors import PolicyError
from guarded_sora.policies.finding import RequestContext
from guarded_sora.policies.pack import Pack, load_pack
from guarded_sora.policies.replay import (
    Difference,
    Promotion,
    Recorded,
    compare_prompts,
    compare_records,
    judge_promotion,
    record_from_log,
)
from guarded_sora.policies.text.check import PromptCheck, default_prompt_checks

FILE = "policy.json"
DECIDED = "request.decided"
BLOCKED = "request.blocked"
HELD = "request.held"
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A pack's folder and the digest it had when it was chosen."""

    folder: Path
    digest: str

    def load(self) -> Pack:
        """The pack as it was chosen.

        Raises:
            UsageError: it changed since, or does not hold any more.
        """
        try:
            pack = load_pack(self.folder)
        except PolicyError as error:
            raise UsageError(str(error)) from error
        if pack.reference.digest != self.digest:
            raise UsageError(
                f"The pack in {self.folder} was changed after it was chosen; "
                "test it and choose it again with 'policy shadow' or 'policy promote'."
            )
        return pack


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """``decides``: the promoted pack, None for the one that ships. ``shadow``: the candidate, or None."""

    decides: Pinned | None = None
    shadow: Pinned | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A candidate that judges beside the pack in force, with its own checks and without effect."""

    policy: PolicyEngine
    checks: tuple[PromptCheck, ...]


def read_rollout(home: Path) -> Rollout:
    """What was chosen for this installation.

    Raises:
        UsageError: the file cannot be understood; it is never ignored.
    """
    path = home / FILE
    try:
        document = orjson.loads(path.read_bytes())
        return Rollout(decides=_pinned(document.get("decides")), shadow=_pinned(document.get("shadow")))
    except FileNotFoundError:
        return Rollout()
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be understood; restore it, or remove it to use the shipped pack."
        ) from error


def choose_shadow(home: Path, folder: Path | None) -> Rollout:
    """Try the pack in ``folder`` beside the one in force; None ends the trial."""
    chosen = replace(read_rollout(home), shadow=None if folder is None else _pin(folder))
    return _write(home, chosen)


def choose_pack(home: Path, folder: Path) -> Rollout:
    """Let the pack in ``folder`` decide from now on."""
    return _write(home, replace(read_rollout(home), decides=_pin(folder), shadow=None))


def open_shadow(rollout: Rollout) -> Shadow | None:
    """The candidate ready to judge, or None."""
    if rollout.shadow is None:
        return None
    pack = rollout.shadow.load()
    return Shadow(policy=PolicyEngine(pack), checks=default_prompt_checks(pack))


def compare_on_file(before: Pack, after: Pack, path: Path, context: RequestContext) -> Difference:
    """Both packs, each with its own checks, over a file of ``{"text": ...}`` lines.

    Raises:
        UsageError: the file cannot be read, or a line is not of that form.
    """
    return compare_prompts(_ready(before), _ready(after), _texts(path), context)


def compare_on_log(before: Pack, after: Pack, log: AuditLog) -> Difference:
    """Both packs over every decision of the log, from what was found then; no text is needed."""
    return compare_records(PolicyEngine(before), PolicyEngine(after), _recorded(log))


def may_promote(
    home: Path, candidate: Pack, path: Path, context: RequestContext, signed_off: Iterable[str]
) -> Promotion:
    """Whether ``candidate`` may take over, measured on the benign prompts of ``path``."""
    decides = read_rollout(home).decides
    before = load_pack() if decides is None else decides.load()
    return judge_promotion(
        candidate, compare_on_file(before, candidate, path, context), signed_off=signed_off
    )


def _ready(pack: Pack) -> tuple[PolicyEngine, tuple[PromptCheck, ...]]:
    return PolicyEngine(pack), default_prompt_checks(pack)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"line {number}", _text(line, number)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path.") from error


def _text(line: bytes, number: int) -> str:
    try:
        text = orjson.loads(line)["text"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = None
    if not isinstance(text, str):
        raise UsageError(f'Line {number} is not a JSON object with a text, such as {{"text": "a dog"}}.')
    return text


def _recorded(log: AuditLog) -> Iterator[Recorded]:
    after: int | None = None
    while page := log.search(kind="request.*", after=after, limit=_PAGE):
        for entry in page:
            if entry.kind in (DECIDED, BLOCKED, HELD) and "context" in entry.body:
                yield record_from_log(f"entry {entry.seq}", entry.body, entry.body["context"])
        after = page[-1].seq


def _pin(folder: Path) -> Pinned:
    try:
        pack = load_pack(folder)
    except PolicyError as error:
        raise UsageError(str(error)) from error
    return Pinned(folder=folder.resolve(), digest=pack.reference.digest)


def _pinned(document: Any) -> Pinned | None:
    return (
        None if document is None else Pinned(folder=Path(document["folder"]), digest=str(document["digest"]))
    )


def _write(home: Path, chosen: Rollout) -> Rollout:
    document = {
        name: None if pinned is None else {"folder": str(pinned.folder), "digest": pinned.digest}
        for name, pinned in (("decides", chosen.decides), ("shadow", chosen.shadow))
    }
    try:
        home.mkdir(parents=True, exist_ok=True)
        beside = home / f".{FILE}.{os.getpid()}"
        beside.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        os.replace(beside, home / FILE)
    except OSError as error:
        raise UsageError(f"{home / FILE} cannot be written ({error.strerror}); check --home.") from error
    return chosen
