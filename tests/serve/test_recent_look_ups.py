"""Look-ups that control may not have counted yet."""

from geodns.responder.route_table import Allowance
from geodns.serve.recent_look_ups import COUNTED, RecentLookUps

HOST = ("out.example.com", "mta1")


def left(recent: RecentLookUps, now: float) -> dict[str, int]:
    allowance = Allowance({"google": 5, "yahoo": 1}, 900.0)
    (found,) = recent.without({HOST: allowance}, now).values()
    assert found.until == allowance.until
    return dict(found.left)


def test_what_control_may_not_know_of_is_not_left() -> None:
    recent = RecentLookUps()
    assert left(recent, 0.0) == {"google": 5, "yahoo": 1}
    for host, provider in (("mta1", "google"), ("mta1", "google"), ("mta2", "google"), ("mta1", "")):
        recent.add(HOST[0], host, provider, capped=provider == "google")
    assert left(recent, 0.0) == {"google": 3, "yahoo": 1}
    assert recent.tell(1.0) == {(*HOST, "google"): 2, (HOST[0], "mta2", "google"): 1, (*HOST, ""): 1}
    assert recent.tell(1.5) == {}
    for _ in range(4):
        recent.add(*HOST, "google", capped=True)
    recent.add(*HOST, "yahoo", capped=False)
    assert left(recent, 2.0) == {"google": 0, "yahoo": 1}
    assert left(recent, 1.0 + COUNTED + 0.1) == {"google": 1, "yahoo": 1}
    assert recent.tell(2.0 + COUNTED) == {(*HOST, "google"): 4, (*HOST, "yahoo"): 1}
    assert left(recent, 2.1 + 2 * COUNTED) == {"google": 5, "yahoo": 1}
