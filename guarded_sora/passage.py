"""Passage: one request on its way through the guard, with everything that is known of it so far."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.errors import AuditError
from guarded_sora.consent import Consents, read_consents
from guarded_sora.errors import Blocked, GuardedSoraError, MediaError, StageFailed, StoreError
from guarded_sora.history import actor_counters
from guarded_sora.policies.finding import Action, CheckRun, Decision, Finding, Modality, RequestContext
from guarded_sora.progress import Progress
from guarded_sora.records import check_entry, context_entry, decision_entry
from guarded_sora.services import Services
from guarded_sora.stages import ReleaseToken, StageRunner
from guarded_sora.work_folders import WorkFolder


class Passage:
    """Work folder, stage runner, release token and log of one request.

    The token stays here and is spent by :mod:`guarded_sora.finish` alone; no stage sees it.
    ``intent_id``: a UUID the caller chose beforehand, so that it can find the outcome in the log
    even if this process does not live to report it.
    """

    def __init__(
        self,
        services: Services,
        context: RequestContext,
        progress: Progress,
        *,
        intent_id: str | None = None,
    ) -> None:
        self.services = services
        self.progress = progress
        self.token = ReleaseToken()
        self.runner = StageRunner(worker=services.worker, token=self.token)
        self.actor = services.keys.pseudonym("actor", context.actor)
        self.tenant = services.keys.pseudonym("tenant", context.tenant)
        self.context = context
        self.intent_id = intent_id or uuid7()
        self.findings: tuple[Finding, ...] = ()
        self.checks: tuple[CheckRun, ...] = ()
        self.shadow_words: tuple[Finding, ...] = ()
        self._folder: WorkFolder | None = None
        self._names: dict[str, str] = {}
        self._consents: Consents | None = None

    @property
    def consents(self) -> Consents:
        """The live consents among the request's tokens, read once.

        Raises:
            StoreError: the database refused.
        """
        if self._consents is None:
            services = self.services
            self._consents = read_consents(
                services.registry_keys, services.grants, services.keys.issuer, self.context, self.actor
            )
        return self._consents

    # -- the log

    def write(
        self,
        kind: str,
        body: Mapping[str, Any],
        *,
        payload: bytes | None = None,
        searchable: bool = False,
        id: str = "",
    ) -> int:
        """Append one event about this request and return its sequence number.

        Raises:
            StoreError: the log did not take it; the caller must release nothing.
        """
        event = Event(
            kind=kind,
            actor=self.actor,
            subject=self.intent_id,
            body={"tenant": self.tenant, **body},
            id=id or uuid7(),
            payload=payload,
            searchable=searchable,
            owner=self.actor,
        )
        try:
            return self.services.log.append([event])[0].seq
        except AuditError as error:
            raise StoreError(f"The log did not take the record, so nothing was released: {error}") from error

    def begin(self, what: str, body: Mapping[str, Any], prompt: str) -> None:
        """Record the intent before anything is done; the prompt goes into the erasable payload."""
        self.stage(
            "audit_intent",
            self.write,
            f"{what}.intent",
            {**body, "prompt_commitment": self.services.keys.commit(prompt)},
            payload=prompt.encode("utf-8", "replace"),
            searchable=self.services.settings.index_prompts,
            id=self.intent_id,
            deadline=self.services.settings.deadlines.record,
        )

    def count_history(self) -> None:
        """Give the policy what the log knows of this actor from before this request."""
        log, cases = self.services.log, self.services.cases
        try:
            known = actor_counters(log, cases, self.actor, now=time.time_ns() // 1_000_000)
        except AuditError as error:
            raise StoreError(f"The log could not be read, so nothing was made: {error}") from error
        known["actor.requests_24h"] = max(0, known["actor.requests_24h"] - 1)  # this one's own intent
        counters = {**self.context.counters, **known}
        self.context = replace(self.context, counters=counters)

    def fail(self, error: GuardedSoraError) -> None:
        """Record that nothing came of the request, naming the stage and the checks that failed."""
        stage = error.stage if isinstance(error, StageFailed) else self._last_stage()
        body = {
            "stage": stage,
            "code": error.code,
            "reason": str(error)[:500] if isinstance(error, StageFailed) else error.code,
            "checks": [check_entry(check) for check in self.runner.checks],
            "stages": self.stage_entries(),
        }
        # The failure may be the log's own; the caller gets the first error either way.
        with suppress(GuardedSoraError):
            self.write("request.failed", body)

    # -- decisions

    def decide(self) -> Decision:
        """Judge all findings and checks so far, over prompt, pictures and frames together."""
        decision = self.services.policy.decide(self.findings, self.context, self.checks)
        if self.services.shadow is None:
            return decision
        seen = tuple(finding for finding in self.findings if finding.modality is not Modality.PROMPT)
        # A pack on trial has no effect, not even by failing.
        with suppress(Exception):
            tried = self.services.shadow.policy.decide((*self.shadow_words, *seen), self.context, self.checks)
            return replace(decision, shadow=tried)
        return decision

    def note(self, findings: Sequence[Finding], checks: Sequence[CheckRun]) -> None:
        """Add what a group of checks saw and how each of them went."""
        self.findings += tuple(findings)
        self.checks += tuple(checks)

    def refuse(self, decision: Decision) -> None:
        """Stop where the decision says so, with a record. A rewrite that was not made is a refusal.

        Raises:
            Blocked: the decision is ``block``, or ``rewrite`` and nobody rewrote.
        """
        if decision.action in (Action.BLOCK, Action.REWRITE):
            seq = self.write("request.blocked", self.outcome(decision))
            raise Blocked(decision, audit_seq=seq)

    def outcome(self, decision: Decision, **more: Any) -> dict[str, Any]:
        """The body of an outcome event."""
        return {
            **decision_entry(decision),
            "context": context_entry(self.context),
            "stages": self.stage_entries(),
            **more,
        }

    # -- stages

    def stage(
        self, name: str, function: Callable[..., Any], *args: Any, deadline: float, **kwargs: Any
    ) -> Any:
        """Run a stage of our own code under its deadline, telling whoever watches."""
        self.progress.stage(name)
        return self.runner.run(name, function, *args, deadline=deadline, **kwargs)

    def stage_entries(self) -> list[dict[str, Any]]:
        """Stages so far for the log, in microseconds."""
        return [{"name": stage.name, "us": round(stage.seconds * 1e6)} for stage in self.runner.stages]

    def _last_stage(self) -> str:
        return self.runner.stages[-1].name if self.runner.stages else "start"

    # -- work folder

    def file(self, name: str) -> Path:
        """A path in this request's own work folder; no stage knows the output path."""
        if self._folder is None:
            work = self.services.settings.work
            try:
                self._folder = WorkFolder.make(work, "passage-")
            except OSError as error:
                raise StoreError(
                    f"No work folder could be made under {work} ({error.strerror}); free or unlock it."
                ) from error
        return self._folder.path / name

    def keep(self, source: Path, name: str) -> Path:
        """A copy of a caller's file that nobody can exchange between the checks and the use.

        Raises:
            MediaError: it cannot be read, or there is no room for the copy.
        """
        suffix = source.suffix if source.suffix.isascii() and len(source.suffix) <= 8 else ""
        copy = self.file(f"{name}{suffix}")
        try:
            if not source.is_file():
                raise MediaError(f"{source} is not a file; check the path.")
            shutil.copyfile(source, copy)
        except OSError as error:
            raise MediaError(f"{source} cannot be read ({error.strerror}); check the path.") from error
        self._names[str(copy)] = str(source)
        return copy

    def named(self, error: MediaError) -> MediaError:
        """``error`` with the caller's own file names instead of those of our copies."""
        text = str(error)
        for copy, source in self._names.items():
            text = text.replace(copy, source)
        return MediaError(text)

    def close(self) -> None:
        """Remove the work folder; whatever was released or held has left it."""
        self.token.revoke("the request is over")
        if self._folder is not None:
            self._folder.close()
