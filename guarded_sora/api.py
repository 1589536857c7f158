"""GuardedSora: the public face, thin over Services and the three ways through the guard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from guarded_sora.cases import release_case
from guarded_sora.errors import UsageError
from guarded_sora.evidence import Verdict
from guarded_sora.guard import generate
from guarded_sora.policies.finding import Decision, RequestContext
from guarded_sora.policy_check import check_text
from guarded_sora.progress import Progress
from guarded_sora.prompts import PromptRequest
from guarded_sora.protect import protect
from guarded_sora.release import Release
from guarded_sora.services import Services, open_services
from guarded_sora.settings import load_settings
from guarded_sora.verification import Depth, verify


class GuardedSora:
    """A guarded text-to-video pipeline.

    >>> sora = GuardedSora.open()                                   # doctest: +SKIP
    >>> release = sora.generate("a red balloon rising over a sandy beach", seconds=2)  # doctest: +SKIP
    >>> sora.verify(release.path).verdict                           # doctest: +SKIP
    <VerdictName.OURS_INTACT: 'ours_intact'>
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._closed = False

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        home, issuer = self._services.settings.home, self._services.keys.issuer
        return f"GuardedSora(home={str(home)!r}, issuer={issuer}{state})"

    @property
    def services(self) -> Services:
        """What this installation is made of.

        Raises:
            UsageError: it was closed.
        """
        if self._closed:
            raise UsageError("This GuardedSora is closed; open it again with GuardedSora.open(...).")
        return self._services

    @classmethod
    def open(
        cls,
        *,
        home: str | Path | None = None,
        backend: Any = None,
        database_url: str | None = None,
        **settings: Any,
    ) -> GuardedSora:
        """Open an installation, making its keys and database on first use.

        Args:
            home: folder of keys, log and store; default the user's data folder.
            backend: any diffusers video pipeline object, any callable ``request -> frames``, a local
                checkpoint folder or a hub id; default the built-in generator.
            database_url: SQLAlchemy URL; default SQLite under ``home``.
            **settings: any field of :class:`guarded_sora.settings.Settings`.

        Raises:
            UsageError, KeyMissing, StoreError: each with one sentence on what to do.
        """
        chosen = load_settings(
            home=Path(home) if home is not None else None, database_url=database_url, **settings
        )
        return cls(open_services(chosen, backend=backend))

    def generate(
        self,
        prompt: str,
        *,
        seconds: float = 2.0,
        size: tuple[int, int] | None = None,
        seed: int | None = None,
        image: str | Path | None = None,
        video: str | Path | None = None,
        until: str | Path | None = None,
        loop: bool = False,
        mask: str | Path | None = None,
        profile: tuple[str, ...] = (),
        expand: str = "",
        output: str | Path | None = None,
        context: RequestContext | None = None,
        progress: Progress | None = None,
    ) -> Release:
        """Make one film of ``prompt``: checked, marked, signed and logged.

        It begins with ``image`` or goes on from ``video``, and ends with ``until`` (a picture or a film) or,
        with ``loop``, where it began. With ``mask`` (a picture, light where) ``video`` is made anew.

        Raises:
            Blocked: the policy refused; ``decision`` says by which rules.
            ReviewRequired: a person must look first; ``case_id`` names the case.
            UsageError, MediaError: input that cannot be used.
            StageFailed: a stage failed; nothing was released.
        """
        request = PromptRequest(
            prompt=prompt,
            seconds=seconds,
            size=size,
            seed=seed,
            image=_path(image),
            video=_path(video),
            until=_path(until),
            loop=loop,
            mask=_path(mask),
            profile=profile,
            expand=expand,
        )
        (release,) = generate(
            self.services, request, context or RequestContext(), output=_path(output), progress=progress
        )
        return release

    def protect(
        self,
        source: str | Path,
        *,
        prompt: str,
        output: str | Path | None = None,
        source_type: str | None = None,
        profile: tuple[str, ...] = (),
        context: RequestContext | None = None,
        progress: Progress | None = None,
    ) -> Release:
        """Guard a film that another generator made; raises as :meth:`generate` does."""
        return protect(
            self.services,
            Path(source),
            prompt,
            context or RequestContext(),
            output=_path(output),
            source_type=source_type,
            profile=profile,
            progress=progress,
        )

    def verify(
        self,
        path: str | Path,
        *,
        depth: Depth = "full",
        laws: tuple[str, ...] = (),
        rubric: bool = False,
        progress: Progress | None = None,
    ) -> Verdict:
        """Say of any film what can be said: whose it is, whether it is whole, which seconds.

        ``laws`` (eu, us-ca, cn, in, kr) are checked clause by clause; see ``Verdict.rules``.
        """
        return verify(self.services, Path(path), depth=depth, laws=laws, rubric=rubric, progress=progress)

    def check(self, prompt: str, *, context: RequestContext | None = None) -> Decision:
        """What the policy would decide on these words, without generating or logging anything."""
        return check_text(
            self.services.policy, self.services.prompt_checks, prompt, context or RequestContext()
        )

    def release_case(
        self, case_id: str, *, output: str | Path | None = None, progress: Progress | None = None
    ) -> Release:
        """Release what a reviewer allowed: the held film, or the film of a held request."""
        return release_case(self.services, case_id, output=_path(output), progress=progress)

    def close(self) -> None:
        """Sign a last checkpoint and let go of worker and database; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._services.close()

    def __enter__(self) -> GuardedSora:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)
