"""One endpoint against another of the same client, in the same hours only.

Their difference is taken hour by hour, so that what slows both says nothing; a day's median is one observation.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ...observe.printable import printable
from ..findings import Finding, NotEnough
from ..wording import fraction
from . import chance
from .chance import Tested
from .series import DAY, Hours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..tables import Floats, Ints, Line

DAYS = 9
DAY_HOURS = 6
"""Hours in common that a day must have."""
MANY = 24
"""Lines of one client beyond which each is compared with the one that has most hours, and not with all others."""


def slower(lines: Sequence[Line], tables: dict[int, Hours]) -> tuple[list[Tested], list[NotEnough]]:
    """Compare all endpoints of each client."""
    tests: list[Tested] = []
    missing: list[NotEnough] = []
    for client in dict.fromkeys(line.client for line in lines):
        members = [index for index, line in enumerate(lines) if line.client == client and index in tables]
        if len(members) > 1:
            _compare(lines, tables, members, tests, missing)
    return tests, missing


def _compare(
    lines: Sequence[Line], tables: dict[int, Hours], members: list[int], tests: list[Tested], missing: list[NotEnough]
) -> None:
    days = np.unique(np.concatenate([tables[index].hour // 24 for index in members]))
    levels = {index: _matrix(tables[index], days) for index in members}
    most: dict[int, int] = {}
    for one, other in _pairs(members, tables):
        difference = levels[one] - levels[other]
        full = np.sum(~np.isnan(difference), axis=1) >= DAY_HOURS
        have = int(np.sum(full))
        for index in (one, other):
            most[index] = max(most.get(index, 0), have)
        if have >= DAYS:
            daily = chance.middle(difference[full])
            span = float(days[full][0] * DAY), float((days[full][-1] + 1) * DAY)
            tests.append(_test(lines, one, other, daily, span))
    missing += [
        NotEnough(kind="slower", line=index, have=have, need=DAYS, unit="days in common")
        for index, have in sorted(most.items())
        if have < DAYS
    ]


def _pairs(members: list[int], tables: dict[int, Hours]) -> list[tuple[int, int]]:
    if len(members) <= MANY:
        return list(combinations(members, 2))
    reference = max(members, key=lambda index: len(tables[index]))
    return [(index, reference) for index in members if index != reference]


def _matrix(table: Hours, days: Ints) -> Floats:
    matrix = np.full((len(days), 24), np.nan)
    matrix[np.searchsorted(days, table.hour // 24), table.hour % 24] = table.level
    return matrix


def _test(lines: Sequence[Line], one: int, other: int, daily: Floats, span: tuple[float, float]) -> Tested:
    """Whether one of the two is slower, and which."""
    p = chance.rank_test(daily, greater=False)
    if np.median(daily) < 0:
        one, other, daily = other, one, -daily
    if p > chance.Q or chance.shift(daily)[0] < chance.LOG_EFFECT:
        return Tested("slower", p)
    effect = chance.ratio(chance.shift(daily), len(daily))
    than = printable(lines[other].endpoint)
    finding = Finding(
        kind="slower",
        metric="rtt",
        line=one,
        claim=(
            f"Round trips take {fraction(chance.parts(effect)[0])} longer than those of {than} in the same hours,"
            f" over {len(daily)} days in common."
        ),
        effect=effect,
        n=len(daily),
        p=p,
        p_adjusted=p,
        begun_at=span[0],
        ended_at=span[1],
        halves_agree=chance.both_halves(daily),
        details={"than": other},
    )
    return Tested("slower", p, finding)


def only_the_best(findings: list[Finding]) -> list[Finding]:
    """Of what a line is slower than, that which it is most slower than; all other findings as they are."""
    worst: dict[int | None, float] = {}
    for each in findings:
        if each.kind == "slower":
            worst[each.line] = max(worst.get(each.line, 0.0), chance.parts(each.effect)[0])
    return [each for each in findings if each.kind != "slower" or chance.parts(each.effect)[0] == worst[each.line]]
