"""Prompt expansion: saying in full what a short prompt leaves open, before a film is made of it.

Two expanders share one protocol: a deterministic grammar that completes a prompt to the built-in
generator's own captions, and any causal language model in a local folder. What an expander says is
text like any other: the guard checks it as it checks a prompt, and keeps to the user's own words
where the expansion would be decided more strictly.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from guarded_sora.errors import BackendUnavailable
from guarded_sora.generation.hush import hushed
from guarded_sora.generation.reading import FOLLOWED, read_prompt, read_words
from guarded_sora.generation.vocabulary import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    NATURAL,
    SYNONYMS,
)

WHERE = {
    "beach": "over a sandy beach",
    "night": "in the night sky",
    "meadow": "over a green meadow",
    "sunset": "against the sunset sky",
    "snow": "over a snowy field",
    "sea": "in the deep blue sea",
}
LONGEST = 600
"""Characters of an expansion; what a model says beyond is cut at a word."""
FACTS = ("object", "colour", "background", "style", "camera")
"""Kinds of concepts that a model's expansion must still name where the prompt names them."""


@runtime_checkable
class PromptExpander(Protocol):
    """What others may implement. ``expand`` returns the prompt itself where it has nothing to add."""

    @property
    def name(self) -> str: ...

    def expand(self, prompt: str, *, seed: int) -> str: ...


class GrammarExpander:
    """Completes a prompt to a caption of the built-in generator's world; the seed draws what is open."""

    name = "grammar"

    def expand(self, prompt: str, *, seed: int) -> str:
        """For example "a balloon" becomes "a green balloon rising over a sandy beach".

        A prompt that names nothing the generator knows, or more than it knows, or leaves nothing open, stays
        as it is.
        """
        reading = read_prompt(prompt)
        thing = reading.named("object")
        if thing is None or not reading.in_domain:  # a caption of what was understood would hide the rest
            return prompt
        draw = random.Random(seed)
        colour = reading.named("colour") or draw.choice(COLOURS)
        place = reading.named("background") or draw.choice(BACKGROUNDS)
        if reading.named("object2"):
            return prompt if reading.named("background") else f"{prompt.rstrip(' .,;')} {WHERE[place]}"
        motion = reading.named("motion") or draw.choice(FOLLOWED if reading.named("camera") else MOTIONS)
        tinted = thing not in NATURAL
        if (
            reading.named("background")
            and reading.named("motion")
            and (reading.named("colour") or not tinted)
        ):
            return prompt
        noun = SYNONYMS[f"object:{thing}"][0]
        described = f"{SYNONYMS[f'colour:{colour}'][0]} {noun}" if tinted else noun
        article = "an" if described[0] in "aeiou" else "a"
        said = [f"{kind}:{reading.named(kind)}" for kind in ("style", "camera") if reading.named(kind)]
        ending = "".join(f", {SYNONYMS[name][0]}" for name in said)
        return f"{article} {described} {SYNONYMS[f'motion:{motion}'][0]} {WHERE[place]}{ending}"


class ModelExpander:
    """A causal language model from a local folder; safetensors only, its own code is never run.

    A model that was trained to be talked to is asked through its own chat template.

    Raises:
        BackendUnavailable: no such folder, no safetensors, or transformers is not installed.
    """

    INSTRUCTION = (
        "Rewrite the description of a short film as one sentence that says what is seen, where, how it moves "
        "and in what light. Keep every fact.\nDescription: {prompt}\nSentence:"
    )

    def __init__(self, folder: str | Path, *, tokens: int = 80) -> None:
        folder = Path(folder).expanduser()
        if not folder.is_dir() or not any(folder.glob("*.safetensors")):
            raise BackendUnavailable(
                "There is no language model of safetensors in that folder; name one, or expand by 'grammar'."
            )
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise BackendUnavailable(
                "Expanding with a model needs torch and transformers; install guarded-sora[generate]."
            ) from error
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
            with hushed():
                loaded: Any = AutoModelForCausalLM.from_pretrained(
                    folder, use_safetensors=True, dtype=torch.float32, **options
                )
            self._model: Any = loaded.eval()
        except Exception as error:
            raise BackendUnavailable(
                f"The language model could not be loaded ({type(error).__name__}); check that it is whole."
            ) from error
        self._tokens = tokens
        self.name = f"model:{folder.name}"

    def expand(self, prompt: str, *, seed: int) -> str:
        """The model's first line, greedily, so that a seed changes nothing.

        The prompt itself where the line says no more than the prompt, or has lost something of it.
        """
        import torch

        asked = self._ask(prompt[:LONGEST])
        with torch.no_grad():
            out = self._model.generate(
                **asked, max_new_tokens=self._tokens, do_sample=False,
                pad_token_id=self._tokenizer.eos_token_id or 0,
            )  # fmt: skip
        said = self._tokenizer.decode(out[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        line = said.strip().partition("\n")[0].strip()
        if len(line) > LONGEST:
            line = line[:LONGEST].rpartition(" ")[0] or line[:LONGEST]
        return line if _adds(prompt, line) else prompt

    def _ask(self, prompt: str) -> Any:
        """Tokens of the instruction. What ends a turn of the chat is no word of a prompt."""
        prompt = prompt.encode("utf-8", "replace").decode()  # a lone surrogate is no text to a tokenizer
        for token in sorted(self._tokenizer.all_special_tokens, key=len, reverse=True):
            prompt = prompt.replace(token, " ")
        asked = self.INSTRUCTION.format(prompt=prompt)
        if self._tokenizer.chat_template is None:
            return self._tokenizer(asked, return_tensors="pt")
        said = [{"role": "user", "content": asked}]
        return self._tokenizer.apply_chat_template(
            said, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )


def _adds(prompt: str, line: str) -> bool:
    """Whether a model's line says more than the prompt and keeps what the generator knows of it."""
    asked, said = read_words(prompt), read_words(line)
    facts = {(word.kind, word.name) for word in asked if word.kind in FACTS}
    more = [word.text for word in said] != [word.text for word in asked]
    return bool(said) and more and facts <= {(word.kind, word.name) for word in said}


def load_expander(spec: str | Path | PromptExpander) -> PromptExpander:
    """``"grammar"``, the folder of a language model, or an expander as it is.

    Raises:
        BackendUnavailable: nothing of that name can be loaded.
    """
    if isinstance(spec, str | Path):
        return GrammarExpander() if str(spec) == "grammar" else ModelExpander(spec)
    return spec
