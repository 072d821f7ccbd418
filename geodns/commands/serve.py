"""``geodns serve``: the server."""

import logging
import os
import sys
from pathlib import Path

import click

from geodns.serve import supervisor
from geodns.serve.plan import ControlSeat, Plan, TcpLimits
from geodns.settings import Settings, load_settings
from geodns.statelock import lock_state


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings [./geodns.yaml if there]."
)
@click.option("--zones", metavar="DIR", help="The folder of zone files [zones].")
@click.option(
    "--listen", multiple=True, metavar="ADDR:PORT", help="Answer here; may be repeated [127.0.0.1:5300]."
)
@click.option("--http", metavar="ADDR:PORT", help="The HTTP side: status, metrics, control [127.0.0.1:8053].")
@click.option("--state", metavar="DIR", help="Where to keep what a restart must know [state].")
@click.option("--workers", metavar="N", help="UDP workers [one a core].")
def serve(config: Path | None, **flags: object) -> None:
    """Answer DNS for the zones in a folder.

    Prints one line, `ready: …`, when it answers. SIGTERM ends it, SIGHUP reads the zones again.
    """
    _open_standard_streams()
    settings = load_settings(config, flags, os.environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    raise click.exceptions.Exit(run(settings))


def run(settings: Settings) -> int:
    """Run the server until it is told to end; return its exit status.

    Raises:
        StartError: it cannot start.
        StoreError: the state directory cannot be used.

    """
    lock = lock_state(settings.state)
    try:
        return supervisor.run(
            Plan(
                listen=tuple((listen.host, listen.port) for listen in settings.listen),
                http=(settings.http.host, settings.http.port),
                workers=settings.worker_count,
                control=lambda seat: _control(settings, seat),
                tcp=TcpLimits(**settings.tcp.model_dump()),
            )
        )
    finally:
        os.close(lock)


def _open_standard_streams() -> None:
    """Put /dev/null where the parent has closed a standard stream: else a socket would get its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for the whole of its life
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for the whole of its life


def _control(settings: Settings, seat: ControlSeat) -> int:
    # Loaded in the forked child alone: the workers would carry it for as long as they live.
    from geodns.daemon import control  # noqa: PLC0415 - see above

    return control(settings, seat)
