"""The policy for KumoMTA, run by a Lua interpreter where the calls of KumoMTA are stubs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from geodns.cli.generate.kumomta import kumomta
from geodns.cli.generate.plan import Asked, Plan, plan_of
from geodns.config.server_keys import Listen
from geodns.errors import GeodnsError
from geodns.model.routes import HeaderSign, MailClass, RouteRule
from tests.cli.generate.plans import BULK, FAST, LAST, ON_PORT, planned, routed

LUA = shutil.which("lua5.4") or shutil.which("lua")
STUB = Path(__file__).with_name("kumo_stub.lua")

runs = pytest.mark.skipif(LUA is None, reason="no Lua here: apt-get install lua5.4")


def run(plan: Plan, script: str, folder: Path) -> str:
    """Load the stub and the lines, run a script after them, and return what it prints."""
    init, module = kumomta(plan)
    assert module.where == "/opt/kumomta/etc/policy/geodns_routes.lua"
    (folder / "geodns_routes.lua").write_text(module.text)
    (folder / "all.lua").write_text(
        f"package.path = '{folder}/?.lua'\n{STUB.read_text()}\n{init.text}\n{script}"
    )
    done = subprocess.run(
        [str(LUA), folder / "all.lua"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ANSWER = (
    "{ status = 200, body = { name = 'gmail.out.example.com', transport = "
    "'relay:[mta2.out.example.com]:25, [gmail.out.example.com]:25' } }"
)


@runs
def test_the_name_of_the_answer_is_the_routing_domain(tmp_path: Path) -> None:
    run(
        planned(),
        f"""
        local domain, asked, warning = receive {{
          recipient = 'ann@gmail.com', sender = 'news@shop.example', login = 'shop',
          from = '[2001:db8::7]:40000', data = 'four',
          headers = {{ precedence = {{ 'normal', ' LIST ' }} }}, reply = {ANSWER} }}
        is(domain, 'gmail.out.example.com')
        is(warning, nil)
        is(asked.zone, 'out.example.com')
        is(asked.recipient, 'ann@gmail.com')
        is(asked.sender, 'news@shop.example')
        is(asked.class, 'bulk')
        is(asked.client, '2001:db8::7')
        is(asked.sasl, 'shop')
        is(asked.size, 4)
        """,
        tmp_path,
    )


@runs
def test_mail_that_has_no_route_is_left_alone(tmp_path: Path) -> None:
    run(
        planned(local=("example.com", "*.example.org", "b?d.example")),
        f"""
        local none = {{ status = 200, body = {{ transport = NULL }} }}
        is(receive {{ recipient = 'a@b.example', reply = none }}, nil)
        for _, own in ipairs {{ 'a@Example.com', 'a@x.example.org', 'a@bad.example' }} do
          local domain, asked = receive {{ recipient = own, reply = {ANSWER} }}
          is(domain, nil)
          is(asked, nil)
        end
        for _, other in ipairs {{ 'a@sub.example.com', 'a@example.org', 'a@example-com', 'a@bd.example' }} do
          is(receive {{ recipient = other, reply = {ANSWER} }}, 'gmail.out.example.com')
        end
        """,
        tmp_path,
    )


@runs
@pytest.mark.parametrize(
    "reply", ["nil", "{ status = 503, body = {} }", "{ status = 404, body = {} }", "{ status = 200 }"]
)
def test_while_geodns_is_away(reply: str, tmp_path: Path) -> None:
    run(
        planned(),
        f"""
        local function goes(headers)
          local given = {{ recipient = 'a@b.example', headers = headers, reply = {reply} }}
          local domain, _, warning = receive(given)
          assert(string.find(warning, 'the static way', 1, true))
          return domain
        end
        is(goes {{}}, 'out.example.com')
        is(goes {{ ['x-class'] = {{ 'tx' }} }}, 'fast.out.example.com')
        is(goes {{ ['list-unsubscribe'] = {{ '<x>' }} }}, 'bulk.out.example.com')
        is(goes {{ ['x-odd'] = {{ 'yes' }} }}, 'out.example.com')
        is(goes {{ ['x-class'] = {{ 'txx' }} }}, 'out.example.com')
        """,
        tmp_path,
    )


@runs
def test_each_name_is_one_constant_target(tmp_path: Path) -> None:
    run(
        planned(),
        """
        is(queue 'gmail.out.example.com', 'gmail.out.example.com')
        is(queue 'bulk.out.example.com', 'bulk.out.example.com:587')
        is(queue 'out.example.com', 'out.example.com')
        is(queue 'gmail.com', nil)
        is(queue 'notout.example.com', nil)
        is(queue(nil), nil)
        """,
        tmp_path,
    )


@runs
def test_a_name_that_would_lead_back_is_not_taken(tmp_path: Path) -> None:
    run(
        planned(asked=ON_PORT._replace(self_host="mta1")),
        """
        local others = "relay:[mta2.out.example.com]:25, [mta3.out.example.com]:25"
        local body = { name = 'out.example.com', transport = others }
        local to = 'a@b.example'
        is(receive { recipient = to, reply = { status = 200, body = body } }, 'mta2.out.example.com')
        is(receive { recipient = to, headers = { ['x-class'] = { 'tx' } } }, nil)
        is(receive { recipient = to, headers = { precedence = { 'bulk' } } }, 'bulk.out.example.com')
        """,
        tmp_path,
    )


@runs
def test_other_ways_of_taking_mail(tmp_path: Path) -> None:
    run(
        planned(),
        f"""
        is(receive {{ event = 'http_message_generated', recipient = 'a@b.example', reply = {ANSWER} }},
          'gmail.out.example.com')
        local _, asked = receive {{ recipients = {{ '<a@b.example>', 'c@b.example' }}, reply = {ANSWER} }}
        is(asked.recipient, 'a@b.example')
        is(asked.sender, '')
        """,
        tmp_path,
    )


@runs
def test_names_with_odd_characters(tmp_path: Path) -> None:
    sign = HeaderSign(header="X-It's", value="it's|a\\b|ü")
    odd = MailClass(name="o'dd", signs=(sign,))
    plan = plan_of(
        routed(RouteRule(mail_class=("o'dd",), use=FAST), RouteRule(use=LAST), classes=(odd,)), ON_PORT
    )
    run(
        plan,
        """
        for _, value in ipairs { "it's", "a\\\\b", "ü" } do
          local domain, asked = receive { recipient = 'a@b.example', headers = { ["x-it's"] = { value } } }
          is(asked.class, "o'dd")
          is(domain, 'fast.out.example.com')
        end
        """,
        tmp_path,
    )


def test_what_it_cannot_do() -> None:
    with pytest.raises(GeodnsError, match="KumoMTA cannot ask at a UNIX socket, /run/routes: write"):
        kumomta(planned(asked=Asked(Path("/run/routes"))))
    text = kumomta(planned(RouteRule(sender=("a@*",), use=BULK), asked=Asked(Listen("::1", 5310))))[1].text
    assert "'http://[::1]:5310/route'" in text
    assert "No static way: the list has no last rule without a condition." in text
    assert "`deal: host` (rule 2) is by name here" in kumomta(planned())[1].text
