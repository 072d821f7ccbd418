"""Where NSD and Knot may answer otherwise than we do: each difference has its rule, each rule its reason."""

from tests.integration.comparing import COMPARED, Case, Rule

A, CNAME, HINFO, AAAA, RRSIG, NSEC, NSEC3, IXFR, AXFR, ANY = 1, 5, 13, 28, 46, 47, 50, 251, 252, 255
NOERROR, FORMERR, NOTIMP, REFUSED, NOTAUTH, BADVERS, BADCOOKIE = 0, 1, 4, 5, 9, 16, 23
SUBNET, EXPIRE, COOKIE, EDE = 8, 9, 10, 15
SAMPLE = b"\3out\7example\3com\0"
OPT_START = b"\0\0\x29"

SECTIONS = frozenset({"answer", "authority", "additional"})
EVERYTHING = frozenset(COMPARED)


def _transfer(case: Case) -> bool:
    return (
        case.qtype in {AXFR, IXFR}
        and case.ours.rcode == REFUSED
        and case.theirs.rcode in {NOTAUTH, NOTIMP, REFUSED, NOERROR, FORMERR}
    )


def _any(case: Case) -> bool:
    return case.qtype == ANY and any(rtype == HINFO for _, rtype, _, _ in case.ours.answer)


def _extra(case: Case) -> bool:
    """Tell whether the additional sections differ by addresses of names that the answers have."""
    named = b"".join(data for _, _, _, data in (*case.ours.answer, *case.theirs.answer))
    return "AA" in case.theirs.flags and all(
        rtype in {A, AAAA} and owner in named
        for owner, rtype, _, _ in case.ours.additional ^ case.theirs.additional
    )


def _dealt(case: Case) -> bool:
    return (
        case.name.lower().endswith(SAMPLE)
        and bool(case.ours.answer)
        and case.ours.answer < case.theirs.answer
    )


def _shortened(case: Case) -> bool:
    return "TC" in case.theirs.flags or ("TC" in case.ours.flags and case.theirs.size > case.size // 2)


def _chain(case: Case) -> bool:
    return case.server == "Knot" and case.name[:5].lower() == b"\x06long"


def _chain_of_many(case: Case) -> bool:
    return case.name[:6].lower() == b"\x06long0"


def _small(case: Case) -> bool:
    """Tell whether the OPT record gives a size that no message can have."""
    return case.server == "Knot" and case.theirs.rcode == FORMERR and 0 < case.given_size < 512


RULES = {
    "transfer": Rule(
        frozenset({"rcode", "flags", *SECTIONS}),
        _transfer,
        "We transfer no zones, whoever asks for whichever; they say of some that they are not theirs "
        "(RFC 5936 section 2.2.1).",
    ),
    "any": Rule(
        frozenset({"flags", *SECTIONS}),
        _any,
        "One HINFO instead of everything (RFC 8482 section 4.2); they give one RRset (section 4.1), or all.",
    ),
    "dealt": Rule(
        frozenset({"answer"}),
        _dealt,
        "A pool deals some of the records that an export has.",
    ),
    "extra": Rule(
        frozenset({"additional"}),
        _extra,
        "Addresses beside the names of hosts are a help that need not be given (RFC 1034 section 4.3.2 step "
        "6): NSD gives none here, Knot for most types.",
    ),
    "size": Rule(
        frozenset({"flags", *SECTIONS}),
        _shortened,
        "TC where the whole does not fit: what is sent beside it says nothing (RFC 2181 section 9). Names in "
        "our records are not compressed, which RFC 1035 section 4.1.4 leaves to us.",
    ),
    "small size": Rule(
        EVERYTHING,
        _small,
        "Knot refuses some sizes under 512, which we take as 512 (RFC 6891 section 6.2.3).",
    ),
    "errors": Rule(
        frozenset({"options"}),
        lambda case: case.ours.options ^ case.theirs.options <= {EDE, EXPIRE},
        "Which answers get an extended error is everybody's own choice (RFC 8914 section 2); EXPIRE is for "
        "secondaries (RFC 7314 section 2), which we have none of.",
    ),
    "malformed options": Rule(
        frozenset({"options"}),
        lambda case: case.ours.rcode == FORMERR and not case.ours.options,
        "Where one option is malformed, the others are not answered either; RFC 6891 section 7 asks for OPT "
        "alone.",
    ),
    "second cookie": Rule(
        EVERYTHING,
        lambda case: case.theirs.rcode == FORMERR and case.options.count(COOKIE) > 1,
        "All cookies but the first are ignored (RFC 7873 section 5.2), malformed ones as well.",
    ),
    "subnet": Rule(
        EVERYTHING,
        lambda case: case.ours.rcode == FORMERR and SUBNET in case.options,
        "A malformed subnet is a malformed query (RFC 7871 section 7.1.2); they do not read subnets.",
    ),
    "cookie": Rule(
        frozenset({"rcode", "flags", "options", *SECTIONS}),
        lambda case: case.theirs.rcode == BADCOOKIE and COOKIE in case.options,
        "Knot may want a good cookie before it answers; we do so when a client asks too much (RFC 7873 "
        "section 5.2.4 leaves it to the server).",
    ),
    "BADVERS": Rule(
        frozenset({"flags", "opt"}),
        lambda case: (
            case.server == "NSD" and case.ours.rcode == BADVERS and case.ours.flags <= case.theirs.flags
        ),
        "NSD leaves the header as it came, and forgets DO, where it knows not the version; we do as ever "
        "(RFC 1035 section 4.1.1, RFC 3225 section 3).",
    ),
    "RCODE of a query": Rule(
        EVERYTHING,
        lambda case: case.server == "NSD" and case.theirs.rcode == FORMERR and bool(case.packet[3] & 0x0F),
        "A query's RCODE means nothing (RFC 1035 section 4.1.1), so we do not look at it.",
    ),
    "options of another version": Rule(
        frozenset({"options"}),
        lambda case: case.ours.rcode == BADVERS and not case.ours.options,
        "To whoever speaks another version we say nothing but that (RFC 6891 section 6.1.3); Knot says NSID.",
    ),
    "broken": Rule(
        EVERYTHING,
        lambda case: (
            case.ours.answered
            and case.ours.rcode in {FORMERR, NOTIMP}
            and not case.ours.question
            and not case.readable
        ),
        "What cannot be read as a whole gets FORMERR and the header alone (RFC 1035 section 4.1.1); they "
        "drop some of it, and answer what they could read of other.",
    ),
    "malformed": Rule(
        EVERYTHING,
        lambda case: case.server == "NSD" and case.theirs.malformed and bool(case.options),
        "NSD answers an option that comes twice once, but counts it twice.",
    ),
    "other opcodes": Rule(
        frozenset({"rcode", "flags", "question", "opt", "options"}),
        lambda case: case.ours.rcode == NOTIMP and bool(case.ours.opcode),
        "NOTIFY and the like are for servers that transfer zones (RFC 1996); we know QUERY alone, and say so "
        "by the header alone.",
    ),
    "header alone": Rule(
        frozenset({"question", "opt"}),
        lambda case: case.theirs.answered and not case.theirs.question,
        "NSD may leave all else out of an error, we keep what there is to be read.",
    ),
    "other classes": Rule(
        frozenset({"rcode", "flags", *SECTIONS}),
        lambda case: case.qclass == ANY and case.ours.rcode == REFUSED,
        "No class but IN is served, ANY neither, which may go without an authoritative answer as well (RFC "
        "1034 section 3.7.1); they answer it from IN.",
    ),
    "strange records": Rule(
        EVERYTHING,
        lambda case: case.theirs.rcode == FORMERR and bool(case.tail) and case.tail[:3] != OPT_START,
        "Records beside the question that no server has a use for are not looked into; they look, or take "
        "none.",
    ),
    "chain": Rule(
        frozenset({"rcode", "flags", *SECTIONS}),
        _chain,
        "Knot follows five aliases, we sixteen, NSD more; no clause says how many.",
    ),
    "chain of many": Rule(
        frozenset({"rcode", "flags", *SECTIONS}),
        _chain_of_many,
        "After sixteen aliases the rest is the resolver's, which has to ask over TCP for so many.",
    ),
    "alias into the child": Rule(
        frozenset({"authority", "additional"}),
        lambda case: case.server == "NSD" and case.name.lower().startswith(b"\x07tochild"),
        "An alias to below a zone cut goes with a referral (RFC 1034 section 4.3.2 step 3b), also where the "
        "child is served here; NSD, which is told to confine answers to a zone, leaves it out.",
    ),
    "type 0": Rule(
        frozenset({"rcode", "flags", *SECTIONS}),
        lambda case: case.server == "Knot" and case.qtype == 0 and case.theirs.rcode == NOTIMP,
        "Knot has no answer for type 0, which is like any unknown type (RFC 3597 section 2).",
    ),
    "signatures": Rule(
        frozenset({"rcode", "flags", *SECTIONS}),
        lambda case: (
            case.qtype in {"Knot": {RRSIG, NSEC}, "NSD": {NSEC3}}[case.server]
            and any(rtype == CNAME for _, rtype, _, _ in case.ours.answer)
        ),
        "They look for the types of DNSSEC at an alias itself, where RFC 4034 section 4 lets them stand "
        "beside the CNAME; we have none there, and follow it (RFC 1034 section 3.6.2).",
    ),
}
