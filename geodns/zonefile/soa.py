"""The section `soa` of a zone file: its keys and their reading."""

from collections.abc import Sequence
from typing import Any

from geodns.config.keys import keys_of, read_keys
from geodns.config.report import quoted
from geodns.config.value_types import TTL, seconds, whole, word
from geodns.config.yaml_nodes import Scalar, YamlNode
from geodns.model.zone import NameServer, Soa
from geodns.zonefile.record_fields import Context, read_name

SOA = keys_of(
    Soa,
    {
        "mname": word("the name of the primary server"),
        "rname": word("a mailbox, as hostmaster or hostmaster@example.net"),
        "serial": whole,
        "ttl": TTL,
        "refresh": seconds,
        "retry": seconds,
        "expire": seconds,
        "minimum": seconds,
    },
    defaults={
        "mname": "the first of `ns`",
        "rname": "hostmaster",
        "serial": "automatic",
        "ttl": "`record_ttl`",
    },
)


def read_soa(node: YamlNode | None, servers: Sequence[NameServer], context: Context) -> Soa:
    """Read what the SOA says; the first of the name servers is the primary one unless another is given."""
    given: dict[str, Any] = {} if node is None else read_keys(node, context.report, SOA, "the SOA")
    first = servers[0].name if servers else context.origin
    mname, rname = given.pop("mname", None), given.pop("rname", None)
    return Soa(
        mname=first if mname is None else read_name(mname.text, mname, context) or first,
        rname=f"hostmaster.{context.origin}" if rname is None else _mailbox(rname, context),
        **given,
    )


def _mailbox(node: Scalar, context: Context) -> str:
    r"""Return a mailbox as a name: dots before the @ get a backslash (RFC 1035 section 8)."""
    local, at, domain = node.text.partition("@")
    if not at or local.endswith("\\"):
        return read_name(node.text, node, context) or context.origin
    if not local or not domain.strip(".") or "@" in domain:
        context.report.error(node, f"{quoted(node.text)} is no mailbox", "write hostmaster@example.net")
        return context.origin
    text = local.replace("\\", "\\\\").replace(".", "\\.") + "." + domain.removesuffix(".") + "."
    return read_name(text, node, context) or context.origin
