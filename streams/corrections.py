"""The history of a pairing's corrections (라벨 정정 이력): what was said again, what that changed, and what came too late to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from streams.labelling import Labelling
from streams.ledger import Book, round_of
from streams.run import Run
from streams.truth import Rows, Told, Truth

_NEVER = 2**62


@dataclass(kw_only=True)
class Correction:
    """One message of the label topic that changed labels, or would have if it had come in time.

    Attributes:
        label: the label's id.
        appended_ms: when the broker took it.
        offset: its place in its partition of the label topic.
        changed: rows by what they were changed from and into, as in `LabelStatistics.corrections`.
        late: rows whose labels stay as they were, because their deadline had passed.
    """

    asset: str
    label: str
    appended_ms: int
    offset: int
    changed: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)


def corrections(book: Book) -> list[Correction]:
    """The corrections of a pairing's latest rehearsal or trial, in the order in which the broker took them.

    The rows are those of the baselines, which answer every frame; without them those of the deployment that began last.
    """
    if not book.runs:
        return []
    last = [*book.runs.values()][-1]
    same = [one for one in book.runs.values() if round_of(one.started) == round_of(last.started)]
    run = next((one for one in same if one.started.baseline), last)
    found: dict[tuple[str, int], Correction] = {}
    for _, rows in run.kept.values():
        if rows is not None and rows.asset in book.truths:
            for told, in_time, changed in _changes(run, rows, book.truths[rows.asset]):
                version = told.version
                one = found.setdefault(
                    (rows.asset, version.offset),
                    Correction(
                        asset=rows.asset,
                        label=version.id,
                        appended_ms=version.appended_ms,
                        offset=version.offset,
                    ),
                )
                kept = one.changed if in_time else one.late
                for name, count in changed.items():
                    kept[name] = kept.get(name, 0) + count
    return sorted(found.values(), key=lambda one: (one.appended_ms, one.asset, one.offset))


def _changes(run: Run, rows: Rows, truth: Truth) -> Iterator[tuple[Told, bool, dict[str, int]]]:
    """What each message changed in the labels of a frame, and whether it came in time."""
    marks = truth.watermark_for(rows.deadline_ms)
    for told in truth.told(replace(rows, deadline_ms=_NEVER)):
        in_time = told.version.appended_ms <= rows.deadline_ms
        noted, under = Labelling(), told.watermark_us if in_time else marks
        before, after = (
            run.scores.counted(rows.times_us, one, under)[0] for one in (told.before, told.after)
        )
        noted.changed(before, after, run.started.agreement)
        if noted.corrections:
            yield told, in_time, noted.corrections
