"""What only time makes harmful: ordered steps, transformations, and text that is spelled out.

Chat filters judge a sentence; a film shows one thing after another. Ordered combinations of the
pack's ``sequences/`` folder describe such steps. Besides, letters and fragments that a prompt shows
one by one are put together and searched as one text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.policies.text.observe import Observation, TermSearch, as_findings
from guarded_sora.policies.text.reading import read

if TYPE_CHECKING:
    from guarded_sora.policies.pack import Pack

MAX_FRAGMENTS: Final = 200
MAX_FRAGMENT: Final = 80

_LETTERS_WORD = re.compile(
    r"\b(?:letters?|spell(?:s|ed|ing)?|buchstaben?|lettres?|letras?)\b|文字", re.IGNORECASE
)
_SINGLE = re.compile(
    r"(?<![^\W_])[\"'“‘「『]?([A-Z]|[a-z](?=[\"'”’」』])|[ぁ-んァ-ヶ一-龠](?=[\"'”’」』]))(?![^\W_])"
)
_QUOTED = re.compile(r"[\"“„«「『]([^\"“”„«»「」『』]{1,80})[\"”«»」』]|(?<![^\W_])'([^']{1,80})'(?![^\W_])")


class SequenceCheck:
    """Ordered steps and transformations of the pack, and hostile text spelled out over time."""

    name = "sequence"
    version = "1.0.0"

    def __init__(self, pack: Pack) -> None:
        self._steps = TermSearch(
            pack.sequences.sections, pack.sequences.combinations, decode=False, typo_terms=lambda term: False
        )
        self._words = TermSearch(
            [section for section in pack.lexicons.sections if section.role != "group"],
            (),
            decode=False,
            typo_terms=lambda term: False,
        )

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """Findings ``temporal.*``; the evidence of spelled text names the category it belongs to."""
        observations = self._steps.search(text)
        observations.extend(self._spelled_out(text))
        return as_findings(self.name, self.version, observations)

    def _spelled_out(self, original: str) -> Iterator[Observation]:
        reading = read(original)
        text, folded = reading.text, reading.bases[0].text
        for span, parts in (_letters(text), _fragments(text)):
            if len(parts) < 2:
                continue
            for joined in {"".join(parts), " ".join(parts)}:
                for item in self._words.search(joined):
                    # What one fragment says alone, or the prompt says anyway, is the lexicon's business.
                    if item.severity < 2 or item.category == "evasion" or joined.casefold() in folded:
                        continue
                    if any(_covers(part, joined, item.span) for part in parts):
                        continue
                    yield Observation(
                        category="temporal.text",
                        severity=2,
                        span=span,
                        evidence=f"spelled out: {item.category}",
                        view="assembled",
                    )
                    break


def _covers(part: str, joined: str, span: tuple[int, int]) -> bool:
    return joined[span[0] : span[1]] in part


def _letters(text: str) -> tuple[tuple[int, int], list[str]]:
    """Single capital or quoted letters after a word for letters, with the range they stand in."""
    start = _LETTERS_WORD.search(text)
    if start is None:
        return (0, len(text)), []
    found = []
    for match in _SINGLE.finditer(text, start.end()):
        found.append(match)
        if len(found) >= MAX_FRAGMENTS:
            break
    if not found:
        return (0, len(text)), []
    return (found[0].start(1), found[-1].end(1)), [match[1] for match in found]


def _fragments(text: str) -> tuple[tuple[int, int], list[str]]:
    """Quoted pieces of text, in order, with the range they stand in."""
    found = []
    for match in _QUOTED.finditer(text):
        found.append(match)
        if len(found) >= MAX_FRAGMENTS:
            break
    if not found:
        return (0, len(text)), []
    return (found[0].start(), found[-1].end()), [(match[1] or match[2]).strip() for match in found]
