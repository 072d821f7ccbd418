"""The problems of a file: each once, by place, and bounded."""

from geodns.config.report import MAX_KEPT, Report, TextPlace


def test_each_problem_is_there_once_and_sorted_by_place() -> None:
    report = Report("a.yaml")
    for line in (3, 1, 3):
        report.error(TextPlace(line, 1), "wrong", "right")
    report.warn(TextPlace(2, 5), "odd")
    assert [str(problem) for problem in report.problems()] == [
        "a.yaml:1:1: wrong: right",
        "a.yaml:2:5: warning: odd",
        "a.yaml:3:1: wrong: right",
    ]


def test_very_many_are_counted_and_warnings_crowd_no_errors_out() -> None:
    report = Report("a.yaml")
    for line in range(1, 300_001):
        report.warn(TextPlace(line, 1), "odd")
    report.error(TextPlace(300_001, 1), "wrong")
    problems = report.problems()
    assert report.errors == 1
    assert len(problems) == MAX_KEPT + 2
    assert problems[MAX_KEPT].what == "wrong"
    assert str(problems[-1]) == "a.yaml: warning: 299,000 more warnings: mend these first"
