"""How busy a host may be, and where it says so."""

from typing import Literal

from pydantic import Field

from geodns.model.base import Frozen


class Matcher(Frozen):
    """What one label of a sample must be, in PromQL's words.

    Attributes:
        label: its name; a sample without it has the empty value.
        op: ``=``, ``!=``, or whether a regular expression fits the whole value: ``=~``, ``!~``.
        value: the text, or the expression.

    """

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


class Metric(Frozen):
    """Which samples of a text in Prometheus' format are meant; their sum is the load.

    Attributes:
        name: of the samples.
        matchers: all of them must fit.

    """

    name: str
    matchers: tuple[Matcher, ...] = ()

    def __str__(self) -> str:
        escape = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
        fits = ",".join(f'{one.label}{one.op}"{one.value.translate(escape)}"' for one in self.matchers)
        return f"{self.name}{{{fits}}}" if fits else self.name


class Load(Frozen):
    """How a host's load lowers its weight, and where it is read.

    Attributes:
        url: who is asked; None means that it is pushed.
        metric: which samples of the answer; None where it is JSON, or pushed.
        path: keys and indexes that lead to the number in JSON; empty where it is none.
        full: the value at which the host has as much as it can bear.
        floor: the part of its weight that it keeps even then.
        interval: seconds from one question to the next.
        timeout: seconds that an answer may take.
        stale: seconds after which a value no longer counts.

    """

    url: str | None = None
    metric: Metric | None = None
    path: tuple[str | int, ...] = ()
    full: float = Field(gt=0)
    floor: float = Field(default=0.1, ge=0.01, le=1)
    interval: float = Field(default=10.0, ge=0.1, le=86400)
    timeout: float = Field(default=3.0, gt=0, le=600)
    stale: float = Field(default=60.0, ge=1, le=7 * 86400)
