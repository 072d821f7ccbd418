"""An upgrade in the running supervisor: a rehearsal, control's leaving, then another program in this process.

The way back from a program that took over and failed is the same without a rehearsal. The supervisor's loop
calls `turn`. Nothing here waits but for a child that looks at, or gives back, the files of an earlier format.
"""

import contextlib
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from geodns.serve.frames import UpgradeBegins, UpgradeEnded
from geodns.serve.handover import HANDOVER, Handover, Program, seal
from geodns.serve.plan import ServePlan
from geodns.serve.process import SIGNALS
from geodns.serve.processes import ServerProcesses
from geodns.serve.program_files import fingerprint
from geodns.serve.rehearsal import RehearsalChild
from geodns.serve.upgrade_socket import UpgradeClient, UpgradeRequest, UpgradeStep

log = logging.getLogger(__name__)

CONTROL_LEAVES = 10.0
"""Seconds that control may take to finish what it is at, and to leave."""

FLUSHED = 2.0
"""Seconds in which workers take what was sent to them last."""

NEWBORN_END = 5.0
"""Seconds that the workers of a program that failed may take to end."""


@dataclass
class Departure:
    """A program that is to take this one's place, and how far that has come.

    Attributes:
        target: the program.
        client: who asked; None: nobody is to be told.
        begun: when it was asked for, by `time.monotonic`.
        back: whether it was asked for by ``--back``.
        going_back: why this program is given up; empty: this is an upgrade.
        failed_step: in which it failed.
        step: so far.
        due: when the present step has had its time.

    """

    target: Program
    client: UpgradeClient | None
    begun: float
    back: bool = False
    going_back: str = ""
    failed_step: str = ""
    step: UpgradeStep = UpgradeStep.REHEARSAL
    due: float = 0.0


class Upgrades:
    """Upgrades of this process, one at a time.

    Attributes:
        earlier: program that can be gone back to.
        departure: under way; None: none is.

    """

    def __init__(
        self,
        plan: ServePlan,
        earlier: Program | None,
        selector: selectors.BaseSelector,
        processes: ServerProcesses,
        refusal: Callable[[], str],
        handover: Callable[[Departure], Handover],
        noticed: Callable[[], Iterable[int]],
    ) -> None:
        """Prepare for requests.

        Args:
            plan: of the server.
            earlier: see above.
            selector: of the supervisor's loop.
            processes: of the server.
            refusal: returns why no upgrade can begin now; empty: it can.
            handover: returns all that the next program gets.
            noticed: takes the signals that came and were not handled yet.

        """
        self.earlier = earlier
        self.departure: Departure | None = None
        self._plan = plan
        self._program = plan.program
        self._selector = selector
        self._processes = processes
        self._server_refusal = refusal
        self._handover = handover
        self._noticed = noticed
        self._rehearsal: RehearsalChild | None = None

    # --- what the supervisor asks -----------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When to call `turn` at the latest."""
        return None if self.departure is None else self.departure.due

    # --- the beginning ----------------------------------------------------------------------------------

    def ask(self, request: UpgradeRequest, client: UpgradeClient | None) -> None:
        """Begin what is asked for, or say why not."""
        target = self._target(request)
        why = target if isinstance(target, str) else self._refusal()
        if isinstance(target, str) or why:
            log.error("no upgrade: %s", why)
            if client is not None:
                client.say(failed=why, step=UpgradeStep.REHEARSAL, serving=self._program.version)
                client.close()
            return
        self.departure = departure = Departure(target, client, time.monotonic(), back=request.back)
        log.info("upgrade to %s: rehearsal", target.path)
        self._say(step=UpgradeStep.REHEARSAL)
        try:
            self._rehearsal = RehearsalChild(target, self._handover(departure), self._selector, self._said)
        except OSError as error:
            self.fail(f"{target.path} cannot be started: {error.strerror}")
            return
        departure.due = self._rehearsal.due

    def _target(self, request: UpgradeRequest) -> Program | str:
        """Return the program that is asked for, or what is wrong with it."""
        own = self._program
        if request.back:
            if self.earlier is None:
                return "there was no upgrade: there is no program to go back to"
            if _has_changed(self.earlier):
                return f"the program before ({self.earlier.path}) is gone or was changed"
            return self._plan.check_way_back(self.earlier) or self.earlier.as_started()
        path = request.program or own.path
        if not path:
            return "it is not known with which program this server was started: give --program"
        if not os.path.isabs(path) or not os.access(path, os.X_OK) or os.path.isdir(path):  # noqa: PTH112, PTH117 - texts
            return (
                f"{path} is no program that the server's user (uid {os.getuid()}) may run: let it read and "
                "run all of the new venv, or give another path, such as /opt/geodns-2/bin/geodns"
            )
        return Program("", path, own.args if request.args is None else request.args)

    def _refusal(self) -> str:
        if self.departure is not None:
            return "another upgrade is under way"
        if _has_changed(self._program):
            return (
                "the files of the running version were changed in place, and it may have to go on with them: "
                "install the new version into a venv of its own, and restart this once"
            )
        return self._server_refusal()

    def turn_back(
        self, handover: Handover, client: UpgradeClient | None, why: str, step: UpgradeStep
    ) -> None:
        """Give this program up for the one that handed over to it."""
        log.error("upgrade: %s: back to version %s", why, handover.writer.version)
        self.departure = Departure(
            handover.writer.as_started(),
            client,
            handover.begun,
            going_back=why,
            failed_step=step,
            step=UpgradeStep.WORKERS,
            due=time.monotonic() + NEWBORN_END,
        )
        self._processes.giving_up = True
        self._signal_workers(signal.SIGTERM)

    # --- the steps --------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Go on as far as it goes now."""
        departure = self.departure
        if departure is None:
            return
        now = time.monotonic()
        if self._rehearsal is not None and not self._rehearsed(self._rehearsal, departure, now):
            return
        if departure.step is UpgradeStep.WORKERS:
            if any(slot.pid is not None for slot in self._processes.workers):
                if now >= departure.due:
                    departure.due = now + NEWBORN_END
                    self._signal_workers(signal.SIGKILL)
                return
            self._dismiss_control(departure, now)
        if self._processes.control.pid is not None:
            if now >= departure.due:
                log.error("upgrade: control did not leave in time: killed")
                self._processes.control.signal(signal.SIGKILL)
                departure.due = now + FLUSHED
            return
        if self._processes.unsent() and now < departure.due:
            departure.due = min(departure.due, now + FLUSHED)
            return
        self._replace(departure)

    def _rehearsed(self, rehearsal: RehearsalChild, departure: Departure, now: float) -> bool:
        """Say whether the rehearsal has ended well."""
        why = rehearsal.verdict(now)
        if why is None:
            return False
        self._end_rehearsal()
        if why:
            self.fail(why)
            return False
        self._dismiss_control(departure, now)
        return True

    def _dismiss_control(self, departure: Departure, now: float) -> None:
        departure.step = UpgradeStep.HANDOVER
        departure.due = now + (NEWBORN_END if departure.going_back else CONTROL_LEAVES)
        if not departure.going_back:
            self._say(step=departure.step)
        self._processes.leaving = True
        self._processes.tell(UpgradeBegins())

    def _signal_workers(self, number: signal.Signals) -> None:
        for slot in self._processes.workers:
            slot.signal(number)

    def _replace(self, departure: Departure) -> None:
        """Have the other program take over here; come back only where that cannot be started."""
        why = ""
        if departure.back or departure.going_back:
            why = self._plan.give_back(departure.target)
            if why:
                log.error("upgrade: the files of before cannot be given back: %s", why)
        if not why or departure.going_back:
            environ = self._plan.notifier.environ
            error = replace_program(departure.target, self._handover(departure), environ, self._noticed)
            why = f"{departure.target.path} cannot be started: {error}"
        self._processes.go_on()
        self.fail(why)

    # --- the end ----------------------------------------------------------------------------------------

    def fail(self, why: str) -> None:
        """Tell that it has failed, and that this program goes on."""
        assert self.departure is not None
        departure, self.departure = self.departure, None
        log.error(
            "upgrade to %s failed, version %s goes on: %s", departure.target.path, self._program.version, why
        )
        step, why = departure.failed_step or departure.step, departure.going_back or why
        if departure.client is not None:
            departure.client.say(failed=why, step=step, serving=self._program.version)
            departure.client.close()
        self._processes.tell_end(UpgradeEnded(self._program.version, why, step))

    def stop(self) -> None:
        """Give up what is under way: the server ends."""
        if self._rehearsal is not None:
            self._end_rehearsal()
        if self.departure is not None:
            self.fail("the server was told to end")

    def leave(self) -> None:
        """Let go of everything in a child."""
        if self._rehearsal is not None:
            self._rehearsal.leave()
        if self.departure is not None and self.departure.client is not None:
            self.departure.client.socket.close()

    def _end_rehearsal(self) -> None:
        assert self._rehearsal is not None
        self._rehearsal.end()
        self._rehearsal = None

    def _said(self, line: str) -> None:
        log.info("rehearsal: %s", line)
        self._say(said=line)

    def _say(self, **words: str) -> None:
        if self.departure is not None and self.departure.client is not None:
            self.departure.client.say(**words)


def _has_changed(program: Program) -> bool:
    return bool(program.fingerprint) and fingerprint(program.package) != program.fingerprint


def replace_program(
    program: Program,
    handover: Handover,
    environ: Mapping[str, str],
    noticed: Callable[[], Iterable[int]] = tuple,
) -> str:
    """Execute another program in this process, with all that is handed over.

    Signals wait until it handles them, those of `noticed` too: that came and were not handled yet.

    Returns:
        Why it cannot be started; everything is as it was before.

    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    opened: list[int] = []
    for number in noticed():
        signal.raise_signal(number)
    try:
        sealed = seal(handover)
        opened = [sealed, *handover.descriptors()]
        with contextlib.suppress(OSError):  # whoever read them may be gone
            sys.stdout.flush()
            sys.stderr.flush()
        for one in opened:
            os.set_inheritable(one, True)
        variables = os.environ | environ | {HANDOVER: str(sealed)}
        os.execve(program.path, [program.path, "serve", *program.args], variables)  # noqa: S606 - see `RehearsalChild`
    except (OSError, ValueError) as error:
        for one in opened:
            with contextlib.suppress(OSError):
                os.set_inheritable(one, False)
        if opened:
            os.close(opened[0])
        return getattr(error, "strerror", None) or str(error)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    raise AssertionError
