"""What commands print is printed as it is: nothing in it is taken for markup."""

import pytest
from rich.table import Table

from geodns.cli.output import show

TEXT = "pip install 'geodns[experiments]' [/x] :warning:"


def test_brackets_and_colons_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("reason", box=None, pad_edge=False)
    table.add_row(TEXT)
    show(TEXT)
    show(table)
    assert capsys.readouterr().out.splitlines() == [TEXT, "reason", TEXT]
