"""What Prometheus reads: latencies, decisions by category, checks that did not run, queue depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from guarded_sora.policies.finding import CheckState, Decision
from guarded_sora.release import Release

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """One registry a server, so that two in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "guarded_sora_http_seconds",
            "Time to answer, by route and status.",
            ("route", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "guarded_sora_stage_seconds",
            "Time of one stage of a generation.",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._decisions = Counter(
            "guarded_sora_decisions", "Decisions by action.", ("action",), registry=self._registry
        )
        self._categories = Counter(
            "guarded_sora_findings",
            "Findings behind decisions, by category.",
            ("category", "action"),
            registry=self._registry,
        )
        self._idle = Counter(
            "guarded_sora_checks_not_run",
            "Checks that did not run, by name and state.",
            ("check", "state"),
            registry=self._registry,
        )
        self._verdicts = Counter(
            "guarded_sora_verdicts", "Verdicts on incoming clips.", ("verdict",), registry=self._registry
        )
        self._depth = Gauge(
            "guarded_sora_jobs", "Jobs that wait or are under way.", ("status",), registry=self._registry
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One HTTP answer; ``route`` is the template, never the path."""
        self._requests.labels(route, str(status)).observe(seconds)

    def released(self, release: Release) -> None:
        """A film that left the guard."""
        self._count(release.decision)
        for stage in release.stages:
            self._stages.labels(stage.name).observe(stage.seconds)
        self._not_run({check.name: check.state for check in release.checks})

    def decided(self, decision: Decision) -> None:
        """A decision that released nothing."""
        self._count(decision)
        self._not_run({check.name: check.state for check in decision.checks})

    def _count(self, decision: Decision) -> None:
        self._decisions.labels(decision.action.value).inc()
        for category in {finding.category for finding in decision.findings}:
            self._categories.labels(category, decision.action.value).inc()

    def verified(self, verdict: str) -> None:
        """A verdict on an incoming clip."""
        self._verdicts.labels(verdict).inc()

    def text(self, depth: Callable[[], Mapping[str, int]]) -> bytes:
        """Everything in Prometheus' text format."""
        for status, count in depth().items():
            self._depth.labels(status).set(count)
        return generate_latest(self._registry)

    def _not_run(self, states: Mapping[str, CheckState]) -> None:
        for name, state in states.items():
            if state is not CheckState.RAN:
                self._idle.labels(name, state.value).inc()
