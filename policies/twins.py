"""The corpus of own prompts: read, checked and counted. Every unsafe prompt has a harmless twin.

    python -m guarded_sora.policies.twins [--near] [--part PART] [FOLDER]

prints how many prompts each language and category holds in each part, and with ``--near`` the pairs of
prompts that are too much alike. ``policies/corpus/README.md`` is the card of the data: which file plays
which part, who may use it for what. The corpus stays in the repository; a wheel does not carry it.
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args

from guarded_sora.policies.errors import CorpusInvalid
from guarded_sora.policies.taxonomy import CATEGORIES

CORPUS: Final = Path(__file__).resolve().parent / "corpus"
COLUMNS: Final = ("id", "part", "category", "twin", "language", "style", "text")
BENIGN: Final = "benign"
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_TEXT: Final = 600
NEAR: Final = 0.5

Part = Literal["train", "validation", "test2"]
Style = Literal["video", "chat", "caption"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
STYLES: Final[tuple[Style, ...]] = get_args(Style)

WITHOUT_PROMPTS: Final[Mapping[str, str]] = {
    "sexual.minors": "left to rules, which are tested with stand-in words; no such text is written here",
    "synthetic.input": "is seen in an input file, not in words",
    "check.failed": "is the state of a check, not in words",
}
"""Categories of the taxonomy that the corpus leaves out, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One row. ``category`` is an id of the taxonomy, or ``benign``; ``twin`` the id of the other one."""

    id: str
    part: Part
    category: str
    twin: str
    language: str
    style: Style
    text: str

    @property
    def unsafe(self) -> bool:
        """Whether a filter must see it."""
        return self.category != BENIGN


def load_corpus(folder: Path = CORPUS, *, parts: Iterable[Part] = PARTS) -> tuple[Prompt, ...]:
    """Every prompt of ``parts`` in order of files and lines; files are ``LANGUAGE.PART.tsv``.

    The part ``test2`` is there to be measured once: a training run asks for ``("train", "validation")``. The
    first test part was measured twice and then opened; its rows carry a ``t`` in their ids.
    Raises :class:`CorpusInvalid` for a missing folder, a row that does not fit, an id or text (after
    :func:`fold`) that stands twice, and a prompt without a twin of the same part, language and style.
    """
    wanted = frozenset(parts)
    if unknown := wanted - set(PARTS):
        raise CorpusInvalid(f"{min(unknown)!r} is no part of the corpus; use one of {', '.join(PARTS)}.")
    if not folder.is_dir():
        raise CorpusInvalid(f"There is no corpus at {folder}; run this from a checkout of the repository.")
    prompts: list[Prompt] = []
    for path in sorted(folder.glob("*.tsv")):
        language, _, part = path.name.removesuffix(".tsv").partition(".")
        if part not in PARTS:
            raise CorpusInvalid(f"{path.name} names no part; call it LANGUAGE.PART.tsv.")
        if part in wanted:
            prompts += _rows(path, language, part)
    if not prompts:
        raise CorpusInvalid(f"The corpus at {folder} holds no prompts of these parts; check the folder.")
    check_corpus(prompts)
    return tuple(prompts)


def _rows(path: Path, language: str, part: str) -> Iterator[Prompt]:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise CorpusInvalid(
            f"{path.name} cannot be read; check its permissions ({error.strerror})."
        ) from error
    if size > MAX_FILE_BYTES:
        raise CorpusInvalid(f"{path.name} is larger than {MAX_FILE_BYTES} bytes; split it.")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise CorpusInvalid(f"{path.name} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error
    if lines[0].split("\t") != list(COLUMNS):
        raise CorpusInvalid(f"{path.name}:1: the header must name {', '.join(COLUMNS)}, tab separated.")
    if lines.pop():
        raise CorpusInvalid(f"{path.name} ends inside a line; end the file with a line feed.")
    for number, line in enumerate(lines[1:], start=2):
        where = f"{path.name}:{number}"
        fields = line.split("\t")
        if len(fields) != len(COLUMNS):
            raise CorpusInvalid(f"{where}: {len(fields)} fields; give {len(COLUMNS)}, tab separated.")
        row = dict(zip(COLUMNS, fields, strict=True))
        _check_row(where, row, language, part)
        yield Prompt(
            id=row["id"], part=cast(Part, part), category=row["category"], twin=row["twin"],
            language=language, style=cast(Style, row["style"]), text=row["text"],
        )  # fmt: skip


def _check_row(where: str, row: Mapping[str, str], language: str, part: str) -> None:
    category, text = row["category"], row["text"]
    if row["part"] != part or row["language"] != language:
        raise CorpusInvalid(f"{where}: part and language must be those of the file's name.")
    if category != BENIGN and (category not in CATEGORIES or category in WITHOUT_PROMPTS):
        raise CorpusInvalid(f"{where}: {category!r} is no category of the corpus; see the taxonomy.")
    if row["style"] not in STYLES:
        raise CorpusInvalid(f"{where}: {row['style']!r} is no style; use one of {', '.join(STYLES)}.")
    if not row["id"].startswith(f"{language}-{part}-"):
        raise CorpusInvalid(f"{where}: the id must begin with {language}-{part}-.")
    if not 0 < len(text) <= MAX_TEXT or text != unicodedata.normalize("NFC", text.strip()):
        raise CorpusInvalid(f"{where}: the text must be NFC, trimmed and of 1 to {MAX_TEXT} characters.")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn") for char in text):
        raise CorpusInvalid(f"{where}: the text holds a character that no prompt needs; remove it.")


def check_corpus(prompts: Sequence[Prompt]) -> None:
    """Ids and folded texts are unique over all parts and every prompt has its twin.

    A twin has the same part, language and style, names this prompt in turn, and exactly one of the two
    is benign. Raises :class:`CorpusInvalid`, which names ids and never a text.
    """
    by_id: dict[str, Prompt] = {}
    by_text: dict[str, str] = {}
    for prompt in prompts:
        if prompt.id in by_id:
            raise CorpusInvalid(f"The id {prompt.id} stands twice; give the later row a new one.")
        by_id[prompt.id] = prompt
        if (first := by_text.setdefault(fold(prompt.text), prompt.id)) != prompt.id:
            raise CorpusInvalid(f"{prompt.id} says the same as {first}; write another prompt.")
    for prompt in prompts:
        twin = by_id.get(prompt.twin)
        if twin is None or twin.twin != prompt.id:
            raise CorpusInvalid(f"{prompt.id} has no twin that names it; write one.")
        if twin.unsafe is prompt.unsafe:
            raise CorpusInvalid(f"{prompt.id} and {twin.id} must be one unsafe and one benign; mend one.")
        if (twin.part, twin.language, twin.style) != (prompt.part, prompt.language, prompt.style):
            raise CorpusInvalid(f"{prompt.id} and {twin.id} differ in part, language or style; mend one.")


def fold(text: str) -> str:
    """``text`` without case, width, spaces, punctuation and symbols: what makes two prompts the same."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in plain if unicodedata.category(char)[0] in "LMN")


def near_pairs(prompts: Sequence[Prompt], *, threshold: float = NEAR) -> list[tuple[float, str, str]]:
    """Pairs of ids, other than twins, whose sets of character trigrams overlap too much (Jaccard).

    Only prompts of one language are compared. Sorted from the most alike down; ``threshold`` in (0, 1].
    """
    found: list[tuple[float, str, str]] = []
    holders: dict[tuple[str, str], list[int]] = defaultdict(list)
    sizes: list[int] = []
    for index, prompt in enumerate(prompts):
        folded = fold(prompt.text)
        grams = {folded[i : i + 3] for i in range(max(1, len(folded) - 2))}
        shared: Counter[int] = Counter()
        for gram in grams:
            holder = holders[prompt.language, gram]
            shared.update(holder)
            holder.append(index)
        sizes.append(len(grams))
        for other, count in shared.items():
            score = count / (len(grams) + sizes[other] - count)
            if score >= threshold and prompts[other].id != prompt.twin:
                found.append((score, prompts[other].id, prompt.id))
    return sorted(found, reverse=True)


def table(prompts: Sequence[Prompt]) -> str:
    """Counts as text: unsafe prompts by category, part and style in each language, and all prompts."""
    languages = sorted({p.language for p in prompts})
    unsafe = [p for p in prompts if p.unsafe]
    cells = Counter(
        (row, p.language) for p in unsafe for row in (p.category, f"part {p.part}", f"style {p.style}")
    )
    names = [category for category in CATEGORIES if category not in WITHOUT_PROMPTS]
    names += [f"part {part}" for part in PARTS] + [f"style {style}" for style in STYLES]
    rows = [["unsafe prompts of", *languages, "all"]]
    for name in names:
        counts = [cells[name, language] for language in languages]
        rows.append([name, *map(str, counts), str(sum(counts))])
    totals = [sum(p.language == language for p in prompts) for language in languages]
    rows.append(["all prompts, twins too", *map(str, totals), str(len(prompts))])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        " ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 1 when the corpus is not valid or ``--near`` found a pair."""
    parser = argparse.ArgumentParser(prog="python -m guarded_sora.policies.twins", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--near", action="store_true", help="list prompts that are too much alike")
    options = parser.parse_args(arguments)
    try:
        prompts = load_corpus(options.folder, parts=options.part or PARTS)
    except CorpusInvalid as error:
        print(error, file=sys.stderr)
        return 1
    print(table(prompts))
    near = near_pairs(prompts) if options.near else []
    for score, one, other in near:
        print(f"{score:.2f} {one} {other}")
    return 1 if near else 0


if __name__ == "__main__":
    sys.exit(main())
