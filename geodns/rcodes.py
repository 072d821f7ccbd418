"""The names of response codes (IANA's register)."""

_NAMES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
    16: "BADVERS",
    23: "BADCOOKIE",
}


def rcode_name(rcode: int) -> str:
    """Return the name of a response code with its upper bits, ``RCODE3841`` where it has none."""
    return _NAMES.get(rcode, f"RCODE{rcode}")
