import subprocess
import sys

import pytest
from click.testing import CliRunner

import geodns
from geodns.cli import main
from geodns.errors import AmbiguousError, GeodnsError, ServerError, StartError, UsageError, ZoneError

COMMANDS = (
    "serve", "check", "init", "status", "query", "probe", "drain", "undrain", "import", "export",
    "schema", "demo",
)  # fmt: skip


def run(*arguments: str) -> int:
    """Run a command line; return its exit status."""
    with pytest.raises(SystemExit) as left:
        main.main(list(arguments))
    code = left.value.code
    assert code is None or isinstance(code, int)
    return code or 0


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert run(option) == 0
    lines = capsys.readouterr().out.splitlines()
    for command in COMMANDS:
        (line,) = (line for line in lines if line.split()[:1] == [command])
        assert len(line.split()) > 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(command, "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: geodns {command} ")
    assert "--help" in shown


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"geodns, version {geodns.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["drian"], id="unknown command"),
        pytest.param(["--nonsense"], id="unknown option"),
        pytest.param(["drain"], id="argument missing"),
        pytest.param(["status", "--interval", "0"], id="value out of range"),
        pytest.param(["schema", "extra"], id="argument too many"),
    ],
)
def test_wrong_usage_is_status_2_on_standard_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(*arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("Usage: geodns")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["weight", "mta1", "abc"], "'abc' is no whole number: write 0 to 2147483647 (it stands last:"),
        (["weight", "mta1", "-1"], "No such option"),
        (["weight", "mta1", "2147483648"], "2147483648 is out of range: write 0 to 2147483647"),
        (["quarantine", "mta1", "--badness", "bad"], "'bad' is no number: write 0 to 100"),
        (["quarantine", "mta1", "--badness", "nan"], "nan is out of range: write 0 to 100"),
        (["status", "--interval", "0"], "0 is out of range: write 0.1 to 86400"),
        (["status", "--interval", "inf"], "inf is out of range: write 0.1 to 86400"),
        (["probe", "mta1", "--timeout", "3s"], "'3s' is no number: write 0.1 to 600"),
    ],
)
def test_a_wrong_number_is_told_what_to_write(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run(*arguments) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (GeodnsError("it broke"), 1),
        (StartError("it broke"), 1),
        (ServerError("it broke"), 1),
        (UsageError("it broke"), 2),
        (AmbiguousError("it broke"), 2),
        (ZoneError(()), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_of_ours_is_one_line_and_its_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: GeodnsError, status: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main, "geodns", fail)
    assert run("status") == status
    out, shown = capsys.readouterr()
    assert out == ""
    assert shown == f"geodns: {error}\n"


def test_a_fault_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "geodns", fail)
    with pytest.raises(ZeroDivisionError):
        main.main([])


def test_a_command_loads_only_what_it_needs() -> None:
    text = (
        "import sys\nfrom geodns.cli.main import main\n"
        "try:\n    main(['status', '--help'])\nexcept SystemExit:\n    pass\n"
        "loaded = [one for one in ('geodns.daemon', 'geodns.serve.supervisor', 'geodns.health.probe')\n"
        "          if one in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "geodns", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert geodns.__version__ in done.stdout


def test_drain_and_undrain_share_a_file() -> None:
    for command in ("drain", "undrain"):
        result = CliRunner().invoke(main.geodns, [command, "--help"])
        assert f"Usage: geodns {command}" in result.output
