"""Caches who runs recipient domains' mail for the routes worker, and asks control for the others."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from geodns.responder.route_table import RouteNews
from geodns.serve.known_providers import KnownProviders
from geodns.wire.mail_domains import mail_domain

MOST_ASKED = 1000
"""Domains that are asked for at one time; a message to one more does without its provider."""

ASK_AGAIN = 10.0
"""Seconds without an answer after which a domain may be asked for again."""

WAIT = 0.5
"""Seconds that a message waits for the answer at most."""


class _Question:
    def __init__(self, asked: float) -> None:
        self.asked = asked
        self.waiting: dict[Callable[[], None], None] = {}


class ProviderCache:
    """What is known, and what is being asked; bounded both.

    Args:
        built_in: providers of domains that need no asking.
        known: what was told before; grows here.
        ask: sends control a question.

    """

    def __init__(
        self,
        built_in: Mapping[str, str],
        known: KnownProviders,
        ask: Callable[[str], None],
    ) -> None:
        self._built_in = built_in
        self._known = known
        self._ask = ask
        self._asked: OrderedDict[str, _Question] = OrderedDict()

    def fresh(self, domain: str, date: float) -> str | None:
        """Return what need not be asked for; None: see `provider`."""
        if (provider := self._built_in.get(domain)) is not None:
            return provider
        known = self._known.get(domain, date)
        return known.provider if known is not None and date < known.fresh else None

    def provider(self, domain: str, now: float, date: float) -> str | None:
        """Return a domain's provider; empty: nobody known, None: not told yet.

        Args:
            domain: in lower case, its labels A-labels.
            now: seconds of the monotonic clock.
            date: seconds since the epoch; what is no longer fresh is used and asked for again.

        """
        if (provider := self._built_in.get(domain)) is not None:
            return provider
        known = self._known.get(domain, date)
        if known is not None and date < known.fresh:
            return known.provider
        if not domain or mail_domain(domain) != domain:
            return ""
        self._question(domain, now)
        return known.provider if known is not None else None

    def certain(self, domain: str, date: float) -> bool:
        """Say whether nobody known runs a domain's mail for certain: else its look-up failed."""
        known = self._known.get(domain, date)
        return known is None or known.learned

    def wait(self, domain: str, now: float, told: Callable[[], None]) -> bool:
        """Have `told` called when a domain's provider has come; False: it is not worth waiting for."""
        question = self._question(domain, now)
        # Who asked first has waited in vain: control is away, or slow with this domain.
        if question is None or now - question.asked >= WAIT:
            return False
        question.waiting[told] = None
        return True

    def forget(self, domain: str, told: Callable[[], None]) -> None:
        """Call that function no more."""
        if (question := self._asked.get(domain)) is not None:
            question.waiting.pop(told, None)

    def take(self, news: RouteNews, date: float) -> None:
        """Take what control tells at a time since the epoch, and let go on who waits for it."""
        self._known.take(news.providers, date)
        questions = [self._asked.pop(domain, None) for domain in news.providers]
        for told in [one for question in questions if question is not None for one in question.waiting]:
            told()

    def _question(self, domain: str, now: float) -> _Question | None:
        """Return the question for a domain, asked now unless it is on its way; None: there is no room."""
        found = self._asked.get(domain)
        if found is not None and now - found.asked < ASK_AGAIN:
            return found
        self._asked.pop(domain, None)
        while self._asked and now - next(iter(self._asked.values())).asked >= ASK_AGAIN:
            self._asked.popitem(last=False)
        if len(self._asked) >= MOST_ASKED:
            return None
        question = self._asked[domain] = _Question(now)
        self._ask(domain)
        return question
