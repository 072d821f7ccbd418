"""The section `defaults` of a zone file: keys that hosts, pools and checks share, said once."""

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address

from geodns.config import yaml_nodes
from geodns.config.keys import Key, read_keys
from geodns.config.report import Report
from geodns.config.value_types import section
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing
from geodns.model.checks import BUILT_IN_CHECKS, PORTS
from geodns.model.hosts import Host
from geodns.zonefile.checks import CHECK, CHECK_USERS
from geodns.zonefile.hosts import HOST, is_short, read_hosts
from geodns.zonefile.pools import POOL

_OWN = {"hosts": {"address", "probe"}, "pools": {"hosts", "fallback", "overflow"}, "checks": {"type"}}
"""Keys that each host, pool or check says for itself."""

SHARED: dict[str, dict[str, Key]] = {
    what: {name: key for name, key in keys.items() if name not in _OWN[what]}
    for what, keys in (("hosts", HOST), ("pools", POOL), ("checks", CHECK))
}
_SAMPLE = ip_address("192.0.2.1")
_TYPES = {*PORTS, "agent"}
_OF_TLS = ("sni", "cert_warning", "cert_critical")
_WITH = {
    "min_live": "fallback",
    "fallback_mode": "fallback",
    "mail_from": "rcpt_to",
    "rcpt_4xx": "rcpt_to",
    "degraded_weight": "slow",
}
"""Keys that have no effect without another."""

DEFAULTS: dict[str, Key] = {
    what: Key(
        section({"type": "object", "properties": {name: key.schema for name, key in keys.items()}}),
        f"Keys of {what} that do not say them.",
    )
    for what, keys in SHARED.items()
}


class Defaults:
    """Keys that a zone file's hosts, pools and checks share."""

    def __init__(self, node: YamlNode | None, report: Report) -> None:
        self._of: dict[str, yaml_nodes.Mapping] = {}
        given = {} if node is None else read_keys(node, report, DEFAULTS, "a mapping of defaults")
        for what, body in given.items():
            read_keys(body, report, SHARED[what], "a mapping of defaults")
            if isinstance(body, yaml_nodes.Mapping):
                own = _OWN[what] | (body.items.keys() - SHARED[what].keys())
                items = {name: entry for name, entry in body.items.items() if name not in own}
                self._of[what] = yaml_nodes.Mapping(body.line, body.column, items)

    def fill(self, what: str, node: YamlNode | None) -> YamlNode | None:
        """Return the section `hosts`, `pools` or `checks` with what its entries do not say themselves."""
        shared = self._of.get(what)
        if shared is None or not isinstance(node, yaml_nodes.Mapping):
            return node
        items = {
            name: (key, _filled(what, key, body, shared.items)) for name, (key, body) in node.items.items()
        }
        return yaml_nodes.Mapping(node.line, node.column, items)

    def complete(self, hosts: Mapping[str, Host], report: Report) -> dict[str, Host]:
        """Return hosts of sources with what they do not say; what is wrong with that is reported."""
        at = self._of.get("hosts")
        if at is None:
            return dict(hosts)
        # One that always stands here, so that the same is wrong whatever the sources give.
        written = self._written(at, {"host": Host(name="host", addresses=(_SAMPLE,))})
        errors = report.errors
        read_hosts(written, report)
        if report.errors > errors:
            return dict(hosts)
        filled = read_hosts(self._written(at, hosts), Report(report.file))
        return {name: _completed(host, filled[name].value) for name, host in hosts.items()}

    def _written(self, at: YamlNode, hosts: Mapping[str, Host]) -> YamlNode | None:
        """Write hosts as a file would: their addresses, and the defaults."""
        items: dict[str, tuple[Scalar, YamlNode]] = {}
        for name, host in hosts.items():
            addresses = [_plain(at, str(address)) for address in host.addresses]
            items[name] = _plain(at, name), yaml_nodes.Sequence(at.line, at.column, [*addresses])
        return self.fill("hosts", yaml_nodes.Mapping(at.line, at.column, items))

    def built_in_checks(self, names: Collection[str]) -> YamlNode | None:
        """Return built-in checks as a file would write them, with the defaults; None: no defaults.

        Only those of these names: what a default would break in one that nobody uses is nobody's problem.
        """
        at = self._of.get("checks")
        if at is None:
            return None
        empty = yaml_nodes.Mapping(at.line, at.column)
        checks = {one.name: (_plain(at, one.name), empty) for one in BUILT_IN_CHECKS if one.name in names}
        return self.fill("checks", yaml_nodes.Mapping(at.line, at.column, dict(checks)))

    def implied_pool(self, at: YamlNode, hosts: Iterable[str]) -> YamlNode | None:
        """Return the pool `main` of a file that has hosts alone, as it would write it; None: no defaults."""
        shared = self._of.get("pools")
        if shared is None:
            return None
        names = yaml_nodes.Sequence(at.line, at.column, [_plain(at, name) for name in hosts])
        body = yaml_nodes.Mapping(at.line, at.column, {"hosts": (_plain(at, "hosts"), names)})
        if "check" not in shared.items:
            body.items["check"] = (_plain(at, "check"), _plain(at, "smtp"))
        main = yaml_nodes.Mapping(at.line, at.column, {"main": (_plain(at, "main"), body)})
        return self.fill("pools", main)


def _completed(host: Host, filled: Host) -> Host:
    missing = filled.model_fields_set - host.model_fields_set
    return host.model_copy(update={name: getattr(filled, name) for name in missing})


def _plain(at: YamlNode, text: str) -> Scalar:
    return Scalar(at.line, at.column, text, plain=True)


_Items = Mapping[str, tuple[Scalar, YamlNode]]


def _filled(what: str, key: Scalar, body: YamlNode, shared: _Items) -> YamlNode:
    if what == "hosts" and is_short(body):
        body = yaml_nodes.Mapping(body.line, body.column, {"address": (_plain(body, "address"), body)})
    elif is_nothing(body):
        body = yaml_nodes.Mapping(body.line, body.column)
    if not isinstance(body, yaml_nodes.Mapping):
        return body
    items = {**shared, **body.items}
    if what == "hosts" and "load" in shared:
        items["load"] = (items["load"][0], _merged(items["load"][1], shared["load"][1]))
    useless = {name for name in shared if name not in body.items and _is_useless(what, name, key, items)}
    kept = {name: entry for name, entry in items.items() if name not in useless}
    return yaml_nodes.Mapping(body.line, body.column, kept)


def _merged(own: YamlNode, shared: YamlNode) -> YamlNode:
    if not isinstance(own, yaml_nodes.Mapping) or not isinstance(shared, yaml_nodes.Mapping):
        return own
    return yaml_nodes.Mapping(own.line, own.column, {**shared.items, **own.items})


def _is_useless(what: str, name: str, key: Scalar, items: _Items) -> bool:
    """Tell whether a default has no effect here: it would be an error or a warning if it stood here."""
    if name in _WITH and _WITH[name] not in items:
        return True
    if what != "checks":
        return False
    kind = _text(items, "type") or (key.text if key.text in _TYPES else "smtp")
    if kind not in CHECK_USERS.get(name, (kind,)):
        return True
    implicit = kind in CHECK_USERS["verify"]
    starttls = _text(items, "starttls") or ("offered" if kind == "submission" else "ignore")
    verified = _text(items, "verify") == "required" if implicit else starttls == "verified"
    if name == "cert_critical" and not verified:
        return True
    return name in _OF_TLS and not implicit and starttls == "ignore"


def _text(items: _Items, name: str) -> str:
    found = items.get(name)
    return found[1].text if found is not None and isinstance(found[1], Scalar) else ""
