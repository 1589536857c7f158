"""Requests nobody would think of, made from the OpenAPI document: no 5xx, no undocumented status."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from guarded_sora import GuardedSora
from guarded_sora.server.app import create_app
from guarded_sora.server.options import ServerOptions
from tests.guarded_sora.conftest import Painter

# ``make soak`` asks for more; a handful an operation keeps ``make test`` quick.
EXAMPLES = int(os.environ.get("GUARDED_SORA_EXAMPLES", "2"))


@pytest.mark.slow
def test_every_operation_answers_as_documented(tmp_path: Path) -> None:
    with GuardedSora.open(home=tmp_path / "home", backend=Painter()) as sora:
        # The pool does not run: what is accepted waits, and most is refused for want of sense.
        app = create_app(sora.services, ServerOptions(queue=3))
        key = app.state.server.access.issue("fuzz", ["admin"])
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        names = []
        for found in schema.get_all_operations():
            operation = found.ok()
            names.append(operation.label)
            _fuzz(operation, {"authorization": f"Bearer {key}"})
    assert len(names) > 20, names


def _fuzz(operation: Any, headers: dict[str, str]) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def ask(case: Any) -> None:
        response = case.call(headers=headers)
        case.validate_response(response, checks=[not_a_server_error, status_code_conformance])

    ask()
