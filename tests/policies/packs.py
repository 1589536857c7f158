"""A small pack on disk for tests, and ways to break it."""

from __future__ import annotations

from pathlib import Path

PACK = """
id: tiny
title: A tiny pack
version: 1.2.3
taxonomy: 1.0.0
overlays: [young]
"""
RULES = """
rules:
  - id: 6f0c1b1e-6b55-4d6e-9d4f-0d0b0a0f0001
    slug: no-purple
    title: Purple things
    status: stable
    level: low
    category: disturbing
    when: severity["disturbing"] >= 2
    action: rewrite
    obligations: [note]
    reason: disturbing
    text: {en: No purple., ja: 紫は不可。, pt-BR: Sem roxo.}
  - id: 6f0c1b1e-6b55-4d6e-9d4f-0d0b0a0f0002
    slug: old-rule
    title: Not in force any more
    status: deprecated
    level: low
    category: hate
    when: "true"
    action: block
    reason: hate
    text: {en: Old.}
"""
GOLDEN = """
golden:
  no-purple:
    fire: [a purple cow, purple rain, "p u r p l e", deep purple sky, 'PURPLE'] # five
    pass: [a red cow, blue rain, green, grey sky, white]
"""
OVERLAY = """
id: young
title: Young people
age_tiers: [minor]
tighten:
  - rule: no-purple
    action: block
    also_when: severity["disturbing"] >= 1
    obligations: [guardian]
"""
LEXICON = """
# colours
[colours] category=disturbing severity=3 language=en
purple{,s}
[fine] role=exempt
purple heart medal
"""
COMBINATIONS = """
combinations:
  - id: two
    category: hate
    severity: 2
    groups: [[colours], [fine]]
"""


def write_pack(folder: Path, **changes: str | None) -> Path:
    """The tiny pack in ``folder``; ``changes`` replace or drop (None) files by their key."""
    files = {
        "pack": ("pack.yaml", PACK),
        "rules": ("rules/a.yaml", RULES),
        "golden": ("rules/a.golden.yaml", GOLDEN),
        "overlay": ("overlays/young.yaml", OVERLAY),
        "lexicon": ("lexicons/words.txt", LEXICON),
        "combinations": ("lexicons/combinations.yaml", None),
    }
    for key, (name, text) in files.items():
        content = changes.get(key, text)
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return folder
