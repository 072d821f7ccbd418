"""Selectors of metrics, paths in JSON, and the load that they find in an answer."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from geodns.model.hosts import Load, Matcher, Metric, path_text
from geodns.signals.host_load_poller import MAX_TIME, LoadDocument, as_load
from geodns.zonefile.host_load import parse_metric, parse_path

METRICS: dict[str, tuple[str, Metric]] = {
    "name": ("load1", Metric(name="load1")),
    "colon": ("job:queue:sum", Metric(name="job:queue:sum")),
    "no labels": ("load1 {}", Metric(name="load1")),
    "equal": ('q{a="b"}', Metric(name="q", matchers=(Matcher(label="a", op="=", value="b"),))),
    "all four": (
        'q{a="b", c!=\'d\',e=~"f|g" , h!~"i.*",}',
        Metric(
            name="q",
            matchers=(
                Matcher(label="a", op="=", value="b"),
                Matcher(label="c", op="!=", value="d"),
                Matcher(label="e", op="=~", value="f|g"),
                Matcher(label="h", op="!~", value="i.*"),
            ),
        ),
    ),
    "escapes": (
        r'q{a="x\"y\\z\n}{,"}',
        Metric(name="q", matchers=(Matcher(label="a", op="=", value='x"y\\z\n}{,'),)),
    ),
}


@pytest.mark.parametrize(("text", "expected"), METRICS.values(), ids=METRICS.keys())
def test_a_selector_is_read_and_written(text: str, expected: Metric) -> None:
    assert parse_metric(text) == expected
    assert parse_metric(str(expected)) == expected


@given(
    st.lists(
        st.tuples(st.from_regex("[a-z_][a-z0-9_]*", fullmatch=True), st.sampled_from(["=", "!="]), st.text())
    )
)
def test_whatever_is_written_is_read_again(matchers: list[tuple[str, str, str]]) -> None:
    made = [Matcher.model_validate({"label": a, "op": op, "value": value}) for a, op, value in matchers]
    metric = Metric(name="q", matchers=tuple(made))
    assert parse_metric(str(metric)) == metric


@given(st.text() | st.text("q{}=~!\"'\\, a[]."))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse_metric, parse_path):
        try:
            read(text)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - that it says why is all there is to see


BAD_METRICS = {
    "empty": ("", "does not begin with a metric's name"),
    "digit": ("1q", "does not begin with a metric's name"),
    "labels alone": ('{__name__="q"}', "does not begin with a metric's name"),
    "a sum": ("sum(q)", "'(q)' after the name"),
    "open": ('q{a="b"', "after the name is no list of matchers"),
    "no quotes": ("q{a=b}", "'a=b' is no matcher"),
    "no comma": ('q{a="b" c="d"}', "is no matcher"),
    "second one": ('q{a="b",c}', "'c' is no matcher"),
    "comma alone": ("q{,}", "',' is no matcher"),
    "a range": ('q{a="b"}[5m]', "after the name is no list of matchers"),
    "operator": ('q{a=="b"}', "is no matcher"),
    "escape": (r'q{a="\d"}', "stands for nothing in a value"),
    "expression": ('q{a=~"("}', "is no regular expression"),
    "long expression": (
        'q{a=~"' + "x" * 501 + '"}',
        "a regular expression that is too long: write at most 500 characters",
    ),
}


@pytest.mark.parametrize(("text", "says"), BAD_METRICS.values(), ids=BAD_METRICS.keys())
def test_a_selector_that_cannot_be_read_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_metric(text)
    assert says in str(caught.value)


PATHS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "key": ("load", ("load",)),
    "keys": ("queues.active", ("queues", "active")),
    "index": ("queues[0].size", ("queues", 0, "size")),
    "indexes": ("[1][20]", (1, 20)),
    "odd keys": ("a-b/c d.0", ("a-b/c d", "0")),
}


@pytest.mark.parametrize(("text", "expected"), PATHS.values(), ids=PATHS.keys())
def test_a_path_is_read_and_written(text: str, expected: tuple[str | int, ...]) -> None:
    assert parse_path(text) == expected
    assert path_text(expected) == text


@pytest.mark.parametrize(
    "text", ["", ".", ".a", "a.", "a..b", "a[", "a[]", "a[x]", "a[-1]", "a]b", "a.[0]", "a[0]b", "a[1.5]"]
)
def test_a_path_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_path(text)


TEXT = """\
# HELP q The queue.
# TYPE q gauge
q{queue="active"} 400
q{queue="deferred",zone="a"} 12.5
q{queue="hold"} 7 1395066363000
q_other{queue="active"} 1e9
  q2 3
bad{ 1
# TYPE n gauge
n{a="x"} NaN
n{a="y"} +Inf
n{a="z"} -1
n{a="0"} -0
big{a="1"} 1e308
big{a="2"} 1e308
sent_total 5
slow{queue="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"} 1
h_bucket{le="1"} 2
"""
SUMS: dict[str, tuple[str, float | str]] = {
    "one": ('q{queue="active"}', 400),
    "all of a name": ("q", 419.5),
    "expression": ('q{queue=~"active|deferred"}', 412.5),
    "expression of the whole": ('q{queue=~"act"}', 'no sample matches q{queue=~"act"}'),
    "expression that never ends": (
        'slow{queue=~"(a|aa)+"}',
        "it takes too long to tell whether queue=~'(a|aa)+'",
    ),
    "not": ('q{queue!="hold"}', 412.5),
    "not fitting": ('q{queue!~".*d.*"}', 400),
    "no such label": ('q{zone=""}', 407),
    "two": ('q{queue="deferred",zone="a"}', 12.5),
    "nothing fits": ('q{queue="x"}', 'no sample matches q{queue="x"}'),
    "nothing of the name": ("missing", "no sample matches missing"),
    "indented": ("q2", 3),
    "counter": ("sent_total", 5),
    "bucket": ('h_bucket{le="1"}', 2),
    "NaN": ('n{a="x"}', "nan is no load: it must be finite"),
    "infinite": ('n{a="y"}', "inf is no load: it must be finite"),
    "below 0": ('n{a="z"}', "-1 is no load: it must not be below 0"),
    "minus 0": ('n{a="0"}', 0),
    "one of them is none": ("n", "nan is no load"),
    "a sum that overflows": ("big", "inf is no load"),
    "broken line": ("bad", "no text in Prometheus' format"),
}


@pytest.mark.parametrize(("metric", "expected"), SUMS.values(), ids=SUMS.keys())
def test_the_load_in_a_text(metric: str, expected: float | str) -> None:
    load = Load(url="http://a/", metric=parse_metric(metric), full=1)
    if isinstance(expected, str):
        with pytest.raises(ValueError) as caught:
            LoadDocument(TEXT).value(load)
        assert expected in str(caught.value)
    else:
        assert LoadDocument(TEXT).value(load) == expected


@pytest.mark.parametrize(
    ("load", "body", "expected"),
    [
        (Load(url="http://a/", metric=Metric(name="missing"), full=1, absent=0), TEXT, 0),
        (Load(url="http://a/", metric=Metric(name="q2"), full=1, absent=0), TEXT, 3),
        (Load(url="http://a/", metric=Metric(name="missing"), full=1, absent=0), "", 0),
        (Load(url="http://a/", metric=Metric(name="missing"), full=1, absent=0), "# EOF\n", 0),
        (Load(url="http://a/", metric=Metric(name="missing"), full=1, absent=0), "\n up{} 1\n", 0),
        (Load(url="http://a/", metric=Metric(name="missing"), full=1, absent=0), "up NaN\n", 0),
        (Load(url="http://a/", path=("a", "b"), full=1, absent=7), '{"a": {}}', 7),
    ],
)
def test_a_missing_sample_may_mean_something(load: Load, body: str, expected: float) -> None:
    assert LoadDocument(body).value(load) == expected


def test_what_cannot_be_read_is_no_missing_sample() -> None:
    for load, body in (
        (Load(url="http://a/", metric=Metric(name="bad"), full=1, absent=0), TEXT),
        (Load(url="http://a/", metric=Metric(name="q"), full=1, absent=0), "<html>down for a moment</html>"),
        (Load(url="http://a/", metric=Metric(name="q"), full=1, absent=0), "Service unavailable"),
        (Load(url="http://a/", metric=Metric(name="q"), full=1, absent=0), '\n{"error": "no"}'),
        (Load(url="http://a/", path=("a",), full=1, absent=0), "<html>"),
        (Load(url="http://a/", path=("a",), full=1, absent=0), '{"a": "x"}'),
    ):
        with pytest.raises(ValueError):
            LoadDocument(body).value(load)


@given(st.dictionaries(st.text(), st.floats(0, 1e9), min_size=1, max_size=5))
def test_what_the_client_library_writes_is_found(values: dict[str, float]) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("q", "With\nlines.", ["a"], registry=registry)
    for label, value in values.items():
        gauge.labels(label).set(value)
    text = generate_latest(registry).decode()
    for label, value in values.items():
        metric = Metric(name="q", matchers=(Matcher(label="a", op="=", value=label),))
        assert LoadDocument(text).value(Load(url="http://a/", metric=metric, full=1)) == value


JSON = json.dumps({"queues": [{"size": 17, "name": "active"}], "a": {"b": 0.5}, "t": True, "n": -1, "s": "5"})
NUMBERS: dict[str, tuple[str, str, float | str]] = {
    "index": (JSON, "queues[0].size", 17),
    "keys": (JSON, "a.b", 0.5),
    "bare list": ("[1, 2]", "[1]", 2),
    "missing": (JSON, "a.c", "the JSON has no a.c"),
    "beyond": (JSON, "queues[1].size", "the JSON has no queues[1]"),
    "key of a list": (JSON, "queues.size", "the JSON has no queues.size"),
    "index of an object": (JSON, "a[0]", "the JSON has no a[0]"),
    "through a number": (JSON, "a.b.c", "the JSON has no a.b.c"),
    "an object": (JSON, "a", "a: an object is no number"),
    "text": (JSON, "s", "s: '5' is no number"),
    "true": (JSON, "t", "t: true is no number"),
    "null": ('{"a": null}', "a", "a: null is no number"),
    "below 0": (JSON, "n", "n: -1 is no load"),
    "NaN": ('{"a": NaN}', "a", "a: nan is no load"),
    "huge": ('{"a": 1' + "0" * 400 + "}", "a", "a: inf is no load"),
    "page": ("<html>", "a", "no JSON"),
    "deep": ("[" * 100_000, "a", "no JSON"),
    "nothing": ("", "a", "no JSON"),
}


@pytest.mark.parametrize(("body", "path", "expected"), NUMBERS.values(), ids=NUMBERS.keys())
def test_the_load_in_json(body: str, path: str, expected: float | str) -> None:
    load = Load(url="http://a/", path=parse_path(path), full=1)
    if isinstance(expected, str):
        with pytest.raises(ValueError) as caught:
            LoadDocument(body).value(load)
        assert expected in str(caught.value)
    else:
        assert LoadDocument(body).value(load) == expected


HOSTILE = {
    "quotes": ('q{a="' + '\\"' * 500_000, "longer than 4096 characters"),
    "just as long as may be": ("\n".join(['q{a="' + '\\"' * 2_040 + '"} 1'] * 256), ""),
    "braces": ("q" + "{" * 1_000_000, "longer than 4096 characters"),
    "labels": ("q{" + ",".join(f'l{number}="1"' for number in range(65)) + "} 1\n", "more than 64 labels"),
    "label lines": ("\n".join(["q{" + ",".join(f'l{n}="1"' for n in range(400)) + "} 1"] * 280), ""),
    "samples": ("q 1\n" * 10_001, "more than 10,000 lines"),
    "most samples": ('q{a="aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",bb="1"} 1\n' * 10_000, ""),
    "exemplars": ('q_total{a="1"} 1 # {b="2"} 3\n' * 9_000, ""),
}


@pytest.mark.parametrize(("body", "expected"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_answer_costs_little(body: str, expected: str) -> None:
    metric = parse_metric('q{a=~"(a|aa|aaa)+b"}' if "bb=" in body else "q")
    begun = time.thread_time()
    try:
        LoadDocument(body).value(Load(url="u", metric=metric, full=1))
        told = ""
    except ValueError as error:
        told = str(error)
    assert expected in told or f"more than {MAX_TIME:g} s" in told  # on a slow machine, that comes first
    assert time.thread_time() - begun < 2 * MAX_TIME


def test_a_thousand_hosts_read_one_answer() -> None:
    """Each looks at its own sample alone, or the last ones would find the time used up."""
    numbers = range(1_000)
    document = LoadDocument("".join(f'q{{host="mta{one}",queue="active"}} {one}\n' for one in numbers))
    metrics = [parse_metric(f'q{{queue="active",host="mta{one}",host!="x"}}') for one in numbers]
    assert [document.value(Load(url="u", metric=one, full=1)) for one in metrics] == [*numbers]


def test_two_values_of_one_label_fit_nothing() -> None:
    metric = parse_metric('q{a="1",a="2"}')
    with pytest.raises(ValueError, match="no sample matches"):
        LoadDocument('q{a="1"} 1\nq{a="2"} 2\n').value(Load(url="u", metric=metric, full=1))


@given(st.text() | st.text('q{}="a1 .\n#NaN'))
def test_any_answer_tells_a_load_or_why_not(body: str) -> None:
    for load in (Load(url="u", metric=Metric(name="q"), full=1), Load(url="u", path=("q",), full=1)):
        try:
            assert LoadDocument(body).value(load) >= 0
        except ValueError as error:
            assert str(error)  # noqa: PT017 - the same


def test_a_load_is_a_number() -> None:
    assert as_load(3) == 3.0
    values: tuple[object, ...] = (None, "3", [], {}, True)
    for value in values:
        with pytest.raises(ValueError, match="is no number"):
            as_load(value)
