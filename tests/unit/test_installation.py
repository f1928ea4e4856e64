"""An installation starts its broker again, and does not do so for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from infra import installation as module
from infra.errors import BrokerUnavailable
from infra.installation import BROKER_HEALTHY_S, BROKER_STARTS, Installation
from infra.settings import Settings


class Broker:
    """An embedded broker that ends at once, or cannot even be started."""

    bootstrap, log_path = "127.0.0.1:9092", Path("kafka.log")

    def __init__(self, *, starts: bool = True) -> None:
        self.starts, self.started = starts, 0

    def start_again(self) -> None:
        self.started += 1
        if not self.starts:
            raise BrokerUnavailable("no room")


def ended(installation: Installation, broker: Broker) -> None:
    asyncio.run(installation._start_broker_again(broker))  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, moved by the test."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("starts", [True, False])
def test_a_broker_that_ends_again_and_again_is_given_up_with_words(
    tmp_path: Path, clock: list[float], starts: bool
) -> None:
    installation, broker = Installation(Settings(home=tmp_path)), Broker(starts=starts)
    for _ in range(BROKER_STARTS):
        ended(installation, broker)
    with pytest.raises(BrokerUnavailable, match=r"6 times in a row; kafka\.log may say why"):
        ended(installation, broker)
    assert broker.started == BROKER_STARTS


def test_a_broker_that_ran_for_a_while_is_started_again_as_often_as_it_takes(
    tmp_path: Path, clock: list[float]
) -> None:
    installation, broker = Installation(Settings(home=tmp_path)), Broker()
    for _ in range(3 * BROKER_STARTS):
        clock[0] += BROKER_HEALTHY_S + 1
        ended(installation, broker)
    assert broker.started == 3 * BROKER_STARTS
