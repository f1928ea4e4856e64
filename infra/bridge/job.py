"""What a bridge is asked to do, and what it tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.bridge.layout import Layout
from infra.errors import InfraError
from infra.words.language import Phrase
from schemas.parties import Plant, RejectLimit
from schemas.rejected import Rejections

ROWS, AGE_S = 500, 1.0


class TooManyRejected(InfraError):
    """More rows had to be rejected than may be: the fields are named wrongly, or the source has changed."""

    exit_code = 2

    def __init__(self, told: Rejections, at: str) -> None:
        self.words = Phrase(
            f"{told.rejected} of the last {told.of} rows had to be rejected, up to {at}. Most of them: {told.reason}: "
            f"{told.detail}. These rows were not taken: start the bridge again once the cause is mended, or allow more "
            "with --max-rejected",
            f"최근 {told.of}행 가운데 {told.rejected}행을 받을 수 없어 {at}에서 멈춤. 가장 많은 까닭: {told.reason}: {told.detail}. "
            "이 행들은 아직 처리하지 않았으므로, 원인을 고친 뒤 다시 시작하거나 --max-rejected로 한도를 높일 것",
        )
        super().__init__(self.words.en)


@dataclass(kw_only=True)
class Report:
    """What a bridge has done.

    Attributes:
        rows: in frames that the broker has acknowledged.
        frames: those.
        rejected: messages that were rejected.
        skipped: rows that were passed over, since frames held them already.
        behind: messages that have still to be read; None where that is not known yet.
    """

    rows: int = 0
    frames: int = 0
    rejected: int = 0
    skipped: int = 0
    behind: int | None = None


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that people should know, once."""

    kind: str
    words: Phrase
    record: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is bridged, and how.

    Attributes:
        topic, source: where the rows come from: a topic, and addresses of its broker.
        target: addresses of the installation's broker.
        limit: how many rows may be rejected.
        rows, age_s: a frame has at most so many rows, and waits no longer for more.
        newest: begin with rows that come from now on, where nothing was read yet; else with the oldest ones.
        until_end: end once everything was read that is there at the start.
    """

    topic: str
    source: str
    target: str
    plant: Plant
    layout: Layout
    limit: RejectLimit
    rows: int = ROWS
    age_s: float = AGE_S
    newest: bool = False
    until_end: bool = False

    @property
    def group(self) -> str:
        """The consumer group of every bridge from this topic to this plant."""
        return f"fp.bridge.{self.plant.id}.{self.topic}"
