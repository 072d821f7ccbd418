"""``geodns serve``: the server."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import geodns
from geodns import logs
from geodns.config.route_keys import RoutesListen
from geodns.config.settings import KEYS, Settings, load_settings
from geodns.config.settings_files import SettingsFiles
from geodns.errors import GeodnsError, SettingsError, StartError
from geodns.model.providers import PROVIDERS
from geodns.serve import privileges, supervisor
from geodns.serve.child_call import call_in_child
from geodns.serve.handover import Handover, Program, take_handover
from geodns.serve.plan import ControlContext, RoutesListener, RoutesPlan, ServePlan, TcpLimits
from geodns.serve.process import entitle
from geodns.serve.rehearsal import PASSED
from geodns.serve.systemd import Given, Notifier, take_sockets
from geodns.serve.takeover import insist, take_over, this_program
from geodns.storage.formats import FORMATS
from geodns.storage.lock import StateLock, lock_state, make_state_directory

log = logging.getLogger(__name__)

PROGRAM = tuple(Path(module.__file__ or "").parent for module in (geodns, click, os))
"""Folders of modules that the processes load when they are started: ours, libraries, Python's."""


def _setting(key: str, metavar: str = "", *, multiple: bool = False) -> Callable[[Any], Any]:
    """Return the flag of a setting, in the words of the table of settings."""
    known = KEYS[key]
    says = f"{known.says}{' May be repeated.' if multiple else ''} [{known.default}]"
    metavar = metavar or "|".join(known.kind.schema["enum"])
    return click.option(f"--{key.replace('_', '-')}", multiple=multiple, metavar=metavar, help=says)


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="The settings. [./geodns.yaml if there]"
)
@_setting("zones", "DIR")
@_setting("listen", "ADDR:PORT", multiple=True)
@_setting("http", "ADDR:PORT")
@_setting("state", "DIR")
@_setting("workers", "N")
@_setting("user", "NAME")
@_setting("group", "NAME")
@_setting("log_format")
@_setting("log_level")
@click.option("--rehearse", is_flag=True, hidden=True)
def serve(config: Path | None, *, rehearse: bool, **flags: object) -> None:
    """Answer DNS for the zones in a folder.

    Prints one line, `ready: …`, when it answers. SIGTERM ends it, SIGHUP reads the zones again.
    """
    _open_standard_streams()
    if rehearse:
        raise click.exceptions.Exit(_rehearse(config, flags))
    handover = take_over(os.environ)
    given = take_sockets(os.environ)
    notifier = Notifier(os.environ)
    program = this_program(geodns.__version__)
    files = _files(handover)

    def prepared() -> tuple[ServePlan, StateLock]:
        settings = load_settings(config, flags, os.environ, files.read)
        logs.configure(settings.log_format, settings.log_level)
        for one in settings.routes_listen:
            if not one.loopback:
                log.warning("routes_listen: whoever reaches %s may ask there: let only your MTAs", one)
        return prepare(settings, files, given, notifier, program, handover)

    umask = os.umask(0)
    os.umask(umask)
    try:
        if handover is None:
            plan, lock = prepared()
        else:
            plan, lock = insist(prepared, handover, program, notifier.environ)
        with contextlib.closing(lock):
            status = supervisor.run(plan)
    except SettingsError:
        raise
    except GeodnsError as error:
        logs.tell(error)
        status = error.status
    finally:
        os.umask(umask)
    raise click.exceptions.Exit(status)


def _rehearse(config: Path | None, flags: Mapping[str, object]) -> int:
    """Try a start beside the server that runs; return the exit status, 1 after a line about what is wrong."""
    logs.configure("text", "error")
    try:
        handover = take_handover(os.environ)
        settings = load_settings(config, flags, os.environ, _files(handover).read)
        from geodns.cli.rehearsal import rehearse as try_start  # noqa: PLC0415 - what control loads, for it alone

        try_start(settings, handover, _routes(settings))
    except GeodnsError as error:
        logs.tell(error)
        return 1
    except (ImportError, SyntaxError) as error:
        logs.tell(StartError(f"this program is not whole: {error}: install it into a new venv"))
        return 1
    except FileNotFoundError:
        if _has_directory():
            raise
        logs.tell(
            StartError(
                "the directory in which the server was started is gone, and paths in its settings begin "
                "there: restart it elsewhere, or with absolute paths"
            )
        )
        return 1
    click.echo(f"{PASSED}{os.getpid()}")
    return 0


def _has_directory() -> bool:
    """Say whether the working directory is still there."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _files(handover: Handover | None) -> SettingsFiles:
    return SettingsFiles({} if handover is None else {Path(p): one for p, one in handover.secrets.items()})


def prepare(
    settings: Settings,
    files: SettingsFiles,
    given: tuple[Given, ...],
    notifier: Notifier,
    program: Program,
    handover: Handover | None,
) -> tuple[ServePlan, StateLock]:
    """Return what the supervisor needs, and the lock of the state; from here on files are the user's alone.

    Args:
        settings: its own.
        files: that they were read from.
        given: sockets that systemd has opened.
        notifier: to systemd.
        program: that runs.
        handover: from the program before; None: a plain start.

    Raises:
        StartError: it cannot start.
        StoreError: the state directory cannot be used.

    """
    identity = privileges.find(settings.user, settings.group)
    if identity is not None:
        privileges.make_directory(settings.state, identity)
    else:
        make_state_directory(settings.state)
    os.umask(0o077)
    lock = _lock(settings, identity) if handover is None else StateLock(*handover.locks)
    with privileges.acting_as(identity):
        secrets = files.kept()
    entitle("supervisor")
    plan = ServePlan(
        listen=tuple((listen.host, listen.port) for listen in settings.listen),
        http=(settings.http.host, settings.http.port),
        workers=settings.worker_count,
        control=lambda context: _control(settings, context),
        tcp=TcpLimits(**settings.tcp.model_dump()),
        routes=_routes(settings),
        given=given,
        identity=identity,
        notifier=notifier,
        secrets=secrets,
        state=settings.state,
        locks=lock.descriptors,
        program=replace(program, formats=FORMATS),
        handover=handover,
        check_way_back=lambda earlier: _way_back(settings, earlier, "check_way_back"),
        give_back=lambda earlier: _way_back(settings, earlier, "give_back"),
    )
    return plan, lock


def _routes(settings: Settings) -> RoutesPlan:
    """Return what the routes worker needs of the settings, and of the providers known by their domains."""
    return RoutesPlan(
        tuple(_routes_listener(one) for one in settings.routes_listen),
        {domain: provider.name for provider in PROVIDERS for domain in provider.domains},
        frozenset((settings.node, socket.gethostname())),
    )


def _routes_listener(one: RoutesListen) -> RoutesListener:
    place = one.listen.absolute() if isinstance(one.listen, Path) else (one.listen.host, one.listen.port)
    return RoutesListener(place, one.zone or "", one.self_host or "", one.mode)


def _lock(settings: Settings, identity: privileges.Identity | None) -> StateLock:
    """Lock the state directory, as the user that will write there."""
    with privileges.acting_as(identity):
        if identity is not None:
            read_later = (settings.zones, settings.cookie_secret_file, *settings.geoip)
            privileges.require_readable((*PROGRAM, *filter(None, read_later)), identity)
            privileges.require_writable(settings.state, identity)
        return lock_state(settings.state)


def _open_standard_streams() -> None:
    """Put /dev/null where the parent has closed a standard stream: else a socket would get its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for the whole of its life
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for the whole of its life


def _way_back(settings: Settings, earlier: Program, what: str) -> str:
    """Call one of `storage.going_back` in a child; return why the earlier program cannot have its state."""

    def work() -> str:
        from geodns.storage import going_back  # noqa: PLC0415 - as below

        try:
            getattr(going_back, what)(settings.state, earlier.formats)
        except GeodnsError as error:
            return str(error)
        return ""

    return call_in_child("the way back", work)


def _control(settings: Settings, context: ControlContext) -> int:
    # Loaded in the forked child alone, else every worker would hold its memory.
    from geodns.daemon import control  # noqa: PLC0415 - see above

    return control(settings, context)
