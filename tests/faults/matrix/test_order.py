"""Rows that come twice, in another order, late, or from a clock that was changed."""

from __future__ import annotations

import pytest

from tests.faults.matrix.ground import Ground, dice, open_with
from tests.integration.plants import Site, settled

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]

FRAMES, ROWS = 40, 5


def test_rows_that_come_twice_late_in_disorder_or_by_a_changed_clock_count_once_as_what_they_are(
    ground: Ground,
) -> None:
    rng = dice("order")
    site: Site = ground.shared.site("order")
    name = open_with(site, "order-1", ground.models / "threshold", "order")
    values = [[rng.choice([0.1, 0.9]) for _ in range(ROWS)] for _ in range(FRAMES)]
    starts = [ROWS * number for number in range(FRAMES)]
    for number in rng.sample(range(FRAMES), 6):
        # The clock is put back, or ahead, for one frame.
        starts[number] += rng.choice([-37, -3, 1000])
    order = list(range(FRAMES))
    for number in rng.sample(range(FRAMES), 8):
        # One comes later than others that were taken after it.
        order.remove(number)
        order.insert(min(len(order), number + rng.randint(1, 12)), number)
    again = rng.sample(range(FRAMES), 8)
    for number in again:
        # And one comes twice, under its id.
        order.insert(rng.randint(order.index(number) + 1, len(order)), number)
    for number in order:
        site.frame(f"f-{number}", max(0, starts[number]), values[number])
    ground.wait_outcome(site, f"order-1/{name}", f"f-{order[-1]}")
    ground.prove(site, "order-1", name)
    verdict = site.verdict("order-1", name)
    rows = FRAMES * ROWS
    assert settled(verdict.evaluation.counts) == {"rows_in": rows, "scored": rows}
    alarms = sum(x > 0.5 for frame in values for x in frame)
    assert verdict.evaluation.confusion["anomaly/anomaly"] == alarms
    assert verdict.evaluation.confusion["anomaly/normal"] == rows - alarms
    assert verdict.evaluation.audit.frames_repeated == len(again)
