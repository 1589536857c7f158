"""Safer wording for a prompt that may be rewritten, with the difference word by word.

Only what the fired rewrite rules point at is replaced, by the words the pack gives for it, and the
rest of the prompt stays as it was written. The result is checked again by whoever asked for it: a
rewrite is an offer, never a release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal

from guarded_sora.policies.finding import Action, CharacterSpan, Decision, Finding, Modality
from guarded_sora.policies.pack import Pack
from guarded_sora.policies.text.normalise import surface_text

MAX_REPLACEMENTS: Final = 32
MAX_DIFF_WORDS: Final = 2000

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:['’-][^\W_]+)*|\s+|.", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of the difference; ``before`` is empty for an insertion, ``after`` for a deletion."""

    kind: Literal["same", "changed"]
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A safer wording: ``text`` as it would be used, ``changes`` to show what became of the prompt."""

    original: str
    text: str
    changes: tuple[Change, ...]
    categories: tuple[str, ...]


def rewrite_prompt(pack: Pack, text: str, decision: Decision) -> Rewrite | None:
    """A safer wording of ``text``, or None when the decision asks for none or none can be made.

    ``decision`` is the one made on ``text``: its findings point into it. None is also returned when
    a finding behind a rewrite rule does not say where it is, for then something would stay.
    """
    if decision.action is not Action.REWRITE:
        return None
    rules = (pack.rule(rule.id) for rule in decision.rules if rule.action is Action.REWRITE)
    wanted = {rule.category for rule in rules if not rule.yields}
    findings = [
        finding
        for finding in decision.findings
        # A severity of 0 is a score alone, about the text as a whole.
        if finding.category in wanted and finding.severity > 0 and finding.modality is Modality.PROMPT
    ]
    if not findings or len(findings) > MAX_REPLACEMENTS or not wanted <= pack.wordings.keys():
        return None
    if any(not isinstance(finding.where, CharacterSpan) for finding in findings):
        return None
    result = _replace(pack, text, findings)
    if not result.strip(" .,;:!?") or result == text:
        return None
    return Rewrite(
        original=text, text=result, changes=word_difference(text, result), categories=tuple(sorted(wanted))
    )


def _replace(pack: Pack, text: str, findings: Sequence[Finding]) -> str:
    spans = sorted(
        ((f.where.start, f.where.end, f.category) for f in findings if isinstance(f.where, CharacterSpan)),
        key=lambda span: (span[0], -span[1]),
    )
    pieces: list[str] = []
    position = 0
    for start, end, category in spans:
        if start < position:
            continue
        wording = pack.wordings[category]
        found = " ".join(surface_text(text[start:end]).split())
        pieces.append(text[position:start])
        pieces.append(wording.terms.get(found, wording.default))
        position = end
    pieces.append(text[position:])
    return _tidy("".join(pieces))


def _tidy(text: str) -> str:
    """Repair what replacing leaves behind: doubled spaces and commas, a wrong a or an."""
    text = re.sub(r"[^\S\n]{2,}", " ", text)
    text = re.sub(r"\s+([,.;:!?])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"\b([Aa]) (?=[aeio]|un(?!i))", r"\1n ", text)
    text = re.sub(r"\b([Aa])n (?=[bcdfgjklmnpqrstvwxyz])", r"\1 ", text)
    text = re.sub(r"(?:^|(?<=\n))[\s,;:]+", "", text)
    return text.strip(" ,;:")


def word_difference(before: str, after: str) -> tuple[Change, ...]:
    """The difference of two texts, word by word (kana and Han character by character).

    Texts of more than 2,000 words give one change over the whole, for comparing is quadratic.
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    if len(old) > MAX_DIFF_WORDS or len(new) > MAX_DIFF_WORDS:
        return (Change(kind="changed", before=before, after=after),)
    changes: list[Change] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        kind: Literal["same", "changed"] = "same" if tag == "equal" else "changed"
        changes.append(Change(kind=kind, before="".join(old[a:b]), after="".join(new[c:d])))
    return tuple(changes)
