"""Plots: areas that add up, lines with gaps, strips of what is alike."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from geodns.cli.report.plots import COLOURS, HEIGHT, OTHERS, WIDTH, line, stacked, strip

SHARES = st.lists(st.lists(st.integers(0, 9), min_size=12, max_size=12), min_size=1, max_size=20)


def history(rows: list[list[int]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in range(12):
        shares = [None if sum(row) == 0 else row[number] / sum(row) for row in rows]
        found[f"mta{number}"] = {"at": [60 * at for at in range(len(rows))], "share": shares}
    return found


def numbers(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([-\d.]+),([-\d.]+)", path)]


@given(SHARES)
def test_areas_lie_within_the_plot_and_the_last_reaches_its_top(rows: list[list[int]]) -> None:
    names = [f"mta{number}" for number in range(COLOURS)]
    areas = stacked(history(rows), "share", names)
    for area in areas:
        assert area.name in {*names, OTHERS}
        assert 0 <= area.colour <= COLOURS
        for x, y in numbers(area.path):
            assert -0.1 <= x <= WIDTH + 0.1
            assert -0.1 <= y <= HEIGHT + 0.1
    if areas:
        assert min(y for _, y in numbers(areas[-1].path)) <= 0.1
    assert bool(areas) == any(map(sum, rows))


def test_lines_have_gaps_where_nothing_is_known() -> None:
    assert line([1.0, None, 2.0, 2.0], width=40, height=12) == ["5.0,6.0", "25.0,1.0 35.0,1.0"]
    assert line([]) == line([None]) == []
    assert line([0.0], width=10, height=12) == ["5.0,11.0"]


def test_strips_join_what_is_alike() -> None:
    assert strip([1.0, 1.0, 0.5, None, 0.5], width=50) == [(0, 20, 1.0), (20, 10, 0.5), (40, 10, 0.5)]
    assert strip([]) == strip([None]) == []
