"""One probe now, of a real mail server on loopback, and whom it trusts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from geodns.health import tls
from geodns.health.outcome import ProbeOutcome
from geodns.health.probe import probe
from geodns.model.checks import Check, Target
from tests.health.certificates import NAME


def probe_now(port: int, **check: Any) -> ProbeOutcome:
    """Probe a port of 127.0.0.1, whose host is called `NAME`, by a check with these values."""
    one = Check(name="now", **{"timeout": 15, "connect_timeout": 5} | check)
    target = Target(check=one, address=ip_address("127.0.0.1"), port=port, host=NAME)
    return asyncio.run(probe(target, ehlo="probe.example.com"))


@contextmanager
def trusting(authority: Path) -> Iterator[None]:
    """Probe as a machine that trusts this certificate and no other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority))
        tls.context.cache_clear()
        try:
            yield
        finally:
            tls.context.cache_clear()
