"""A report as JSON is what its schema says, can be read back, and holds no NaN."""

from __future__ import annotations

import json
import math
import re

import msgspec
import numpy as np
import pytest

from heartbeat_trio.analysis.findings import Estimate
from heartbeat_trio.analysis.jsonform import is_time, schema, to_json
from tests.support.analysis_report import make_report, read_report
from tests.support.json_schema import complaints

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def times(value: object) -> list[object]:
    """Everything in a document that is named like a time."""
    if isinstance(value, dict):
        return [each for name, inner in value.items() for each in ([inner] if is_time(name) else times(inner))]
    return [each for inner in value for each in times(inner)] if isinstance(value, list) else []


def test_a_document_is_as_its_schema_says() -> None:
    """With one of everything; and the check can fail."""
    document = json.loads(to_json(make_report()))

    assert [] == complaints(schema(), document)
    document["lines"][0]["begun_at"] = 12.5
    document["advice"][0]["confidence"] = "certain"
    del document["zone"]
    assert ["$: zone is missing", "$.lines[0].begun_at", "$.advice[0].confidence"] == [
        each.split(": ")[0] if "]" in each else each for each in complaints(schema(), document)
    ]


def test_times_are_iso_8601() -> None:
    """In UTC, also those within a finding's details; one that has not come is null."""
    document = json.loads(to_json(make_report()))

    found = times(document)
    assert [] == [each for each in found if each is not None and not ISO.fullmatch(str(each))]
    assert document["findings"][1]["details"]["moment_at"] == "2026-11-04T07:12:00.000000Z"
    assert found.count(None) == 1  # the incident that has not ended


def test_a_document_can_be_read_back() -> None:
    """As the same report, to the microsecond."""
    report = make_report()
    again = read_report(to_json(report))

    assert to_json(again) == to_json(report)
    assert (report.advice, report.replays, report.hours) == (again.advice, again.replays, again.hours)
    with pytest.raises(msgspec.ValidationError, match="zone"):
        read_report('{"made_at": "2026-11-04T07:12:00.000000Z", "version": "1"}')


def test_numbers_of_numpy_and_no_numbers() -> None:
    """The first are numbers, the others are null."""
    report = make_report(lines=1)
    odd = msgspec.structs.replace(
        report.findings[0] if report.findings else make_report().findings[0],
        effect=Estimate(math.nan, -math.inf, math.inf, 3),
        details={"numbers": [np.int64(15)], "before": np.float64(0.25), "after": np.nan},
    )
    document = json.loads(to_json(msgspec.structs.replace(report, findings=(odd,))))

    assert document["findings"][0]["effect"] == {"value": None, "low": None, "high": None, "n": 3}
    assert document["findings"][0]["details"] == {"numbers": [15], "before": 0.25, "after": None}


def test_what_json_cannot_hold_is_told() -> None:
    """By its kind, rather than written as something else."""
    finding = msgspec.structs.replace(make_report().findings[0], details={"numbers": object()})

    with pytest.raises(TypeError, match=r"<class 'object'> has no place in a report"):
        to_json(msgspec.structs.replace(make_report(), findings=(finding,)))
