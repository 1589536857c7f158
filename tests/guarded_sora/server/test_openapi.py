"""Requests nobody would think of, made from the OpenAPI document: no 5xx, no undocumented status."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import status_code_conformance

from guarded_sora import GuardedSora
from guarded_sora.server.app import create_app
from guarded_sora.server.options import ServerOptions
from tests.guarded_sora.conftest import Painter

# ``make soak`` asks for more; a handful an operation keeps ``make test`` quick.
EXAMPLES = int(os.environ.get("GUARDED_SORA_EXAMPLES", "4"))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home: Path = tmp_path_factory.mktemp("openapi")
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        # The pool does not run: what is accepted waits, and most is refused for want of sense.
        app = create_app(sora.services, ServerOptions(queue=3))
        app.state.key = app.state.server.access.issue("fuzz", ["admin"])
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_every_operation_answers_as_documented(case: Any) -> None:
    headers = {"authorization": f"Bearer {case.operation.schema.app.state.key}"}
    response = case.call(headers=headers)
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance])
