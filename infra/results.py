"""Evaluations and verdicts as anyone may read them: from their topics, by a plain consumer."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from infra.kafka import admin as kafka_admin
from schemas.evaluation import Evaluation, Verdict
from streams import topics
from streams.envelope import RawRecord

#: Every plant's evaluations and verdicts.
RESULTS = re.compile(rf"{re.escape(topics.evaluations(''))}.+|{re.escape(topics.verdicts(''))}.+")

Key = tuple[str, str]


def read_result(record: RawRecord) -> Evaluation | Verdict | None:
    """The evaluation or verdict in a message; None where it holds neither."""
    kind = Verdict if record.topic.startswith(topics.verdicts("")) else Evaluation
    try:
        return kind.model_validate_json(record.value or b"")
    except ValidationError:
        return None


def results(bootstrap: str, *, stopped: threading.Event | None = None) -> Iterator[Evaluation | Verdict]:
    """Evaluations and verdicts of every plant, those there are and then as they come.

    Raises:
        BrokerUnavailable: the broker has gone.
    """
    for record in kafka_admin.follow(bootstrap, RESULTS, stopped=stopped):
        result = read_result(record)
        if result is not None:
            yield result


def evaluations_of(bootstrap: str, plant: str) -> Iterator[Evaluation]:
    """The evaluations of a plant that have been published until now.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    for record in kafka_admin.read_all(bootstrap, topics.evaluations(plant)):
        result = read_result(record)
        if isinstance(result, Evaluation):
            yield result


@dataclass(kw_only=True)
class Scoreboard:
    """The latest evaluation and the verdict of every candidate and baseline."""

    evaluations: dict[Key, Evaluation] = field(default_factory=dict)
    verdicts: dict[Key, Verdict] = field(default_factory=dict)

    def take(self, result: Evaluation | Verdict) -> None:
        """Take a result in; a final evaluation is not replaced by a running one.

        Evaluations and verdicts come in no order between their topics: a verdict brings its evaluation along.
        """
        key = (result.pairing, result.candidate)
        if isinstance(result, Verdict):
            self.verdicts[key] = result
        evaluation = result.evaluation if isinstance(result, Verdict) else result
        known = self.evaluations.get(key)
        if known is None or (known.final, known.ledger_offset) <= (
            evaluation.final,
            evaluation.ledger_offset,
        ):
            self.evaluations[key] = evaluation


def present(bootstrap: str, plants: list[str]) -> Scoreboard:
    """Where every candidate stands now."""
    board = Scoreboard()
    for plant in plants:
        for topic in (topics.evaluations(plant), topics.verdicts(plant)):
            for record in kafka_admin.read_all(bootstrap, topic):
                result = read_result(record)
                if result is not None:
                    board.take(result)
    return board
