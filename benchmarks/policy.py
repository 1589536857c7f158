"""The prompt policy against other filters: recall and false alarms at fixed bounds, disguises, latency.

    python -m benchmarks.policy [--json] [--quick] [--data DIR] [--public DIR] [--peers PYTHON]

The plain list holds the same reporting terms and matches whole words in lower-cased text, which is
what most prompt filters do. Disguises are applied to seeds that were written together with the
matcher: a check that each family is covered, not a measure of what attackers will find.
``--data DIR`` adds a row for every ``*.jsonl`` below DIR whose lines hold ``text`` and ``label``; ``--public
DIR`` names the pinned public sets of ``guarded_sora/training/prompt_data.py``; ``--peers PYTHON`` a Python in
which other filters are installed (:mod:`benchmarks.policy_peers`). CPU is the process time of one thread.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.policy_attacks import ATTACKS, CARRIERS, SEEDS
from benchmarks.policy_peers import Peer, PlainList, run_peers
from benchmarks.policy_points import Item, Seen, corpus_items, peer_rows, point_rows, public_items
from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora.policies.engine import PolicyEngine
from guarded_sora.policies.finding import Action, Finding, RequestContext
from guarded_sora.policies.golden import load_golden
from guarded_sora.policies.pack import Pack, load_pack
from guarded_sora.policies.text.check import PromptCheck, default_prompt_checks, unavailable_reason
from guarded_sora.policies.text.classify import ClassifierCheck, card_of
from guarded_sora.policies.text.reading import one_request
from guarded_sora.policies.text.terms import Section
from guarded_sora.policies.vocabulary import Vocabulary

PROMPTS = Path(__file__).with_name("policy_prompts.tsv")
TEST_PROMPTS = Path(__file__).with_name("policy_prompts_test.tsv")
CONTEXT = RequestContext(age_tier="adult", region="US")


class Ours:
    """The shipped pack, checks and engine; the head counts where its encoder is installed."""

    def __init__(self, pack: Pack) -> None:
        every: tuple[PromptCheck, ...] = default_prompt_checks(pack)
        self.checks = tuple(check for check in every if not unavailable_reason(check))
        self.missing = {check.name: reason for check in every if (reason := unavailable_reason(check))}
        self.engine = PolicyEngine(pack)
        self._seen: dict[str, Seen] = {}

    def see(self, text: str) -> Seen:
        """What is decided, with and without the head; remembered."""
        if text not in self._seen:
            findings = self.findings(text)
            words = [finding for finding in findings if finding.detector != ClassifierCheck.name]
            self._seen[text] = Seen(
                action=self.engine.decide(findings, CONTEXT).action,
                words=self.engine.decide(words, CONTEXT).action is not Action.ALLOW,
                top=max(
                    (f.score or 0.0 for f in findings if f.detector == ClassifierCheck.name), default=0.0
                ),
            )
        return self._seen[text]

    def findings(self, text: str) -> list[Finding]:
        with one_request():
            readers = (check for check in self.checks if not unavailable_reason(check, text))
            return [finding for check in readers for finding in check.check(text, CONTEXT)]

    def action(self, text: str) -> Action:
        return self.engine.decide(self.findings(text), CONTEXT).action

    def stops(self, text: str) -> bool:
        return self.action(text) is not Action.ALLOW


def share(stops: Callable[[str], bool], texts: Sequence[str]) -> float:
    return sum(map(stops, texts)) / len(texts) if texts else 0.0


def attack_rows(ours: Ours, peers: Sequence[Peer]) -> Iterator[Row]:
    for name, change in ATTACKS.items():
        texts = [carrier.format(change(seed)) for seed in SEEDS for carrier in CARRIERS]
        mine = share(ours.stops, texts)
        for peer in peers:
            yield row(f"recall, {name}", mine, share(peer.stops, texts), peer.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    category: str
    language: str
    unsafe: str
    benign: str


def own_pairs(path: Path = PROMPTS) -> list[Pair]:
    """The own-written prompts in ``path``, each with its benign twin."""
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            category, language, _style, unsafe, benign = line.split("\t")
            pairs.append(Pair(category=category, language=language, unsafe=unsafe, benign=benign))
    return pairs


def own_rows(ours: Ours, peers: Sequence[Peer]) -> Iterator[Row]:
    pairs = own_pairs()
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(f"language {pair.language}", []).append(pair)
    for pair in pairs:
        groups.setdefault(pair.category, []).append(pair)
    unseen = own_pairs(TEST_PROMPTS)
    for peer in peers:
        for metric, texts, better in (
            ("recall", [pair.unsafe for pair in unseen], "higher"),
            ("false alarms", [pair.benign for pair in unseen], "lower"),
        ):
            yield row(
                f"{metric}, once-only test prompts, n={len(texts)}",
                share(ours.stops, texts),
                share(peer.stops, texts),
                peer.name,
                better=better,
            )
        for name, members in groups.items():
            unsafe = [pair.unsafe for pair in members]
            yield row(
                f"recall, own prompts, {name}, n={len(unsafe)}",
                share(ours.stops, unsafe),
                share(peer.stops, unsafe),
                peer.name,
            )
        benign = [pair.benign for pair in pairs]
        yield row(
            f"false alarms, own benign twins, n={len(benign)}",
            share(ours.stops, benign),
            share(peer.stops, benign),
            peer.name,
            better="lower",
        )


def golden_rows(ours: Ours, pack: Pack, peers: Sequence[Peer]) -> Iterator[Row]:
    plain = [p for p in load_golden(pack) if not (p.findings or p.checks or p.overlay or p.context.counters)]
    for kind, metric, better in (
        ("fire", "recall, golden prompts", "higher"),
        ("pass", "false alarms, golden benign twins", "lower"),
    ):
        texts = [prompt.text for prompt in plain if prompt.kind == kind]
        for peer in peers:
            yield row(
                f"{metric}, n={len(texts)}",
                share(ours.stops, texts),
                share(peer.stops, texts),
                peer.name,
                better=better,
            )


def milliseconds(stops: Callable[[str], object], texts: Sequence[str], rounds: int) -> tuple[float, float]:
    """Median and 99th percentile of process time a prompt."""
    for text in texts[:20]:
        stops(text)
    times = []
    for _ in range(rounds):
        for text in texts:
            start = time.process_time()
            stops(text)
            times.append(1000 * (time.process_time() - start))
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def with_large_lexicon(pack: Pack, count: int) -> Pack:
    """``pack`` and ``count`` more terms of one to three made-up words."""
    draw = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "ol")]

    def word() -> str:
        return "".join(draw.choice(syllables) for _ in range(draw.randint(2, 4)))

    terms = {" ".join(word() for _ in range(draw.randint(1, 3))) for _ in range(count)}
    extra = Section(
        name="made_up", role="report", category="disturbing", severity=1, language="und", terms=tuple(terms)
    )
    lexicons = Vocabulary(sections=(*pack.lexicons.sections, extra), combinations=pack.lexicons.combinations)
    return replace(pack, lexicons=lexicons)


def latency_rows(ours: Ours, pack: Pack, plain: PlainList, *, quick: bool) -> Iterator[Row]:
    texts = [text for pair in own_pairs() for text in (pair.unsafe, pair.benign)]
    long = [" ".join((text + ", ") * 6).split(" ") for text in texts[:80]]
    sixty = [" ".join(words[:60]) for words in long]
    rounds = 1 if quick else 3
    peers = {"": ours, ", 100,000 more terms": Ours(with_large_lexicon(pack, 2_000 if quick else 100_000))}
    for name, prompts in (("own prompts", texts), ("60 words", sixty)):
        theirs = milliseconds(plain.stops, prompts, rounds)
        for suffix, candidate in peers.items():
            mine = milliseconds(candidate.action, prompts, rounds)
            for label, a, b in zip(("p50", "p99"), mine, theirs, strict=True):
                yield row(
                    f"CPU per prompt, {name}{suffix}, {label}", a, b, plain.name, better="lower", unit="ms"
                )
    for size in (1_000, 10_000, 100_000):
        text = " ".join(["a quiet harbour with seven boats and a red kite"] * (size // 47 + 1))[:size]
        start = time.process_time()
        ours.action(text)
        cost = 1000 * (time.process_time() - start) / (size / 1000)
        yield row(f"CPU per kilobyte, prompt of {size:,} characters", cost, better="lower", unit="ms")


def labelled(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and label of each group of the user's files, with its texts."""
    for path in sorted(folder.rglob("*.jsonl")):
        by_label: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            by_label.setdefault(str(entry.get("label", "unlabelled")), []).append(str(entry["text"]))
        for label, texts in by_label.items():
            yield f"{path.relative_to(folder)}, {label}", texts


def data_rows(ours: Ours, peers: Sequence[Peer], folder: Path) -> Iterator[Row]:
    """Share stopped of each label of each file of the user."""
    for name, texts in labelled(folder):
        better = "lower" if name.endswith((", safe", ", benign")) else "higher"
        for peer in peers:
            yield row(
                f"stopped, {name}, n={len(texts)}",
                share(ours.stops, texts),
                share(peer.stops, texts),
                peer.name,
                better=better,
            )


def environment(pack: Pack) -> dict[str, Any]:
    packages = ("ahocorasick-rs", "disarm", "common-expression-language", "anyascii")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "pack": asdict(pack.reference),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "thread": "one",
    }


def texts_of(pack: Pack, items: Sequence[Item], data: Path | None) -> list[str]:
    """Every text that a peer is asked about."""
    texts = [
        carrier.format(change(seed)) for change in ATTACKS.values() for seed in SEEDS for carrier in CARRIERS
    ]
    texts += [
        text for file in (PROMPTS, TEST_PROMPTS) for p in own_pairs(file) for text in (p.unsafe, p.benign)
    ]
    texts += [prompt.text for prompt in load_golden(pack)]
    texts += [item.text for item in items]
    texts += [text for _, texts in (labelled(data) if data else ()) for text in texts]
    return list(dict.fromkeys(texts))


def measure(
    *, quick: bool, data: Path | None, public: Path | None, python: Path | None, seconds: float = 1800.0
) -> dict[str, Any]:
    pack = load_pack()
    ours = Ours(pack)
    items = [] if quick else [*corpus_items(), *(public_items(public) if public else ())]
    peers, missing = run_peers(python, pack, texts_of(pack, items, data), seconds=seconds)
    rows = [*attack_rows(ours, peers), *golden_rows(ours, pack, peers), *own_rows(ours, peers)]
    if items and not ours.missing:
        rows.extend(point_rows(ours, items, card_of()))
        rows.extend(peer_rows(ours, peers, items))
    rows.extend(latency_rows(ours, pack, PlainList(pack), quick=quick))
    rows.extend(
        row(f"CPU per prompt, {p.name}", 0.0, p.ms, p.name, better="lower", unit="ms") for p in peers[1:]
    )
    if data is not None:
        rows.extend(data_rows(ours, peers, data))
    return {
        "environment": {**environment(pack), "checks_missing": ours.missing, "peers_missing": missing},
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policy", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and a smaller lexicon")
    parser.add_argument("--data", type=Path, help="folder of *.jsonl prompt sets with text and label")
    parser.add_argument("--public", type=Path, help="folder of the pinned public sets")
    parser.add_argument("--peers", type=Path, help="a Python in which other filters are installed")
    parser.add_argument("--peer-seconds", type=float, default=1800.0, help="CPU that a filter may use")
    options = parser.parse_args(arguments)
    if options.data is not None and not options.data.is_dir():
        parser.error(f"{options.data} is no folder; give one that holds *.jsonl files.")
    result = measure(
        quick=options.quick,
        data=options.data,
        public=options.public,
        python=options.peers,
        seconds=options.peer_seconds,
    )
    if options.json:
        print_report("policy", **result)
    else:
        print_rows(result["rows"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
