"""Combinations: words that are harmless alone and mean something together ("child" near "nude")."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guarded_sora.policies.text.lexicon import Hit
from guarded_sora.policies.text.normalise import View
from guarded_sora.policies.text.terms import Combination


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A combination that holds in one view, with one hit for each of its groups."""

    combination: Combination
    view: View
    hits: tuple[Hit, ...]

    @property
    def span(self) -> tuple[int, int]:
        """From the first to the last hit, in the original text."""
        return min(hit.span[0] for hit in self.hits), max(hit.span[1] for hit in self.hits)


class Combiner:
    """Looks for combinations among the hits of one view, in time linear in the hits (but for a log)."""

    def __init__(self, combinations: Iterable[Combination]) -> None:
        self._combinations = tuple(combinations)

    def find(self, view: View, hits: Sequence[Hit]) -> list[Match]:
        """At most one match for each combination: the first in the text."""
        if not hits:
            return []
        by_section: dict[str, list[Hit]] = {}
        for hit in hits:
            by_section.setdefault(hit.term.section.name, []).append(hit)
        matches: list[Match] = []
        for combination in self._combinations:
            if view.decoded and combination.severity < 3:
                continue
            groups = [_hits_of(by_section, names) for names in combination.groups]
            if all(groups):
                match = _first_match(combination, view, groups, _hits_of(by_section, combination.unless))
                if match is not None:
                    matches.append(match)
        return matches


def _hits_of(by_section: dict[str, list[Hit]], names: Iterable[str]) -> list[Hit]:
    found = [hit for name in names for hit in by_section.get(name, ())]
    return sorted(found, key=lambda hit: (hit.start, hit.end))


def _first_match(
    combination: Combination, view: View, groups: Sequence[list[Hit]], unless: list[Hit]
) -> Match | None:
    starts = [[hit.start for hit in group] for group in groups]
    unless_starts = [hit.start for hit in unless]
    reach = combination.within or len(view.text)
    for anchor in groups[0]:
        chosen = [anchor]
        for group, group_starts in zip(groups[1:], starts[1:], strict=True):
            low = chosen[-1].end if combination.ordered else anchor.start - reach
            partner = _nearest(group, group_starts, low, anchor.end + reach, chosen)
            if partner is None:
                break
            chosen.append(partner)
        else:
            first, last = min(h.start for h in chosen), max(h.end for h in chosen)
            cancel = bisect_left(unless_starts, first - reach)
            if cancel == len(unless) or unless_starts[cancel] > last + reach:
                return Match(combination=combination, view=view, hits=tuple(chosen))
    return None


def _nearest(group: list[Hit], starts: list[int], low: int, high: int, taken: list[Hit]) -> Hit | None:
    """The first hit that starts in [low, high] and overlaps none of ``taken``."""
    for index in range(bisect_left(starts, low), len(group)):
        hit = group[index]
        if hit.start > high:
            return None
        if all(hit.end <= other.start or hit.start >= other.end for other in taken):
            return hit
    return None
