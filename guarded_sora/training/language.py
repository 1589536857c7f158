"""Trains the head through which a text encoder reads prompts (:mod:`guarded_sora.generation.language`).

    python -m guarded_sora.training.language OUT --model FOLDER   # hidden states of a language model, frozen
    python -m guarded_sora.training.language OUT                  # an own table of spellings, trained along

The head learns from captions of the world's grammar, of combinations that are not held out: whole, with
parts left out, and with words that the world does not know, which ask for more than it can show. Those words
come from harmless prompts of the policy corpus.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from guarded_sora.generation.language import FACTS, model_digest
from guarded_sora.generation.models.language import (
    OUTSIDE,
    SLOTS,
    LanguageStates,
    SlotHead,
    SpellingStates,
    TextStates,
)
from guarded_sora.generation.vocabulary import CONCEPTS, PAD, SILENT, SYNONYMS
from guarded_sora.policies.twins import BENIGN, load_corpus
from guarded_sora.training.config import ReaderConfig
from guarded_sora.training.drawing import caption, draw_any, tokens

PARTIAL, STRANGE = 0.25, 0.15
"""Shares of captions with parts left out, and with words that the world does not know."""
IN = ("", "in the ", "on the ", "at the ", "over a ", "against the ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A caption and what fills each slot of ``SLOTS``, "" for nothing."""

    text: str
    slots: dict[str, str]


def strange_words() -> list[str]:
    """Words of harmless English prompts that follow an article and mean nothing in the generator's world."""
    known = {word for phrases in SYNONYMS.values() for phrase in phrases for word in phrase.split()} | SILENT
    texts = [p.text for p in load_corpus(parts=("train",)) if p.language == "en" and p.category == BENIGN]
    found = {word for text in texts for word in re.findall(r"\b(?:a|an|the) ([a-z]{4,})\b", text)}
    return sorted(found - known - {f"{word}s" for word in known})


def draw_caption(rng: np.random.Generator, strange: Sequence[str]) -> Said:
    """One caption of a combination that is trained on; see the module."""
    film = draw_any(rng)
    slots = dict.fromkeys(SLOTS, "")
    for token in tokens(film):
        if token != PAD:
            kind, _, name = CONCEPTS[token].partition(":")
            slots[kind] = name
    kind_of = rng.random()
    if kind_of >= PARTIAL + STRANGE:
        return Said(text=caption(film, rng), slots=slots)
    if kind_of < PARTIAL:
        for kind in ("colour", "background", "motion", "colour2", "style"):
            if rng.random() < 0.35:
                slots[kind] = ""
        return Said(text=_parts(slots, rng), slots=slots)
    slots[OUTSIDE] = OUTSIDE
    word = strange[int(rng.integers(len(strange)))]
    if film.other is None and rng.random() < 0.6:  # the object itself is unknown
        slots["object"] = ""
        return Said(text=_parts(slots, rng, thing=word), slots=slots)
    place = ("in", "on", "with", "near", "of", "from")[rng.integers(6)]
    if rng.random() < 0.5:
        slots["background"] = ""
    return Said(text=f"{_parts(slots, rng)} {place} {('a', 'the')[rng.integers(2)]} {word}", slots=slots)


def _parts(slots: dict[str, str], rng: np.random.Generator, *, thing: str = "") -> str:
    """What the slots hold, in words drawn from the vocabulary, the parts in any order."""

    def pick(kind: str) -> str:
        options = SYNONYMS[f"{kind.removesuffix('2')}:{slots[kind]}"] if slots[kind] else ("",)
        return options[rng.integers(len(options))]

    def named(noun: str, colour: str) -> str:
        words = " ".join(filter(None, (colour, noun)))
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}" if rng.random() < 0.8 else words

    said = named(thing or pick("object"), pick("colour"))
    if slots["object2"]:
        said = f"{said} {pick('relation')} {named(pick('object2'), pick('colour2'))}"
    place, moves = pick("background"), pick("motion")
    if moves and rng.random() < 0.5:
        said, moves = f"{said} {moves}", ""
    parts = [said, moves, place and f"{IN[rng.integers(len(IN))]}{place}", pick("style")]
    parts = [part for part in parts if part]
    if rng.random() < 0.5:
        parts = [parts[i] for i in rng.permutation(len(parts))]
    return (", ", " ")[rng.integers(2)].join(parts)


def captions(count: int, seed: int, *, without: Collection[str] = ()) -> list[Said]:
    """``count`` captions; none contains a phrase of ``without``, on which a choice can be judged then."""
    rng, strange, found = np.random.default_rng(seed), strange_words(), list[Said]()
    while len(found) < count:
        said = draw_caption(rng, strange)
        if not any(f" {phrase} " in f" {said.text.replace(',', ' ')} " for phrase in without):
            found.append(said)
    return found


def train_head(
    states: TextStates, config: ReaderConfig, said: Sequence[Said] | None = None
) -> tuple[SlotHead, float]:
    """A head trained on the states of captions, and its last loss. A table of spellings is trained along."""
    said = captions(config.captions, config.seed) if said is None else said
    torch.manual_seed(config.seed)
    head = SlotHead(features=states.features, width=config.width, depth=config.depth)
    learned = [*head.parameters()]
    kept: list[tuple[Tensor, Tensor]] | None = None
    if isinstance(states, nn.Module):
        learned += states.parameters()
    else:
        kept = _encoded(states, [one.text for one in said])
    wanted = torch.tensor([[names.index(one.slots[kind]) for kind, names in SLOTS.items()] for one in said])
    optimiser = torch.optim.AdamW(learned, lr=config.lr, weight_decay=config.decay)
    rounds = config.epochs * (len(said) // config.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=rounds, pct_start=0.1)
    generator, order, loss = torch.Generator().manual_seed(config.seed), torch.empty(0, dtype=torch.long), 0.0
    head.train()
    for _ in track(range(rounds), "train", console=Console(stderr=True), transient=True):
        if len(order) < config.batch:
            order = torch.randperm(len(said), generator=generator)
        rows, order = order[: config.batch], order[config.batch :]
        batch = states([said[i].text for i in rows]) if kept is None else _batch([kept[i] for i in rows])
        logits = head(*batch)
        total = torch.stack(
            [nn.functional.cross_entropy(row, wanted[rows, slot]) for slot, row in enumerate(logits)]
        ).sum()
        optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        loss = float(total.detach())
    return head.eval(), loss


def _encoded(states: TextStates, texts: Sequence[str], batch: int = 32) -> list[tuple[Tensor, Tensor]]:
    """States of each text, at half precision, without padding; texts of like length go together."""
    found: dict[int, tuple[Tensor, Tensor]] = {}
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for at in track(range(0, len(order), batch), "encode", console=Console(stderr=True), transient=True):
        rows = order[at : at + batch]
        for i, state, shown in zip(rows, *states([texts[i] for i in rows]), strict=True):
            found[i] = state[shown].half(), shown[shown]
    return [found[i] for i in range(len(texts))]


def _batch(rows: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    pad = nn.utils.rnn.pad_sequence
    states, shown = zip(*rows, strict=True)
    return pad(list(states), batch_first=True).float(), pad(list(shown), batch_first=True)


def train(out: Path, model: Path | None, layers: int | None, config: ReaderConfig) -> dict[str, Any]:
    """Write a reader's folder; returns its facts. Raises BackendUnavailable for an unusable model."""
    began = time.process_time()
    torch.manual_seed(config.seed)
    states: Any = SpellingStates() if model is None else LanguageStates(model, layers=layers)
    head, loss = train_head(states, config)
    out.mkdir(parents=True, exist_ok=True)
    head.save_pretrained(out / "head")
    if model is None:
        states.save_pretrained(out / "spelling")
    facts = {
        "model": states.name, "layers": layers,
        "model_sha256": None if model is None else model_digest(model),
        "captions": config.captions, "epochs": config.epochs, "seed": config.seed, "loss": round(loss, 4),
        "cpu_seconds": round(time.process_time() - began, 1),
    }  # fmt: skip
    (out / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m guarded_sora.training.language", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--model", type=Path, help="folder of a language model; without, an own table is trained"
    )
    parser.add_argument("--layers", type=int, help="how many of the model's blocks are run (default all)")
    parser.add_argument("--captions", type=int, default=ReaderConfig().captions)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = ReaderConfig(captions=options.captions)
    print(json.dumps(train(options.out, options.model, options.layers, config)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
