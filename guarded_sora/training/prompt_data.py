"""What the prompt head learns from and is held to: the own corpus, and public sets where they are given.

Every source plays one part, and a source is never split over parts at random: training fits weights,
validation fits calibration and thresholds, test only measures. The public sets lie in a folder the user
names, one JSON object a line as ``SOURCES`` describes; each must have the SHA-256 that is pinned here. The
test sets are read by ``benchmarks.policy`` alone, never by the training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from guarded_sora.errors import UsageError
from guarded_sora.policies.twins import BENIGN, CORPUS, load_corpus

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One public set. ``parts`` are what it may be used for; ``sha256`` is that of the file."""

    file: str
    sha256: str
    licence: str
    origin: str
    parts: tuple[Part, ...]


SOURCES: Final[tuple[Source, ...]] = (
    Source(
        file="unsafe/openai_moderation_1680.jsonl",
        sha256="0f74fab39c9709928da117457cded9b0ff75d0dada1b77eddff8fb0034944e7f",
        licence="MIT",
        origin="github.com/openai/moderation-api-release @ f4ab51b",
        parts=("train",),
    ),
    Source(
        file="adversarial/nibbler_submitted.jsonl",
        sha256="376c6a3fe354145313acd30a0cbc05c3c43a38844e9a6d94d6fe97a19c577c54",
        licence="CC-BY-4.0",
        origin="github.com/google-research-datasets/adversarial-nibbler @ 36b033c (rounds 1 to 3)",
        parts=("train",),
    ),
    Source(
        file="overrefusal/hatecheck.jsonl",
        sha256="21892f9f5627f545007899898d71642cc262f27a3f508186c07ccf04435262b7",
        licence="CC-BY-4.0",
        origin="github.com/paul-rottger/hatecheck-data @ d843022 (MD5 of the folded text: even, odd)",
        parts=("train", "validation"),
    ),
    Source(
        file="benign/t2i_compbench.jsonl",
        sha256="d420a8a289ec0cb5e89581c12bc4763366cd922839cdafadf9d2f89c027747f8",
        licence="MIT",
        origin="github.com/Karine-Huang/T2I-CompBench @ 1b70949 (one in four)",
        parts=("train",),
    ),
    Source(
        file="benign/partiprompts.jsonl",
        sha256="97228300a550fdca8b8d2afb6136c67e7eaaf20c75974690a818f8e5c5888574",
        licence="Apache-2.0",
        origin="github.com/google-research/parti @ 5a65797",
        parts=("validation",),
    ),
    Source(
        file="benign/vbench.jsonl",
        sha256="561c33e147225d4c7abce6022c266c1187a908391be3cd404e631dc3c247ed8c",
        licence="Apache-2.0",
        origin="github.com/Vchitect/VBench @ 45e79ec",
        parts=("test",),
    ),
    Source(
        file="multilingual/vbench_zh.jsonl",
        sha256="f541767ee4ba1ae3a24109df7987fd2ecadef3a7e39a263f76841619ab292d68",
        licence="Apache-2.0",
        origin="github.com/Vchitect/VBench @ 45e79ec",
        parts=("test",),
    ),
    Source(
        file="unsafe/i2p.jsonl",
        sha256="c654292c559fdc23bf1b5660a72f0fc151b8d3cc3a78152dc68ccf85f155e616",
        licence="MIT",
        origin="github.com/chiayi-hsu/Ring-A-Bell @ e4585ad (pictures mostly harmful)",
        parts=("test",),
    ),
    Source(
        file="multilingual/mhc.jsonl",
        sha256="4362422a02aa362583f0b502d3057ecac1f1cd7dc97cc2fe396f59551684a91f",
        licence="CC-BY-4.0",
        origin="github.com/rewire-online/multilingual-hatecheck @ a03f2ca",
        parts=("test",),
    ),
)

_MODERATION: Final[Mapping[str, str]] = {
    "S": "sexual.explicit",
    "H": "hate",
    "H2": "hate",
    "HR": "harassment",
    "V": "violence.act",
    "V2": "violence.graphic",
    "SH": "self_harm",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """``categories``: what the prompt shows; empty and ``unsafe`` means harm of unknown category.

    ``known``: the categories whose presence or absence the label settles; None means all of them.
    """

    text: str
    language: str
    source: str
    unsafe: bool
    categories: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None
    weight: float = 1.0


def own_examples(part: Literal["train", "validation"], folder: Path = CORPUS) -> Iterator[Example]:
    """The corpus of the project; training also learns from the golden prompts of the shipped pack."""
    for prompt in load_corpus(folder, parts=(part,)):
        yield Example(
            text=prompt.text,
            language=prompt.language,
            source="corpus",
            unsafe=prompt.category != BENIGN,
            categories=() if prompt.category == BENIGN else (prompt.category,),
            weight=1.5,
        )
    if part == "train":
        yield from _golden()


def _golden() -> Iterator[Example]:
    from guarded_sora.policies.golden import load_golden
    from guarded_sora.policies.pack import load_pack

    pack = load_pack()
    category = {rule.slug: rule.category for rule in pack.all_rules()}
    for prompt in load_golden(pack):
        plain = not (prompt.findings or prompt.checks or prompt.overlay or prompt.context.counters)
        if plain and prompt.text.strip() and category[prompt.rule] != "sexual.minors":
            fires = prompt.kind == "fire"
            yield Example(
                text=prompt.text,
                language="",
                source="golden",
                unsafe=fires,
                categories=(category[prompt.rule],) if fires else (),
                weight=0.7 if fires else 8.0,  # they must pass, as the test of the pack demands
            )


def public_examples(folder: Path, part: Part) -> Iterator[Example]:
    """The public sets of ``part`` below ``folder``.

    Raises:
        UsageError: a set is missing, or is not the pinned file.
    """
    for source in SOURCES:
        if part in source.parts:
            for row in _rows(folder, source):
                example = _example(source, row, part)
                if example is not None:
                    yield example


def _rows(folder: Path, source: Source) -> Sequence[Mapping[str, Any]]:
    path = folder / source.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); see docs/model-card-prompts.md."
        ) from error
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise UsageError(f"{path} is not the pinned set of {source.origin}; see docs/model-card-prompts.md.")
    return [json.loads(line) for line in data.splitlines()]


def _example(source: Source, row: Mapping[str, Any], part: Part) -> Example | None:
    text, language = str(row["text"]), str(row.get("lang", "en"))
    name = Path(source.file).stem
    draw = hashlib.md5(text.casefold().encode(), usedforsecurity=False).digest()[0]
    unsafe, categories = row["label"] == "unsafe", tuple[str, ...]()
    known: tuple[str, ...] | None = None
    weight = 0.3
    match name:
        case "openai_moderation_1680" if unsafe:
            categories = known = tuple(
                sorted({_MODERATION[key] for key in row["orig"] if key in _MODERATION})
            )
        case "hatecheck":
            if (draw % 2 == 0) != (part == "train"):
                return None
            categories, weight = (("hate",) if unsafe else ()), 0.15
        case "mhc":
            if draw >= 80:
                return None
            categories = ("hate",) if unsafe else ()
        case "nibbler_submitted":
            votes = int(row["text_unsafe_votes"])
            if str(row["file"]).startswith("round4") or 0 < 2 * votes <= int(row["votes"]):
                return None
            unsafe, known = votes > 0, (() if votes else None)
        case "t2i_compbench":
            if draw >= 64:
                return None
            weight = 0.15
        case "i2p":
            if float(row["inappropriate_pct"]) < 70 and float(row["nudity_pct"]) < 50:
                return None
    return Example(
        text=text,
        language=language,
        source=name,
        unsafe=unsafe,
        categories=categories,
        known=known,
        weight=weight,
    )
