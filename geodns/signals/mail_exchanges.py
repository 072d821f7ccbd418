"""Asks DNS for the mail servers of a domain (its MX records), and tells whose they are."""

import time
from collections.abc import Iterable
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.resolver

from geodns.model.hosts import Endpoint
from geodns.model.providers import provider_of_mx

LIFETIME = 5.0
"""Seconds that a look-up may take."""
REREAD = 60.0
"""Seconds after which /etc/resolv.conf is read again."""
PORT = 53
ROOT = "."
"""The server of a domain that takes no mail (RFC 7505)."""


class MxError(Exception):
    """A domain's MX records cannot be had now."""


class MailExchanges(NamedTuple):
    """A domain's mail servers, the most preferred first.

    Attributes:
        ttl: seconds for which that holds, as the resolver says.

    """

    names: tuple[str, ...]
    ttl: float


def provider_of(names: Iterable[str]) -> str:
    """Return who runs the first of these servers that is known; empty: nobody who is."""
    return next((found for name in names if (found := provider_of_mx(name))), "")


class MxResolver:
    """The resolver that is asked; without an address those of /etc/resolv.conf."""

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self._endpoint = endpoint
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._made = 0.0

    @property
    def where(self) -> str:
        """Whom it asks, in words."""
        return "those of /etc/resolv.conf" if self._endpoint is None else f"{self._endpoint.address}"

    async def exchanges(self, domain: str) -> MailExchanges:
        """Return the mail servers of a domain; none where it has no MX, takes no mail, or does not exist.

        Args:
            domain: in A-labels, without final dot.

        Raises:
            MxError: it cannot be said now.

        """
        name = dns.name.from_text(f"{domain}.")
        try:
            answer = await self._configured().resolve(
                name, "MX", raise_on_no_answer=False, lifetime=LIFETIME, search=False
            )
        except dns.resolver.NXDOMAIN as error:
            return MailExchanges((), _negative_ttl(error, name))
        except dns.resolver.NoNameservers as error:
            tried = error.kwargs.get("errors") or []
            response = tried[-1][-1] if tried else None
            code = "nothing usable" if response is None else dns.rcode.to_text(response.rcode())
            raise MxError(f"the resolver answers {code}") from None
        except dns.exception.Timeout:
            raise MxError(f"no answer within {LIFETIME:g} s") from None
        except (dns.exception.DNSException, OSError) as error:
            raise MxError(f"it cannot be looked up: {type(error).__name__}") from None
        found = sorted((one.preference, one.exchange.to_text().lower()) for one in answer.rrset or ())
        return MailExchanges(
            tuple(exchange for _, exchange in found if exchange != ROOT), answer.chaining_result.minimum_ttl
        )

    def _configured(self) -> dns.asyncresolver.Resolver:
        now = time.monotonic()
        if self._resolver is None or (self._endpoint is None and now - self._made > REREAD):
            try:
                made = dns.asyncresolver.Resolver(configure=self._endpoint is None)
            except (dns.exception.DNSException, OSError) as error:
                raise MxError("/etc/resolv.conf names no resolver") from error
            if self._endpoint is not None:
                made.nameservers = [str(self._endpoint.address)]
                made.port = self._endpoint.port or PORT
            self._resolver, self._made = made, now
        return self._resolver


def _negative_ttl(error: dns.resolver.NXDOMAIN, name: dns.name.Name) -> float:
    try:
        response: dns.message.QueryMessage = error.kwargs["responses"][name]
        return response.resolve_chaining().minimum_ttl
    except (KeyError, dns.exception.DNSException):
        return 0.0
