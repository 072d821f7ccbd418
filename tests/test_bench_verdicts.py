"""The bench of sick hosts: what the table shall say of us, and that whoever is installed judges them all."""

import pytest

from bench import judges, verdicts

SEEN_BY_MORE = {
    "STARTTLS whose handshake fails",
    "STARTTLS whose certificate expired",
    "takes no recipient any more",
}
"""The sick hosts that a check without options takes for healthy."""


def test_sick_hosts_are_told_from_healthy_ones(capsys: pytest.CaptureFixture[str]) -> None:
    rows = verdicts.measure(delay=1.0, patience=3.0)
    assert [row.host.healthy for row in rows] == [True] * 4 + [False] * 12
    columns = [column for judge in judges.JUDGES if judge.installed for column in judge.columns]
    assert all(list(row.words) == columns for row in rows)
    wrong = {column: {row.host.what for row in rows if row.wrong(column)} for column in columns}
    assert wrong["geodns smtp"] == SEEN_BY_MORE
    assert wrong["geodns, asked for more"] == set()
    assert all(word.up for word in rows[0].words.values())
    if "gdnsd" in wrong:
        assert len(wrong["gdnsd"]) == 12
    verdicts.show(rows)
    shown = capsys.readouterr().out
    assert "0 of 16" in shown
    assert "geodns, asked for more: down: RCPT TO: 550 5.7.1 Go away" in shown
