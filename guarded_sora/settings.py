"""Settings: every one may be given as an argument or as ``GUARDED_SORA_<NAME>``."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from guarded_sora.errors import UsageError


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


class Settings(BaseSettings):
    """Everything an operator may choose; the defaults work on one machine with no set-up."""

    model_config = SettingsConfigDict(env_prefix="GUARDED_SORA_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    database_url: str | None = Field(default=None, repr=False)  # may hold a password
    pack: Path | None = None
    backend: str = "builtin"
    organisation: str = "Guarded Sora installation"
    mark_psnr: float = Field(default=42.0, ge=30.0, le=60.0)
    encode_crf: int = Field(default=18, ge=0, le=40)
    preview: bool = True
    detectors: tuple[str, ...] = ()
    detector_cards: tuple[Path, ...] = ()
    prompt_checks: tuple[str, ...] = ()
    deadlines: Deadlines = Field(default_factory=Deadlines)

    @property
    def held(self) -> Path:
        """Where finished films wait for a reviewer."""
        return self.home / "held"

    @property
    def clips(self) -> Path:
        """Where released films lie when the caller names no path."""
        return self.home / "clips"

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
