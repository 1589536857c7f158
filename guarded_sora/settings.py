"""Settings: every one may be given as an argument or as ``GUARDED_SORA_<NAME>``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from guarded_sora.errors import UsageError

_ADDRESS = r"^https?://[^\s/?#]+[^\s]{0,180}$"


def default_home() -> Path:
    """The user's data folder, such as ``~/.local/share/guarded-sora`` on Linux."""
    return Path(user_data_path("guarded-sora"))


class Deadlines(BaseSettings):
    """Seconds after which a stage is abandoned. ``GUARDED_SORA_DEADLINE_GENERATE=900`` and so on."""

    model_config = SettingsConfigDict(env_prefix="GUARDED_SORA_DEADLINE_", frozen=True, extra="forbid")

    check: float = Field(default=10.0, gt=0, description="one prompt or frame check")
    parse: float = Field(default=60.0, gt=0, description="one answer of the media worker")
    load: float = Field(default=300.0, gt=0, description="loading the generator")
    generate: float = Field(default=1800.0, gt=0, description="making the frames")
    mark: float = Field(default=600.0, gt=0, description="embedding or reading the mark")
    encode: float = Field(default=600.0, gt=0, description="writing the film")
    sign: float = Field(default=120.0, gt=0, description="signing")
    record: float = Field(default=60.0, gt=0, description="store and log")


class Timestamps(BaseSettings):
    """The timestamp authority (RFC 3161): ``GUARDED_SORA_TIMESTAMP_URL=...`` and so on."""

    model_config = SettingsConfigDict(env_prefix="GUARDED_SORA_TIMESTAMP_", frozen=True, extra="forbid")

    url: str | None = Field(default=None, pattern=_ADDRESS)
    anchors: Path | None = Field(default=None, description="its root, PEM; beside the list for time")
    attempts: int = Field(default=3, ge=1, le=10)
    pause: float = Field(
        default=0.5, ge=0, le=60, description="seconds before the second attempt, then doubled"
    )
    timeout: float = Field(default=5.0, gt=0, le=60, description="seconds for an answer")
    when_down: Literal["refuse", "hold", "sign_without"] = Field(
        default="refuse", description="nothing is signed; it waits for a person; it is released and says so"
    )


class Signing(BaseSettings):
    """Who signs instead of the key under ``home``: ``GUARDED_SORA_SIGNER_KIND=remote`` and so on.

    ``kind`` is ``file``, ``remote`` (a service at ``url``), or the name of an installed plug-in. ``chain`` is
    the PEM of the service's certificates, leaf first; ``root`` an authority that signs for this installation
    alone. Of a public authority give no root: its list is there, and each leaf is remembered as ours.
    """

    model_config = SettingsConfigDict(env_prefix="GUARDED_SORA_SIGNER_", frozen=True, extra="forbid")

    kind: str = "file"
    url: str | None = Field(default=None, pattern=_ADDRESS)
    token: SecretStr = SecretStr("")
    chain: Path | None = None
    root: Path | None = None
    algorithm: Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"] = "es256"


class OperatorWord(BaseSettings):
    """What no file shows and the laws ask for: ``GUARDED_SORA_OPERATOR_DETECTOR_URL=...`` and so on.

    It is counted for films of this installation only. None takes the stricter reading.
    """

    model_config = SettingsConfigDict(env_prefix="GUARDED_SORA_OPERATOR_", frozen=True, extra="forbid")

    detector_url: str = Field(default="", pattern=f"^$|{_ADDRESS}", description="the free public detector")
    placed: date | None = Field(default=None, description="the day the system came on the market")
    notice: bool = Field(default=False, description="users are told beforehand that the service uses AI")
    looks_real: bool | None = Field(default=None, description="what is made could be taken for real")
    artistic: bool | None = Field(default=None, description="what is made is evidently art or satire")


class Settings(BaseSettings):
    """Everything an operator may choose; the defaults work on one machine with no set-up."""

    model_config = SettingsConfigDict(env_prefix="GUARDED_SORA_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    database_url: str | None = Field(default=None, repr=False)  # may hold a password
    pack: Path | None = None
    backend: str = "builtin"
    reader: Path | None = (
        None  # a trained reader of prompts for the built-in generator, instead of its grammar
    )
    reader_model: Path | None = None  # folder of the language model that the reader was trained on
    fast: bool = False  # the built-in generator's distilled base model, less exact
    organisation: str = "Guarded Sora installation"
    mark_psnr: float = Field(default=42.0, ge=30.0, le=60.0)
    encode_crf: int = Field(default=18, ge=0, le=40)
    preview: bool = True
    libraries: tuple[Path, ...] = ()  # folders of films in which notices look for copies
    detectors: tuple[str, ...] = ()
    detector_cards: tuple[Path, ...] = ()
    backbones: tuple[Path, ...] = ()  # folders of large detectors of synthetic films, each with its card
    synthetic_alpha: float = Field(default=0.05, gt=0, lt=1)  # share of real films put up for review
    synthetic_prior: float | None = Field(default=None, gt=0, lt=1)  # share of synthetic films uploaded
    prompt_checks: tuple[str, ...] = ()
    index_prompts: bool = False  # words of prompts, in clear, in the log's search index; erasable
    sinks: tuple[str, ...] = ()  # forms of export that installed packages bring
    prompt_cards: tuple[Path, ...] = ()
    mark_readers: tuple[Path, ...] = ()  # cards of readers of others' marks
    ocsp_hosts: tuple[str, ...] = ()
    remote_hosts: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    deadlines: Deadlines = Field(default_factory=Deadlines)
    timestamp: Timestamps = Field(default_factory=Timestamps)
    signer: Signing = Field(default_factory=Signing)
    operator: OperatorWord = Field(default_factory=OperatorWord)

    @property
    def held(self) -> Path:
        """Where finished films wait for a reviewer."""
        return self.home / "held"

    @property
    def clips(self) -> Path:
        """Where released films lie when the caller names no path."""
        return self.home / "clips"

    @property
    def trust(self) -> Path:
        """Where installed trust lists lie."""
        return self.home / "trust"

    @property
    def work(self) -> Path:
        """Temporary files of generations under way."""
        return self.home / "work"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with ``overrides`` (None means "not given") on top.

    Raises:
        UsageError: a value that cannot be used; the message names the setting, not the value.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise UsageError(f"A setting cannot be used as given: {problems}.") from None
