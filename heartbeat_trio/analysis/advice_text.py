"""What advice has in common: how sure it is, what was configured, and numbers as one writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import Confidence, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .tables import Journals

HIGH_P, MEDIUM_P = 0.01, 0.05
MIN_EFFECT = 0.1
"""Part of what is normal that the interval of an effect has to exceed for high confidence."""


def confidence_of(finding: Finding) -> Confidence:
    """`high` needs p at most 0.01, an effect beyond 10 % whatever chance did, and both halves of the data to agree."""
    effect = finding.effect
    if finding.unit == "seconds":  # a period whose interval is narrow
        is_large = effect.value is not None and effect.low is not None and effect.low > 0
    else:
        is_large = any(edge is not None and edge >= MIN_EFFECT for edge in (effect.low, -(effect.high or 0.0)))
    if finding.p_adjusted <= HIGH_P and is_large and finding.halves_agree:
        return "high"
    return "medium" if finding.p_adjusted <= MEDIUM_P and finding.halves_agree else "low"


def configured(journals: Journals, line: int | None, policy: str) -> Mapping[str, Any]:
    """The fields of a policy as the last session of a line had it; none of them is trusted. Empty: not known."""
    last = next((each for each in reversed(journals.sessions) if each.line == line), None)
    known = None if last is None else last.configuration.get(policy)
    return known if isinstance(known, dict) else {}


def whole(number: float) -> str:
    """A number as one writes it: no point if none is needed."""
    return f"{number:g}"
