"""Operating points: recall against false alarms, on prompts that neither trained nor tuned anything.

The bounds stand in the head's card. They were fixed on validation captions (PartiPrompts) at 3, 1 and 0.5 %
false alarms; here they are applied once to the test part of the own corpus and, with ``--data``, to captions
and prompts of sources that played no part before. A prompt is stopped when a rule without the head stops it
or the head's highest probability reaches the bound. Intervals: Wilson's, 95 %; of a mean over groups,
percentiles of 1,000 resamples within each group.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.rows import Row, row
from guarded_sora.policies.finding import Action

GROUPS: Mapping[str, tuple[str, ...]] = {
    "sexual": ("sexual.",),
    "violence": ("violence.act", "violence.extremism", "violence.animal"),
    "gore": ("violence.graphic",),
    "hate": ("hate", "harassment"),
    "self-harm": ("self_harm",),
    "illegal": ("illicit.", "dangerous."),
}
FINDINGS: Mapping[str, tuple[str, ...]] = {
    "likeness.public": ("likeness.public",),
    "characters and brands": ("ip.character", "ip.brand"),
    "deception": ("deception.",),
    "temporal": ("temporal.",),
}
MINUTES_A_REVIEW = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A prompt of a test set."""

    text: str
    unsafe: bool
    category: str = ""
    language: str = "en"
    source: str = "corpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the shipped policy does, what it does without the head, and the head's highest probability."""

    action: Action
    words: bool
    top: float

    def stopped(self, bound: float | None) -> bool:
        """At ``bound``, or by the shipped pack when it is None."""
        return self.action is not Action.ALLOW if bound is None else self.words or self.top >= bound


class Judge(Protocol):
    def see(self, text: str) -> Seen: ...


def corpus_items() -> list[Item]:
    """The test part of the own corpus that no training, choice of bounds or list has seen."""
    from guarded_sora.policies.twins import load_corpus

    return [
        Item(text=p.text, unsafe=p.unsafe, category=p.category, language=p.language)
        for p in load_corpus(parts=("test2",))
    ]


def public_items(folder: Path) -> list[Item]:
    """The public sets that only measure (:mod:`guarded_sora.training.prompt_data`)."""
    from guarded_sora.training.prompt_data import public_examples

    return [
        Item(
            text=e.text,
            unsafe=e.unsafe,
            category=e.categories[0] if e.categories else "",
            language=e.language,
            source=e.source,
        )
        for e in public_examples(folder, "test")
    ]


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _in(category: str, prefixes: Iterable[str]) -> bool:
    return category.startswith(tuple(prefixes))


def share_row(metric: str, hits: Sequence[bool], *, better: str) -> Row:
    """The share of ``hits`` with its interval."""
    low, high = wilson(sum(hits), len(hits))
    value = sum(hits) / len(hits) if hits else 0.0
    return row(metric, value, better=better, n=len(hits), low=round(low, 4), high=round(high, 4))


def macro_row(metric: str, groups: Sequence[Sequence[bool]]) -> Row:
    """The mean of the groups' shares; the interval by resampling within each group."""
    draw = np.random.default_rng(0)
    means = np.mean(
        [draw.binomial(len(group), np.mean(group), 1000) / len(group) for group in groups if group], axis=0
    )
    low, high = np.quantile(means, (0.025, 0.975))
    value = float(np.mean([np.mean(group) for group in groups if group]))
    count = sum(map(len, groups))
    return row(metric, value, better="higher", n=count, low=round(float(low), 4), high=round(float(high), 4))


def point_rows(judge: Judge, items: Sequence[Item], card: Mapping[str, Any]) -> Iterator[Row]:
    """Every number of the once-only measurement."""
    seen = {item.text: judge.see(item.text) for item in items}
    bounds: list[tuple[str, float | None]] = [
        (f"bound of {100 * point['false_alarms']:g} %", float(point["bound"]))
        for point in card["validation"]["points"]
    ]
    for name, bound in [*bounds, ("shipped pack", None)]:

        def stopped(wanted: Callable[[Item], bool], bound: float | None = bound) -> list[bool]:
            return [seen[item.text].stopped(bound) for item in items if wanted(item)]

        yield from _recall_rows(name, stopped)
        yield from _false_alarm_rows(name, stopped, items)
    yield from _language_rows(seen, items, bounds)
    yield from _review_rows(seen, items)


def _recall_rows(name: str, stopped: Callable[[Callable[[Item], bool]], list[bool]]) -> Iterator[Row]:
    own = {
        group: stopped(lambda i, p=prefixes: i.source == "corpus" and i.unsafe and _in(i.category, p))  # type: ignore[misc]
        for group, prefixes in {**GROUPS, **FINDINGS}.items()
    }
    yield macro_row(f"recall, six groups, own test, {name}", [own[group] for group in GROUPS])
    for group, hits in own.items():
        yield share_row(f"recall, {group}, own test, {name}", hits, better="higher")
    yield share_row(
        f"recall, all categories, own test, {name}",
        stopped(lambda i: i.source == "corpus" and i.unsafe),
        better="higher",
    )
    if hits := stopped(lambda i: i.source == "i2p"):
        yield share_row(f"recall, I2P with mostly harmful pictures, {name}", hits, better="higher")


def _false_alarm_rows(
    name: str, stopped: Callable[[Callable[[Item], bool]], list[bool]], items: Sequence[Item]
) -> Iterator[Row]:
    yield share_row(
        f"false alarms, harmless twins, own test, {name}",
        stopped(lambda i: i.source == "corpus" and not i.unsafe),
        better="lower",
    )
    for source in sorted({i.source for i in items if not i.unsafe and i.source != "corpus"}):
        hits = stopped(lambda i, s=source: i.source == s and not i.unsafe)  # type: ignore[misc]
        yield share_row(f"false alarms, {source}, {name}", hits, better="lower")


def _language_rows(
    seen: Mapping[str, Seen], items: Sequence[Item], bounds: Sequence[tuple[str, float | None]]
) -> Iterator[Row]:
    by_category: dict[str, list[Item]] = defaultdict(list)
    by_language: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.source == "corpus":
            by_language[item.language].append(item)
            if item.unsafe:
                by_category[item.category].append(item)
    points = [bounds[0], ("shipped pack", None)]
    for name, bound in points:
        for category, members in sorted(by_category.items()):
            hits = [seen[item.text].stopped(bound) for item in members]
            yield share_row(f"recall, {category}, own test, {name}", hits, better="higher")
        for language, members in sorted(by_language.items()):
            caught = [seen[item.text].stopped(bound) for item in members if item.unsafe]
            alarms = [seen[item.text].stopped(bound) for item in members if not item.unsafe]
            difference = sum(caught) / len(caught) - sum(alarms) / len(alarms)
            yield row(
                f"recall minus false alarms, {language}, own test, {name}",
                difference,
                better="higher",
                n=len(members),
                recall=round(sum(caught) / len(caught), 4),
                false_alarms=round(sum(alarms) / len(alarms), 4),
            )


def _review_rows(seen: Mapping[str, Seen], items: Sequence[Item]) -> Iterator[Row]:
    """What harmless captions cost: held ones, and hours of reviewers for a million requests."""
    for source in ("vbench", "vbench_zh"):
        actions = [seen[item.text].action for item in items if item.source == source]
        if actions:
            held = [action is Action.REVIEW for action in actions]
            yield share_row(f"harmless captions sent to review, {source}, shipped pack", held, better="lower")
            hours = 1e6 * sum(held) / len(held) * MINUTES_A_REVIEW / 60
            metric = (
                f"reviewer hours per million harmless requests, {source}, {60 * MINUTES_A_REVIEW:g} s each"
            )
            yield row(metric, hours, better="lower", unit="h", n=len(actions))


def peer_rows(judge: Judge, peers: Sequence[Any], items: Sequence[Item]) -> Iterator[Row]:
    """The shipped pack and each peer over the same prompts."""
    for peer in peers:
        for metric, members, better in (
            ("recall, own test", [i for i in items if i.source == "corpus" and i.unsafe], "higher"),
            (
                "false alarms, harmless twins, own test",
                [i for i in items if i.source == "corpus" and not i.unsafe],
                "lower",
            ),
            ("recall, I2P", [i for i in items if i.source == "i2p"], "higher"),
            ("false alarms, VBench", [i for i in items if i.source == "vbench"], "lower"),
        ):
            if members:
                ours = sum(judge.see(item.text).stopped(None) for item in members) / len(members)
                theirs = sum(peer.stops(item.text) for item in members) / len(members)
                yield row(f"{metric}, shipped pack", ours, theirs, peer.name, better=better, n=len(members))
