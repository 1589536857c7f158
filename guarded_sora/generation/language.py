"""Reading a prompt by its meaning: a text encoder and a small head in the place of the grammar.

What the head reads is said again in the plain words of the generator's own world and goes through the
grammar, so that both ways of reading obey the same rules and warn in the same words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from guarded_sora.errors import BackendUnavailable
from guarded_sora.generation.expansion import WHERE
from guarded_sora.generation.reading import Reading, read_prompt
from guarded_sora.generation.vocabulary import CONCEPTS, SYNONYMS

if TYPE_CHECKING:
    from guarded_sora.generation.models.language import SlotHead, TextStates

FACTS = "reader.json"


class PromptReader(Protocol):
    """What reads prompts for the pipeline. ``known``: see ``guarded_sora.generation.reading.read_prompt``."""

    @property
    def name(self) -> str: ...

    def read(self, prompt: str, *, known: int = len(CONCEPTS)) -> Reading: ...


class GrammarReader:
    """The default: the closed vocabulary, longest known phrase first. Needs no weights."""

    name = "grammar"

    def read(self, prompt: str, *, known: int = len(CONCEPTS)) -> Reading:
        return read_prompt(prompt, known=known)


def plain_caption(found: Mapping[str, str]) -> str:
    """The plainest words for concepts by kind; the grammar reads them back to these concepts.

    For example {"object": "kite", "colour": "red", "background": "snow"} is "red kite over a snowy field".
    A relation without a second object, and a second object without a relation, are not said.
    """

    def first(kind: str) -> str:
        # The second object and its colour have the words of the first.
        return SYNONYMS[f"{kind.removesuffix('2')}:{found[kind]}"][0] if found.get(kind) else ""

    words = [first("colour"), first("object")]
    if found.get("object") and found.get("object2") and found.get("relation"):
        words += [first("relation"), first("colour2"), first("object2")]
    words += [first("motion"), WHERE[found["background"]] if found.get("background") else ""]
    said = " ".join(filter(None, words))
    return ", ".join(filter(None, (said, first("style"), first("camera"))))


class LanguageReader:
    """Reads prompts through a text encoder and its head; the same prompt is always read the same."""

    def __init__(self, states: TextStates, head: SlotHead) -> None:
        self._states, self._head = states, head.eval()
        self.name = f"language:{states.name}"

    def found(self, prompt: str) -> dict[str, str]:
        """The concept of each kind that the head reads, and "outside" where it sees more than the world."""
        import torch

        from guarded_sora.generation.models.language import SLOTS

        with torch.no_grad():
            slots = self._head(*self._states([prompt]))
        names = {
            kind: SLOTS[kind][int(logits[0].argmax())] for kind, logits in zip(SLOTS, slots, strict=True)
        }
        return {kind: name for kind, name in names.items() if name}

    def read(self, prompt: str, *, known: int = len(CONCEPTS)) -> Reading:
        """What the prompt asks for; ``in_domain`` as the head and the grammar's rules see it."""
        from guarded_sora.generation.models.language import CHARACTERS, OUTSIDE

        found = self.found(prompt)
        reading = read_prompt(plain_caption(found), known=known)
        warnings = list(reading.warnings)
        if OUTSIDE in found:
            warnings.append(
                "The prompt seems to ask for more than the generator learned; the rest had no effect."
            )
        if len(prompt) > CHARACTERS:
            warnings.append("The prompt is longer than the generator reads; only its beginning was used.")
        return replace(reading, in_domain=not warnings, warnings=tuple(warnings))


def model_digest(folder: str | Path) -> str:
    """SHA-256 (hex) over the safetensors directly in a folder, in the order of their names."""
    whole = hashlib.sha256()
    for path in sorted(Path(folder).expanduser().glob("*.safetensors")):
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def load_reader(trained: str | Path, model: str | Path | None = None) -> LanguageReader:
    """The reader that ``python -m guarded_sora.training.language`` left in the folder ``trained``.

    ``model``: folder of the language model that it was trained on; None where it has its own table.

    Raises:
        BackendUnavailable: something is missing, cannot be read, or the model is another one.
    """
    trained = Path(trained).expanduser()
    try:
        facts = json.loads((trained / FACTS).read_text())
        wanted, layers = facts["model_sha256"], facts["layers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackendUnavailable(
            "There is no trained reader in that folder; train one: python -m guarded_sora.training.language."
        ) from error
    try:
        from guarded_sora.generation.models.language import LanguageStates, SlotHead, SpellingStates
    except ImportError as error:
        raise BackendUnavailable(
            "Reading with a model needs torch and diffusers; install guarded-sora[generate]."
        ) from error
    states: TextStates
    if wanted is not None and (model is None or model_digest(model) != wanted):
        raise BackendUnavailable(
            "This reader was trained on another language model; name the folder of the one it was trained on."
        )
    try:
        head = SlotHead.from_pretrained(trained / "head", local_files_only=True, use_safetensors=True)
        if wanted is None:
            table = trained / "spelling"
            states = SpellingStates.from_pretrained(table, local_files_only=True, use_safetensors=True)
    except Exception as error:
        raise BackendUnavailable(
            f"The trained reader cannot be read ({type(error).__name__}); train it again."
        ) from error
    if wanted is not None:
        assert model is not None
        states = LanguageStates(model, layers=layers)
    return LanguageReader(states, head)
