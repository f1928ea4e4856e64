"""Everything that is told of a candidate, in the order in which people ask for it."""

from __future__ import annotations

from infra.report import decided, measured
from infra.report.section import Section
from infra.report.seen import Seen, Subject


def sections(subject: Subject, seen: Seen) -> list[Section]:
    """The parts of a candidate's report, those that there are and that the reader may see."""
    one = subject.evaluation
    parts = [
        decided.verdict_section(subject, seen),
        decided.decision_section(subject, seen),
        decided.ratio_section(subject, seen),
        decided.corrections_section(subject),
    ]
    if one is not None:
        parts += [
            measured.metrics_section(one, seen),
            measured.confusion_section(one, seen),
            measured.slices_section(one, seen),
            measured.counts_section(one),
            measured.labels_section(one),
            measured.drift_section(one),
        ]
    parts += [measured.service_section(subject), measured.origin_section(subject, seen)]
    return [one for one in parts if one is not None]
