"""What the documents show is true: every YAML loads, every link leads somewhere, every option exists.

The commands are run by `tests/integration/test_readme.py`.
"""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from geodns.cli import main
from geodns.config.settings import load_settings
from geodns.zonefile.reader import parse_zone, read_zones, zone_files
from tests import reference

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *PAGES]
MOST_LINES = 150
"""Of the README: who meets geodns reads all of it; everything else has a page in docs/."""

EXIM = shutil.which("exim4") or shutil.which("exim")
IN_A_CONTAINER = r"^(?:podman|docker|kubectl) .*(?: exec \S+|/zones:ro|--) geodns (.+)"
LANGUAGE = re.compile(r"^```(\S*)\n.*?^```", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[tuple[str, str]]:
    """Every fenced block of a language in the documents, with a name for the test."""
    return [
        (f"{document.name}:{document.read_text()[: found.start()].count(chr(10)) + 1}", found[1])
        for document in DOCUMENTS
        for found in re.finditer(
            rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE
        )
    ]


def is_settings(text: str) -> bool:
    return text.startswith("# geodns.yaml")


def commands() -> list[str]:
    """Every geodns command in the documents' shell blocks and sentences, without the path to it."""
    lines = [line for _, text in blocks("sh") for line in text.splitlines()]
    shown = [line.partition("geodns ")[2] for line in lines if re.match(r"(\.venv/bin/)?geodns ", line)]
    shown += re.findall(IN_A_CONTAINER, "\n".join(lines), re.MULTILINE)
    said = [one for document in DOCUMENTS for one in re.findall(r"`geodns ([^`]+)`", document.read_text())]
    return list(dict.fromkeys(shown + said))


def anchors(document: Path) -> set[str]:
    """What a link can name in a document: its headings, in the way of GitHub."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("name", "text"), [pytest.param(*block, id=block[0]) for block in blocks("yaml")])
def test_every_yaml_loads_without_a_remark(name: str, text: str, tmp_path: Path) -> None:
    if is_settings(text):
        (tmp_path / "geodns.yaml").write_text(text.replace("/etc/geodns/", ""))
        for file in ("token", "shared"):
            (tmp_path / file).write_text("secret-of-all-servers\n")
        assert load_settings(tmp_path / "geodns.yaml", {}, {}).node
    else:
        parsed = parse_zone("out.example.com", text.encode(), name)
        assert parsed.zone is not None
        # The shortest zone leaves its MX out on purpose: it shows what the minimum is.
        assert not [problem for problem in parsed.problems if "implicit MX" not in str(problem)]


def test_the_documents_show_zones_and_settings() -> None:
    found = [is_settings(text) for _, text in blocks("yaml")]
    assert found.count(True) >= 1
    assert found.count(False) >= 2


def test_the_sample_zone_has_no_problem() -> None:
    parsed = read_zones(zone_files([ROOT / "zones"]))
    assert parsed
    assert [one.problems for one in parsed.values()] == [()] * len(parsed)


@pytest.mark.parametrize("line", commands())
def test_every_command_and_option_exists(line: str) -> None:
    words = line.split()
    context = click.Context(main.geodns)
    command = main.geodns.get_command(context, words[0])
    assert command is not None
    if isinstance(command, click.Group) and words[1:2] and words[1] in command.commands:
        command = command.commands[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", document.read_text())
    files = [(document.parent / path if path else document, anchor) for path, anchor in links]
    assert [file for file, _ in files if not file.exists()] == []
    assert [(file.name, name) for file, name in files if name and name not in anchors(file)] == []


def test_the_readme_is_short_and_names_every_page() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert [page.name for page in PAGES if f"](docs/{page.name})" not in text] == []


def test_every_page_has_one_title() -> None:
    prose = {
        page.name: re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for page in PAGES
    }
    assert {
        name: len(re.findall("^# ", text, re.MULTILINE)) for name, text in prose.items()
    } == dict.fromkeys(prose, 1)


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_pages_made_from_the_tables_of_keys_are_up_to_date(path: Path) -> None:
    assert path.read_text() == reference.pages()[path], f"docs/{path.name} is stale: run `make reference`"


def test_every_target_of_make_and_every_module_exists() -> None:
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|=\d+ )make ([\w-]+)", text, re.MULTILINE))
    assert {"run", "run-two", "test", "check"} <= named <= targets
    modules = re.findall(r"python -m ((?!venv)[\w.]+)", text)
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    assert [path for path in re.findall(r"pytest (tests/\S+\.py)", text) if not (ROOT / path).is_file()] == []


def test_the_service_is_installed_as_the_unit_says() -> None:
    shown = [text for _, text in blocks("sh") if text.startswith("install ")]
    units = [re.search(r"deploy/\S+", text) for text in shown]
    assert {unit[0] for unit in units if unit} == {"deploy/geodns.service", "deploy/geodns-follow.service"}
    for text, unit in zip(shown, units, strict=True):
        assert unit
        said = (ROOT / unit[0]).read_text()
        assert [line for line in text.splitlines() if f"#   {line}\n" not in said] == []
        assert [file for file in re.findall(r"deploy/\S+", text) if not (ROOT / file).is_file()] == []


def test_the_architecture_names_files_that_there_are() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    named = re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", text)
    assert len(named) > 20
    places = (ROOT / "geodns", ROOT)
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_every_block_is_of_a_language_that_is_checked() -> None:
    found = {language for document in DOCUMENTS for language in LANGUAGE.findall(document.read_text())}
    assert found <= {
        "sh",
        "yaml",
        "toml",
        "text",
        "unbound",
        "main.cf",
        "postfix",
        "exim",
        "ansible",
        "kubernetes",
    }


@pytest.mark.skipif(
    shutil.which("unbound-checkconf") is None, reason="no unbound here: apt-get install unbound"
)
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("unbound")])
def test_unbound_takes_every_configuration(text: str, tmp_path: Path) -> None:
    file = tmp_path / "unbound.conf"
    file.write_text(f'server:\n  chroot: ""\n  username: ""\n  directory: "{tmp_path}"\n{text}')
    checked = subprocess.run(["unbound-checkconf", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("ansible")])
def test_every_playbook_is_one(text: str) -> None:
    plays = yaml.safe_load(text)
    tasks = [task for play in plays for task in play["tasks"]]
    assert all(play.keys() == {"hosts", "tasks"} for play in plays)
    modules = [key for task in tasks for key in task if key.startswith("ansible.builtin.")]
    assert modules == ["ansible.builtin.command", "ansible.builtin.copy"]
    assert all("name" in task for task in tasks)


@pytest.mark.skipif(shutil.which("postconf") is None, reason="no Postfix here: apt-get install postfix")
@pytest.mark.parametrize(
    "text", [pytest.param(text, id=name) for name, text in blocks("(?:main.cf|postfix)")]
)
def test_postfix_knows_every_setting(text: str) -> None:
    names = [line.partition(" =")[0] for line in text.splitlines()]
    known = subprocess.run(["postconf", "-d", *names], capture_output=True, text=True, check=False)
    assert [line.partition(" =")[0] for line in known.stdout.splitlines()] == names, known.stderr


@pytest.mark.skipif(EXIM is None, reason="no Exim here: apt-get install exim4")
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("exim")])
def test_exim_takes_every_router(text: str, tmp_path: Path) -> None:
    file = tmp_path / "exim.conf"
    transport = "begin transports\nremote_smtp:\n  driver = smtp\n"
    file.write_text(f"keep_environment =\ndomainlist local_domains =\nbegin routers\n{text}{transport}")
    checked = subprocess.run(
        [str(EXIM), "-C", str(file), "-bV"], capture_output=True, text=True, timeout=20, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_unit_of_follow_reads_what_its_environment_says() -> None:
    unit = (ROOT / "deploy/geodns-follow.service").read_text()
    assert re.findall(r"/opt/geodns/bin/(geodns .*)", unit) == ["geodns follow $FOLLOW"]
    given = dict(
        line.split("=", 1)
        for line in (ROOT / "deploy/follow.environment").read_text().splitlines()
        if not line.startswith("#")
    )
    assert given.keys() == {"GEODNS_SERVER", "GEODNS_TOKEN", "FOLLOW"}
    context = click.Context(main.geodns)
    command = main.geodns.get_command(context, "follow")
    assert command is not None
    words = {parameter.envvar for parameter in command.params}
    assert {"GEODNS_SERVER", "GEODNS_TOKEN", "GEODNS_FOLLOW_STATE"} <= words
    parsed = command.make_context("follow", given["FOLLOW"].split(), resilient_parsing=True).params
    assert parsed["files"] == ("/var/log/mail.log",)


def test_the_unit_file_serves_the_commands_that_exist() -> None:
    text = (ROOT / "deploy/geodns.service").read_text()
    used = re.findall(r"/opt/geodns/bin/geodns (\w+)", text)
    assert used == ["serve"]
    assert re.findall(r"GEODNS_\w+=(\S+)", text)[0] == "0.0.0.0:53,[::]:53"
