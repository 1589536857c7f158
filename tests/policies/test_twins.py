"""The corpus of own prompts holds what its card says, and its reader refuses what does not fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from guarded_sora.policies.errors import CorpusInvalid
from guarded_sora.policies.finding import RequestContext
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.packfiles import DEFAULT_PACK
from guarded_sora.policies.taxonomy import CATEGORIES
from guarded_sora.policies.text.check import LexiconCheck
from guarded_sora.policies.twins import (
    COLUMNS,
    CORPUS,
    PARTS,
    STYLES,
    WITHOUT_PROMPTS,
    Prompt,
    check_corpus,
    fold,
    load_corpus,
    main,
    near_pairs,
    table,
)

HEADER = "\t".join(COLUMNS) + "\n"
PAIR = (
    "en-train-001\ttrain\tviolence.act\ten-train-001b\ten\tcaption\ta man hits a stranger\n"
    "en-train-001b\ttrain\tbenign\ten-train-001\ten\tcaption\ta man greets a stranger\n"
)


@pytest.fixture(scope="module")
def corpus() -> tuple[Prompt, ...]:
    return load_corpus()


def written(folder: Path, text: str | bytes, name: str = "en.train.tsv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_every_unsafe_prompt_has_a_twin(corpus: tuple[Prompt, ...]) -> None:
    by_id = {prompt.id: prompt for prompt in corpus}
    assert len(by_id) == len(corpus)
    assert all(by_id[p.twin].category == "benign" for p in corpus if p.unsafe)
    assert sum(p.unsafe for p in corpus) * 2 == len(corpus)


def test_no_prompt_of_one_part_stands_in_another(corpus: tuple[Prompt, ...]) -> None:
    folded = {part: {fold(p.text) for p in corpus if p.part == part} for part in PARTS}
    assert not folded["train"] & folded["test2"]
    assert not folded["train"] & folded["validation"]
    assert not folded["validation"] & folded["test2"]


def test_no_two_prompts_are_nearly_the_same(corpus: tuple[Prompt, ...]) -> None:
    assert near_pairs(corpus) == []


def test_categories_languages_and_styles_are_all_there(corpus: tuple[Prompt, ...]) -> None:
    unsafe = [p for p in corpus if p.unsafe]
    parts = {p.part for p in corpus}
    assert parts == set(PARTS)
    for part in PARTS:
        wanted = set(CATEGORIES) - set(WITHOUT_PROMPTS)
        if part == "test2":  # hidden words are measured by attacks on other prompts, not by rows of this part
            wanted -= {"evasion"}
        assert {p.category for p in unsafe if p.part == part} == wanted
        assert {p.style for p in unsafe if p.part == part} == set(STYLES)
    assert {(p.language, p.part) for p in unsafe} == {(p.language, part) for p in unsafe for part in parts}


def test_style_and_length_do_not_tell_unsafe_from_benign(corpus: tuple[Prompt, ...]) -> None:
    by_id = {p.id: p for p in corpus}
    longer = sum(len(p.text) > len(by_id[p.twin].text) for p in corpus if p.unsafe)
    assert 0.35 < longer * 2 / len(corpus) < 0.65


def test_nothing_in_it_touches_the_rule_about_minors(corpus: tuple[Prompt, ...]) -> None:
    check = LexiconCheck(load_pack(DEFAULT_PACK))
    context = RequestContext(age_tier="adult", region="US")
    touched = [
        p.id for p in corpus if any(f.category == "sexual.minors" for f in check.check(p.text, context))
    ]
    assert touched == []
    # The check itself must be able to see one.
    probe = check.check("a guardtestminor in a guardtestsexual film", context)
    assert any(f.category == "sexual.minors" for f in probe)


def test_only_the_parts_that_were_asked_for_are_read(corpus: tuple[Prompt, ...]) -> None:
    part = load_corpus(parts=("train", "validation"))
    assert {p.part for p in part} == {"train", "validation"}
    counts = Counter(p.part for p in corpus)
    assert len(part) == counts["train"] + counts["validation"]


def test_the_card_names_the_part_of_every_file() -> None:
    card = (CORPUS / "README.md").read_text()
    for path in CORPUS.glob("*.tsv"):
        assert f"`{path.name}`" in card, path.name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "header", id="empty"),
        pytest.param("id\ttext\n", "header", id="other columns"),
        pytest.param(HEADER, "holds no prompts", id="no rows"),
        pytest.param(HEADER + PAIR.rstrip(), "ends inside a line", id="cut off"),
        pytest.param(HEADER + PAIR + "\n", "1 fields", id="blank line"),
        pytest.param(HEADER + PAIR.replace("\tcaption\t", "\ttags\t"), "no style", id="style"),
        pytest.param(HEADER + PAIR.replace("violence.act", "violence.none"), "no category", id="category"),
        pytest.param(HEADER + PAIR.replace("violence.act", "sexual.minors"), "no category", id="left out"),
        pytest.param(HEADER + PAIR.replace("\ttrain\t", "\ttest2\t"), "file's name", id="part"),
        pytest.param(HEADER + PAIR.replace("en-train-001", "fr-train-001"), "must begin", id="id"),
        pytest.param(HEADER + PAIR.replace("a man hits a stranger", ""), "1 to", id="no text"),
        pytest.param(HEADER + PAIR.replace("hits", "h\u00adi\x07ts"), "no prompt needs", id="control"),
        pytest.param(HEADER + PAIR.replace("hits", "x" * 601), "1 to", id="long"),
        pytest.param(HEADER + PAIR + PAIR, "stands twice", id="id twice"),
        pytest.param(HEADER + PAIR + PAIR.replace("-001", "-002"), "says the same", id="text twice"),
        pytest.param(HEADER + PAIR.splitlines(keepends=True)[0], "no twin", id="no twin"),
        pytest.param(HEADER + PAIR.replace("benign", "hate"), "one unsafe and one benign", id="both unsafe"),
        pytest.param(HEADER + PAIR.replace("caption\ta man g", "chat\ta man g"), "differ", id="twin style"),
        pytest.param(b"\xff\xfe\x00", "not UTF-8", id="not text"),
        pytest.param(b"x" * (4 * 1024 * 1024 + 1), "larger", id="huge"),
    ],
)
def test_a_broken_corpus_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(CorpusInvalid, match=says):
        load_corpus(written(tmp_path, text))


def test_a_file_that_names_no_part_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusInvalid, match="checkout"):
        load_corpus(tmp_path / "none")
    with pytest.raises(CorpusInvalid, match="names no part"):
        load_corpus(written(tmp_path, HEADER + PAIR, "en.tsv"))
    with pytest.raises(CorpusInvalid, match="no part of the corpus"):
        load_corpus(tmp_path, parts=("dev",))  # type: ignore[arg-type]


def test_the_same_text_in_two_parts_is_refused(tmp_path: Path) -> None:
    written(tmp_path, HEADER + PAIR)
    test_part = PAIR.replace("train", "test2").replace("a man hits a stranger", "A man, hits a STRANGER!")
    written(tmp_path, HEADER + test_part.replace("greets", "thanks"), "en.test2.tsv")
    with pytest.raises(CorpusInvalid, match="en-train-001 says the same as en-test2-001"):
        load_corpus(tmp_path)


def test_near_pairs_sees_a_changed_word_and_not_twins(tmp_path: Path) -> None:
    more = PAIR.replace("-001", "-002").replace("hits a", "hits one").replace("greets", "paints")
    prompts = load_corpus(written(tmp_path, HEADER + PAIR + more))
    assert next((one, other) for _, one, other in near_pairs(prompts)) == ("en-train-001", "en-train-002")
    assert near_pairs(prompts[:2]) == []
    check_corpus(prompts)


def test_the_command_prints_counts_and_fails_on_near_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, HEADER + PAIR)
    assert main([str(tmp_path), "--near"]) == 0
    assert capsys.readouterr().out.rstrip() == table(load_corpus(tmp_path))
    more = PAIR.replace("-001", "-002").replace("hits a", "hits one").replace("greets", "paints")
    written(tmp_path, HEADER + PAIR + more)
    assert main([str(tmp_path), "--near"]) == 1
    assert "en-train-001 en-train-002" in capsys.readouterr().out
    assert main([str(tmp_path / "none")]) == 1
    assert "checkout" in capsys.readouterr().err
