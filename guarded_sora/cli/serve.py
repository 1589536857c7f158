"""``guarded-sora serve``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import chosen, state_options
from guarded_sora.errors import UsageError

if TYPE_CHECKING:
    from guarded_sora.api import GuardedSora
    from guarded_sora.settings import Settings


def _open(settings: Settings) -> GuardedSora:
    """The installation, around a server of films where the backend is an address."""
    from guarded_sora.api import GuardedSora
    from guarded_sora.generation.backends.server import ServerBackend
    from guarded_sora.services import open_services

    remote = settings.backend.startswith(("http://", "https://"))
    upstream = ServerBackend(settings.backend) if remote else None
    return GuardedSora(open_services(settings, backend=upstream))


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, envvar="GUARDED_SORA_SERVE_HOST")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, envvar="GUARDED_SORA_SERVE_PORT"
)
@click.option(
    "--backend",
    envvar="GUARDED_SORA_BACKEND",
    help="Generator: a name, a folder, or the URL of a /v1/videos server to guard.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Films at once.")
@click.option(
    "--queue", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Films that may wait."
)
@click.option(
    "--upload-mib",
    type=click.IntRange(1, 16_384),
    default=512,
    show_default=True,
    help="Largest clip that /v1/verify and /check take.",
)
@click.option(
    "--public-url",
    default="",
    envvar="GUARDED_SORA_PUBLIC_URL",
    help="The address clients see, such as https://video.example; with https, cookies are secure.",
)
@click.option("--quiet", "-q", is_flag=True, envvar="GUARDED_SORA_QUIET", help="No line for each request.")
@state_options
def command(
    host: str,
    port: int,
    backend: str | None,
    workers: int,
    queue: int,
    upload_mib: int,
    public_url: str,
    quiet: bool,
    settings: Settings,
) -> int:
    """Serve /v1/videos, /v1/verify, the reviewers' console and the public check page.

    The first start prints a one-time link that makes the first administrator's key.
    """
    try:
        import uvicorn

        from guarded_sora.server.app import create_app
        from guarded_sora.server.options import ServerOptions
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Serving needs {error.name}; install it with: pip install 'guarded-sora[server]'."
        ) from error
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("guarded_sora.server").setLevel(logging.WARNING if quiet else logging.INFO)
    options = ServerOptions(
        host=host, port=port, workers=workers, queue=queue, upload_mib=upload_mib, public_url=public_url
    )
    with _open(chosen(settings, backend=backend)) as sora:
        app = create_app(sora.services, options)
        token = app.state.server.access.first_link()
        if token is not None:
            click.echo(
                "No administrator's key exists yet. Open this link within the hour; it works once:\n"
                f"  {options.base_url}/console/welcome#{token}",
                err=True,
            )
        uvicorn.run(
            app,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            # A client that sends its headers a byte a minute must not hold a connection.
            timeout_keep_alive=15,
            limit_concurrency=512,
            h11_max_incomplete_event_size=64 * 1024,
        )
    return OK
