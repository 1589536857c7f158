"""Other filters that run offline, over the same texts. Each runs in a Python of its own, since some pin
packages that clash with ours: ``--peers PYTHON`` names one that has them installed.

    python -m venv peers
    peers/bin/pip install alt-profanity-check==1.9.1 better-profanity==0.7.0
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guarded_sora.policies.pack import Pack

RUNNER = Path(__file__).with_name("policy_peer_runner.py")
NAMES = ("alt-profanity-check", "better-profanity")
CANNOT = {
    "cosmos-guardrail 0.3.2 blocklist": (
        "its words and its lemmatiser's data come from a model hub when it is made, and importing it "
        "needs torch, peft and a face detector; what it runs on words is better-profanity"
    ),
    "nemoguardrails regex rail": "not run: no environment with its dependencies was made",
}
"""Filters that stand in no row, and why."""


def terms_of(pack: Pack) -> list[str]:
    """The reporting terms of severity 2 and 3, lower case: the word list every peer with a list gets."""
    return sorted(
        {
            term.lower()
            for words in (pack.lexicons, pack.names)
            for section in words.sections
            if section.role == "report" and section.severity >= 2
            for term in section.terms
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a filter said of each text: 1 stop, 0 pass, between both a score; ``ms`` is CPU a text."""

    name: str
    scores: Mapping[str, float]
    ms: float
    at: float = 0.5

    def stops(self, text: str) -> bool:
        return self.scores[text] >= self.at


class PlainList:
    """Whole lower-cased words of the same reporting terms, by one regular expression a thousand."""

    name = "plain word list, same terms"

    def __init__(self, pack: Pack) -> None:
        terms = terms_of(pack)
        self._single = {term for term in terms if " " not in term}
        self._longer = {term for term in terms if " " in term}
        self._starts = {term.split()[0] for term in self._longer}
        self._most = max(len(term.split()) for term in self._longer)

    def stops(self, text: str) -> bool:
        words = re.findall(r"[\w'-]+", text.lower())
        for index, word in enumerate(words):
            if word in self._single:
                return True
            if word in self._starts and any(
                " ".join(words[index : index + count]) in self._longer for count in range(2, self._most + 1)
            ):
                return True
        return False


def plain_peer(pack: Pack, texts: Sequence[str]) -> Peer:
    """What most prompt filters do."""
    plain = PlainList(pack)
    return Peer(name=plain.name, scores={text: float(plain.stops(text)) for text in texts}, ms=0.0)


def run_peers(
    python: Path | None, pack: Pack, texts: Sequence[str], *, seconds: float = 1800.0
) -> tuple[list[Peer], dict[str, str]]:
    """Every peer's answers, and why the others gave none: one that needs more CPU ``seconds`` is too slow."""
    peers, missing = [plain_peer(pack, texts)], dict(CANNOT)
    for name in NAMES:
        if python is None:
            missing[name] = "no Python with it was named (--peers)"
            continue
        answer = _ask(python, name, {"terms": terms_of(pack), "texts": list(texts), "seconds": seconds})
        if "error" in answer:
            missing[name] = str(answer["error"])
            continue
        scores = dict(zip(texts, answer["scores"], strict=True))
        peers.append(Peer(name=f"{name} {answer['version']}", scores=scores, ms=float(answer["ms"])))
    return peers, missing


def _ask(python: Path, name: str, question: Mapping[str, Any]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [str(python), str(RUNNER), name],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=3600,
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return {"error": f"{type(error).__name__} while it ran"}
