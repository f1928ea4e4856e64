"""What stands in the topics of an installation, followed as it comes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from infra.errors import BrokerUnavailable
from infra.kafka import admin as kafka_admin
from schemas.evaluation import Evaluation, Verdict
from schemas.events import Fact
from streams import topics
from streams.envelope import RawRecord
from streams.lifecycle import fact_in
from tests.integration.commands import wait_for

FOLLOWED = re.compile(r"fp\.events|fp\.(evaluations|verdicts|rejected)\..+")


#: How long a broker may be away, in seconds, before waiting for anything in its topics is given up.
AWAY_S = 60.0


class Topics(threading.Thread):
    """Follows events, evaluations, verdicts and rejected messages of every plant."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(name="topics", daemon=True)
        self.bootstrap = bootstrap
        self.records: list[RawRecord] = []
        self.broken: BaseException | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        away_since: float | None = None
        while not self._stopped.is_set():
            # What was read before is read again where the broker was away for a moment.
            self.records = records = []
            try:
                for record in kafka_admin.follow(self.bootstrap, FOLLOWED, stopped=self._stopped):
                    records.append(record)
                    away_since = None
            except BrokerUnavailable as error:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > AWAY_S:
                    self.broken = error
                    return
                self._stopped.wait(0.5)
            except BaseException as error:
                self.broken = error
                return

    def stop(self) -> None:
        """Stop following."""
        self._stopped.set()
        self.join(10)

    def wait(self, look: Any, what: str, *, timeout_s: float = 90.0) -> Any:
        """What `look` finds, once it finds something."""
        return wait_for(
            look, what, timeout_s=timeout_s, alive=lambda: self.broken and f"broke: {self.broken}"
        )

    def of(self, topic: str) -> Iterator[RawRecord]:
        """Records of one topic so far."""
        return (record for record in list(self.records) if record.topic == topic)

    @property
    def facts(self) -> list[Fact]:
        """Facts so far; a number that is not the next is none."""
        found: list[Fact] = []
        for record in self.of(topics.EVENTS):
            fact = fact_in(record.value)
            if fact is not None and fact.number == len(found) + 1:
                found.append(fact)
        return found

    def evaluations(self, plant: str, pairing: str, candidate: str) -> list[Evaluation]:
        """Evaluations of one candidate so far, in order."""
        found = [
            Evaluation.model_validate_json(one.value or b"") for one in self.of(topics.evaluations(plant))
        ]
        return [one for one in found if (one.pairing, one.candidate) == (pairing, candidate)]

    def verdicts(self, plant: str, pairing: str) -> dict[str, Verdict]:
        """The last verdict on each candidate."""
        found = [Verdict.model_validate_json(one.value or b"") for one in self.of(topics.verdicts(plant))]
        return {one.candidate: one for one in found if one.pairing == pairing}

    def rejected(self, plant: str) -> list[RawRecord]:
        """Rejected messages, each once however many workers could not read it."""
        return list({record.key: record for record in self.of(topics.rejected(plant))}.values())
