"""The key `load` of a host: what it comes to, and every way it can be wrong, with the place (§) named."""

import jsonschema
import pytest
import yaml

from geodns.model.hosts import Load, Matcher, Metric
from geodns.model.zone import Zone
from geodns.zonefile.host_load import LOAD
from geodns.zonefile.schema import zone_schema
from tests.zonefile.test_problems import marked, problems_of
from tests.zonetexts import NS, zone_of

ACTIVE = Metric(name="q", matchers=(Matcher(label="queue", op="=", value="active"),))
URL = "url: http://mta1:9154/m"


MX = 'records: {"@": {MX: "0 ."}}\n'


def text_of(load: str) -> str:
    return f"{NS}hosts:\n  a:\n    address: 192.0.2.1\n    load: {load}\n{MX}"


GOOD: dict[str, tuple[str, Load]] = {
    "pushed": ("{full: 2000}", Load(full=2000)),
    "metric": (
        f"{{{URL}, metric: 'q{{queue=\"active\"}}', full: 2000}}",
        Load(url="http://mta1:9154/m", metric=ACTIVE, full=2000),
    ),
    "JSON": (
        '{url: "https://[2001:db8::1]/q?a=b", json: "queues[0].size", full: .5, floor: 25%}',
        Load(url="https://[2001:db8::1]/q?a=b", path=("queues", 0, "size"), full=0.5, floor=0.25),
    ),
    "times": (
        f"{{{URL}, json: a, full: 1, interval: 1m, timeout: 20s, stale: 90s}}",
        Load(url="http://mta1:9154/m", path=("a",), full=1, interval=60, timeout=20, stale=90),
    ),
    "times that follow": (
        f"{{{URL}, json: a, full: 1, interval: 2m}}",
        Load(url="http://mta1:9154/m", path=("a",), full=1, interval=120, timeout=3, stale=360),
    ),
    "a short interval": (
        f"{{{URL}, json: a, full: 1, interval: 1s}}",
        Load(url="http://mta1:9154/m", path=("a",), full=1, interval=1, timeout=1, stale=60),
    ),
    "absent": (
        f"{{{URL}, json: a, full: 1, absent: 0}}",
        Load(url="http://mta1:9154/m", path=("a",), full=1, absent=0),
    ),
    "pushed, short-lived": ("{full: 1, stale: 5s}", Load(full=1, stale=5)),
}


@pytest.mark.parametrize(("load", "expected"), GOOD.values(), ids=GOOD.keys())
def test_a_load_is_read(load: str, expected: Load) -> None:
    text = text_of(load)
    one = zone_of(text)
    assert one.hosts[0].load == expected
    assert Zone.model_validate_json(one.model_dump_json()) == one, "zones are kept as JSON"
    jsonschema.Draft202012Validator(zone_schema()).validate(yaml.safe_load(text))


def test_a_range_of_hosts_has_a_range_of_urls() -> None:
    text = (
        f'{NS}hosts: {{"mx[08-11]": {{address: "192.0.2.[8-11]", '
        'load: {url: "http://[2001:db8::[8-11]]:9154/m", metric: q, full: 9}}}\n'
    )
    urls = [host.load and host.load.url for host in zone_of(text).hosts]
    assert urls == [f"http://[2001:db8::{number}]:9154/m" for number in (8, 9, 10, 11)]
    pushed = zone_of(f'{NS}hosts: {{"mx[1-2]": {{address: "192.0.2.[1-2]", load: {{full: 9}}}}}}\n')
    assert [host.load for host in pushed.hosts] == [Load(full=9)] * 2


def test_a_host_says_nothing_unless_told() -> None:
    assert zone_of(f"{NS}hosts: {{a: 192.0.2.1, b: {{address: 192.0.2.2}}}}\n").hosts[1].load is None


ERRORS = {
    "text": ("§http://a/", "'http://a/' where a load is expected: write keys: url, metric, json"),
    "nothing": ("§~", "an empty load: write {url: …, metric: …, full: …}"),
    "empty": ("§{}", "a load without `full`"),
    "unknown key": ("{full: 1, §ful: 2}", "unknown key 'ful': did you mean 'full'?"),
    "no full": (f"§{{{URL}, metric: q}}", "a load without `full`: write the value"),
    "full 0": ("{full: §0}", "'0' is no number over 0: write the value"),
    "full below 0": ("{full: §-5}", "'-5' is no number over 0"),
    "full NaN": ("{full: §.nan}", "'.nan' is no number over 0"),
    "full text": ("{full: §much}", "'much' is no number over 0"),
    "full list": ("{full: §[1]}", "a list where a number is expected"),
    "no metric": (f"{{§{URL}, full: 1}}", "`url` without `metric` or `json`: write `metric: 'postfix_queue"),
    "both": (f"{{{URL}, full: 1, metric: q, §json: a}}", "`json` beside `metric`: take one of the two out"),
    "metric pushed": ("{full: 1, §metric: q}", "`metric` without `url`: give the URL as well"),
    "interval pushed": ("{full: 1, §interval: 5s}", "`interval` without `url`"),
    "metric": (
        f"{{{URL}, full: 1, metric: §'q{{a=b}}'}}",
        "is no metric: 'a=b' is no matcher: write a metric's",
    ),
    "path": (f"{{{URL}, full: 1, json: §a..b}}", "'a..b' is no path in JSON: '.b' is no key and no index"),
    "floor": ("{full: 1, floor: §0}", "0 is out of range: write 0.01 to 1, or 1% to 100%"),
    "scheme": ("{url: §ftp://a/, metric: q, full: 1}", "'ftp://a/' is no URL of http or https: write one as"),
    "no scheme": ("{url: §mta1:9154, metric: q, full: 1}", "'mta1:9154' is no URL of http or https"),
    "blank": ("{url: §http://a/b c, metric: q, full: 1}", "is no URL of http or https"),
    "no host": ("{url: §http:///m, metric: q, full: 1}", "'http:///m' names no host"),
    "port": ("{url: §http://a:99999/, metric: q, full: 1}", "'http://a:99999/' is no URL: Port out of range"),
    "port 0": ("{url: §http://a:0/, metric: q, full: 1}", "names no port"),
    "address": ('{url: §"http://[::1/", metric: q, full: 1}', "is no URL: Invalid IPv6 URL"),
    "password": (
        "{url: §http://me:secret@a/, metric: q, full: 1}",
        "a URL with a password: the status would",
    ),
    "fragment": ('{url: §"http://a/#b", metric: q, full: 1}', "a URL with the fragment 'b'"),
    "no URL": ("{url: §, metric: q, full: 1}", "nothing where a URL is expected"),
    "range": (
        '{url: §"http://mx[1-3]/", metric: q, full: 1}',
        "'http://mx[1-3]/' stands for 3 of 1 hosts' URLs: write as many as there are hosts: 1",
    ),
    "two ranges": ('{url: §"http://mx[1-3]/[1-3]", metric: q, full: 1}', "has 2 ranges: one is allowed"),
    "timeout": (
        f"{{{URL}, metric: q, full: 1, interval: 5s, §timeout: 6s}}",
        "timeout 6s is over interval 5s: write at most 5s",
    ),
    "stale": (
        f"{{{URL}, metric: q, full: 1, §stale: 10s}}",
        "stale 10s is not over interval 10s: no value would last to the next: write 30s",
    ),
}


@pytest.mark.parametrize(("load", "says"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_wrong_is_told_with_its_place(load: str, says: str) -> None:
    text, place = marked(text_of(load))
    (problem,) = problems_of(text)
    assert not problem.warning
    assert (problem.line, problem.column) == place
    assert says in str(problem)
    assert "secret" not in str(problem)


def test_a_range_without_as_many_urls_is_refused() -> None:
    text, place = marked(
        f'{NS}hosts: {{"mx[1-2]": {{address: "192.0.2.[1-2]", '
        f"load: {{url: §http://a/, json: b, full: 9}}}}}}\n{MX}"
    )
    (problem,) = problems_of(text)
    assert (problem.line, problem.column) == place
    assert "stands for 1 of 2 hosts' URLs" in str(problem)


@pytest.mark.parametrize(
    "load", ["{}", "{full: 0}", "{full: 1, ful: 2}", "{full: 1, url: ftp://a/}", "{full: 1, metric: 1q}"]
)
def test_the_schema_refuses_it_too(load: str) -> None:
    assert not jsonschema.Draft202012Validator(zone_schema()).is_valid(yaml.safe_load(text_of(load)))


def test_every_key_is_described() -> None:
    host = zone_schema()["properties"]["hosts"]["additionalProperties"]["anyOf"][-1]
    shown = host["properties"]["load"]["properties"]
    assert shown.keys() == LOAD.keys()
    assert all(one["description"] for one in shown.values())
