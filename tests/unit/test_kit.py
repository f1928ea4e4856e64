"""The kit that a start-up begins with: which rows of a plant it may hold, what is known of them, and what it says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kit import history as history_module
from infra.kit.contents import KitNotWritten, check_new, write_kit
from infra.kit.extract import cut_of, withheld
from infra.kit.history import Cut, History, history_until
from infra.kit.sample import LEAST_ROWS, Handed, statistics, write_sample
from infra.kit.script import notebook, script
from infra.words.language import Phrase
from schemas.agreement import Acceptance, Agreement, LabelRule, Task
from schemas.base import Offsets
from schemas.events import Fact, RehearsalStarted, TrialStarted
from schemas.labels import IntervalLabel, PointLabel, Watermark, Withdrawal
from schemas.pairing import Amendment, Consent, Pairing, Phase
from schemas.parties import Asset, Plant, Tag
from streams import topics
from streams.envelope import FRAME_HEADER, REPLAYED_HEADER, RawRecord
from streams.frames import encode_frame, micros
from tests.guide import blocks, commands
from tests.unit.test_docs import test_every_command_line_in_the_docs_is_one as is_a_command
from tests.unit.twins import PLANT, a_pairing, arrow, frame_bytes, json_label

START = datetime(1970, 1, 1, tzinfo=UTC)


def agreed(
    *, task: Task = Task.ANOMALY, gives: str = "extract", absent: str = "unlabelled", inputs: tuple[str, ...] = ("Pressure",)
) -> Agreement:  # fmt: skip
    accepted = {"metric": "rmse", "at_most": 1} if task.numeric else {"metric": "accuracy", "at_least": 0.5}
    return Agreement(
        task=task,
        assets=("pump-2", "pump-1"),
        inputs=inputs,
        classes=("valve", "rotor", "2") if task is Task.CLASSIFICATION else (),
        labels=LabelRule(deadline_days=0.001, absent_means=absent),  # type: ignore[arg-type]
        acceptance=Acceptance(**accepted),  # type: ignore[arg-type]
        training_data=gives,  # type: ignore[arg-type]
    )


def a_plant(*names: str) -> Plant:
    tags = [Tag(name=name, unit="bar") for name in names or ("Pressure", "Current", "Operator")]
    assets = tuple(Asset(name=f"pump-{number}") for number in (1, 2, 3))
    return Plant(id=PLANT, name="안산 1공장", owner="maker", assets=assets, tags=tuple(tags), simulated=True)


def consented(pairing: Pairing, *parties: str) -> Pairing:
    consents = tuple(
        Consent(party=one, person="CTO", at=START, agreement_digest=pairing.agreement_digest, revision=pairing.revision)
        for one in parties or ("maker", "startup-1")
    )  # fmt: skip
    return pairing.model_copy(update={"consents": consents})


class Topics:
    """Topics with partitions, as a broker holds them; some of their beginning may be deleted."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[RawRecord]] = {}
        self.begin = 0
        self.reads: list[Offsets] = []

    def append(
        self, topic: str, key: str, value: bytes, listed: Iterable[tuple[str, bytes]], partition: int
    ) -> None:
        there = self.records.setdefault((topic, partition), [])
        there.append(
            RawRecord(
                topic=topic,
                partition=partition,
                offset=len(there),
                timestamp_ms=10**12,
                key=key.encode(),
                value=value,
                headers=tuple(listed),
            )
        )

    def frame(
        self, start: int, rows: int = 2, *, asset: str = "pump-1", ident: str = "", partition: int = 0
    ) -> None:
        """Rows a second apart, whose pressure is their second."""
        listed = arrow(ident or f"{asset}-{start}")
        self.append(topics.telemetry(PLANT), asset, frame_bytes(start, rows), listed, partition)

    def junk(self, *, partition: int = 0) -> None:
        self.append(topics.telemetry(PLANT), "pump-1", b"\x00", [], partition)

    def label(
        self, label: IntervalLabel | PointLabel | Withdrawal | Watermark, *, partition: int = 0
    ) -> None:
        self.append(
            topics.labels(PLANT), label.asset, label.to_json(), json_label(f"{label.asset}"), partition
        )

    def event(
        self, start: int, end: int, *, ident: str = "", asset: str = "pump-1", value: str = "anomaly"
    ) -> None:
        self.label(IntervalLabel(id=ident or f"e-{start}", asset=asset, start=at(start), end=at(end), value=value))  # fmt: skip

    def read(self, topic: str, start: Offsets, end: Offsets) -> Iterator[RawRecord]:
        self.reads.append(start)
        for partition, until in end.items():
            there = self.records.get((topic, partition), [])
            first = max(self.begin, start.get(partition, 0))
            yield from (one for one in there if first <= one.offset < until)

    def ends(self, topic: str) -> Offsets:
        return {number: len(there) for (name, number), there in self.records.items() if name == topic} or {
            0: 0
        }

    def cut(self, *, telemetry: Offsets | None = None, labels: Offsets | None = None) -> Cut:
        return Cut(
            telemetry=telemetry or self.ends(topics.telemetry(PLANT)),
            labels=labels or self.ends(topics.labels(PLANT)),
        )

    def history(
        self, agreement: Agreement | None = None, *, cut: Cut | None = None, rows: int = 1000
    ) -> History:
        pairing = a_pairing(agreed=agreement or agreed(), labels_from=10**9)
        return history_until(
            cut or self.cut(), pairing, a_plant(), self.read, rows=rows, progress=lambda *_: None
        )


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def seconds(found: History, asset: str = "pump-1") -> list[int]:
    return [int(one) // 1_000_000 for one in found.times_us[found.asset == asset]]


def truth(found: History) -> list[float | None]:
    return [None if np.isnan(one) else float(one) for one in found.truth]


# --- which rows -------------------------------------------------------------------------------------------------------


def test_rows_are_of_the_agreed_assets_and_inputs_alone() -> None:
    log = Topics()
    log.frame(10, asset="pump-1", partition=0)
    log.frame(20, asset="pump-2", partition=1)
    log.frame(30, asset="pump-3", partition=1)
    found = log.history()
    assert found.asset.tolist() == ["pump-2", "pump-2", "pump-1", "pump-1"]
    assert found.values.tolist() == [[20.0], [21.0], [10.0], [11.0]]
    assert found.times_us.tolist() == [20_000_000, 21_000_000, 10_000_000, 11_000_000]
    assert found.telemetry == {0: (0, 1), 1: (0, 2)}


def test_no_row_behind_the_cut_is_taken_in_any_partition() -> None:
    log = Topics()
    for start in (0, 10, 20):
        log.frame(start, asset="pump-1", partition=0)
        log.frame(start, asset="pump-2", partition=1)
    found = log.history(cut=log.cut(telemetry={0: 2, 1: 0}))
    assert seconds(found) == [0, 1, 10, 11]
    assert seconds(found, "pump-2") == []
    assert found.telemetry == {0: (0, 2), 1: (0, 0)}


def test_the_newest_rows_of_each_asset_are_taken_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "FIRST_BLOCK", 2)
    log = Topics()
    for number in range(50):
        log.frame(10 * number, rows=3, asset="pump-1")
        if number < 5:
            log.frame(10 * number, rows=3, asset="pump-2")
    found = log.history(rows=20)
    assert seconds(found) == [462, 470, 471, 472, 480, 481, 482, 490, 491, 492]
    assert seconds(found, "pump-2") == [12, 20, 21, 22, 30, 31, 32, 40, 41, 42]
    only_one = Topics()
    for number in range(50):
        only_one.frame(10 * number, rows=1, asset="pump-1")
        only_one.frame(10 * number, rows=1, asset="pump-2")
    newest = only_one.history(rows=4)
    assert seconds(newest) == [480, 490]
    assert newest.telemetry == {0: (96, 100)}, "from the first frame that was handed over"
    assert only_one.reads[0] == {0: 98}
    assert {0: 0} not in only_one.reads, "the beginning is not read where the end has enough"


def test_rows_are_in_order_of_time_though_frames_came_in_another() -> None:
    log = Topics()
    for start in (20, 0, 10):
        log.frame(start)
    found = log.history()
    assert seconds(found) == [0, 1, 10, 11, 20, 21]
    assert found.values[:, 0].tolist() == [0, 1, 10, 11, 20, 21]


def test_what_retention_has_deleted_is_no_hindrance() -> None:
    log = Topics()
    for start in (0, 10, 20):
        log.frame(start)
    log.begin = 2
    found = log.history()
    assert seconds(found) == [20, 21]
    assert found.telemetry == {0: (2, 3)}


def test_a_frame_that_was_sent_again_counts_once_and_is_told_of() -> None:
    log = Topics()
    log.frame(0, ident="f")
    log.frame(0, ident="f")
    log.frame(0, asset="pump-2", ident="f")
    found = log.history()
    assert found.rows == 4 and found.repeated == 1


def test_what_cannot_be_read_is_left_out_and_counted_between_the_offsets_that_were_handed_over() -> None:
    log = Topics()
    log.junk()
    log.frame(0)
    log.junk()
    log.append(
        topics.telemetry(PLANT),
        "pump-1",
        encode_frame(np.array([0]), {"Current": np.zeros(1)}),
        arrow("no-input"),
        0,
    )
    log.frame(10)
    log.append(topics.labels(PLANT), "pump-1", b"{", json_label("x"), 0)
    log.event(0, 1, value="no class of it")
    found = log.history()
    assert seconds(found) == [0, 1, 10, 11]
    assert found.unreadable == {
        "telemetry not_readable": 1,
        "telemetry wrong_column": 1,
        "labels not_readable": 1,
        "labels wrong_value": 1,
    }


def test_a_topic_without_a_readable_row_gives_none_and_says_what_it_held() -> None:
    log = Topics()
    log.junk()
    found = log.history()
    assert found.rows == 0 and found.unreadable == {"telemetry not_readable": 1}
    assert Topics().history().rows == 0


# --- what is known of them --------------------------------------------------------------------------------------------


def test_labels_are_joined_as_in_a_trial_but_however_late_they_came() -> None:
    log = Topics()
    log.frame(0, rows=6)
    log.event(0, 4, ident="one")
    log.event(1, 3, ident="one")
    log.event(2, 3, ident="two", value="normal")
    log.event(5, 6, ident="gone")
    log.label(Withdrawal(id="gone", asset="pump-1"))
    log.event(0, 6, asset="pump-2")
    assert truth(log.history()) == [None, 1.0, 0.0, None, None, None]


def test_a_rejected_label_that_is_sent_again_undoes_no_correction_since() -> None:
    log = Topics()
    log.frame(0, rows=2)
    log.append(topics.labels(PLANT), "pump-1", b"none", [], 0)
    log.event(0, 2, ident="one", value="normal")
    first = IntervalLabel(id="one", asset="pump-1", start=at(0), end=at(2), value="anomaly")
    again = (REPLAYED_HEADER, f"{topics.labels(PLANT)}:0:0".encode())
    log.append(topics.labels(PLANT), "pump-1", first.to_json(), [*json_label("pump-1"), again], 0)
    assert truth(log.history()) == [0.0, 0.0]


def test_labels_behind_the_cut_are_not_known() -> None:
    log = Topics()
    log.frame(0, rows=2)
    log.event(0, 1)
    log.event(1, 2)
    assert truth(log.history(cut=log.cut(labels={0: 1}))) == [1.0, None]


def test_a_label_frame_fits_its_frame_by_position_also_where_part_of_it_is_not_handed_over() -> None:
    log = Topics()
    log.frame(0, rows=4, ident="f-1")
    value = encode_frame(np.arange(4) * 7, {"value": np.array([0.0, 1.0, 0.0, 1.0])})
    log.append(
        topics.labels(PLANT), "pump-1", value, [*arrow("labels"), (FRAME_HEADER, b"f-1")], 0
    )  # fmt: skip
    found = log.history(rows=6)
    assert seconds(found) == [1, 2, 3] and truth(found) == [1.0, 0.0, 1.0]


def test_what_the_watermark_has_passed_is_normal_where_only_events_are_labelled() -> None:
    log = Topics()
    log.frame(0, rows=4)
    log.event(0, 1)
    log.label(Watermark(asset="pump-1", until=at(3)))
    assert truth(log.history(agreed(absent="normal"))) == [1.0, 0.0, 0.0, None]
    assert truth(log.history(agreed())) == [1.0, None, None, None]


LABELS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(-5, 30),
        st.integers(1, 8),
        st.sampled_from(["normal", "anomaly", None]),
    ),
    max_size=12,
)


@given(labels=LABELS, starts=st.lists(st.integers(0, 25), min_size=1, max_size=4, unique=True))
def test_of_every_row_the_label_is_the_newest_one_that_covers_it(
    labels: list[tuple[str, int, int, str | None]], starts: list[int]
) -> None:
    log = Topics()
    for start in starts:
        log.frame(100 + start, rows=3, ident=f"f-{start}")
    newest: dict[str, int] = {}
    for offset, (ident, start, length, value) in enumerate(labels):
        newest[ident] = offset
        if value is None:
            log.label(Withdrawal(id=ident, asset="pump-1"))
        else:
            log.event(100 + start, 100 + start + length, ident=ident, value=value)
    found = log.history(rows=14)

    def expected(second: int) -> float | None:
        for offset in sorted(newest.values(), reverse=True):
            _, start, length, value = labels[offset]
            if value is not None and 100 + start <= second < 100 + start + length:
                return float(value == "anomaly")
        return None

    assert truth(found) == [expected(second) for second in seconds(found)]


# --- from before what, and whether at all -----------------------------------------------------------------------------


def begun(
    kind: type[RehearsalStarted | TrialStarted], pairing: str, telemetry: Offsets, labels: Offsets
) -> Fact:
    body = kind(pairing=pairing, telemetry_from=telemetry, labels_from=labels)
    return Fact(number=1, at=START, party="maker", request="r", subject=pairing, body=body)


ENDS = Cut(telemetry={0: 100, 1: 50}, labels={0: 9, 1: 8})


def test_where_nothing_has_begun_history_goes_up_to_now() -> None:
    assert cut_of(a_pairing(), [], [], ENDS) == ENDS


def test_history_ends_where_the_first_rehearsal_or_trial_begins() -> None:
    facts = [
        begun(RehearsalStarted, "pump-2026-01", {0: 40, 1: 50}, {0: 3, 1: 0}),
        begun(TrialStarted, "pump-2026-01", {0: 70, 1: 50}, {0: 5, 1: 4}),
    ]
    assert cut_of(a_pairing(), [], facts, ENDS) == Cut(telemetry={0: 40, 1: 50}, labels={0: 3, 1: 0})


@pytest.mark.parametrize(
    "other, kept",
    [
        (a_pairing(ident="other"), {0: 30, 1: 0}),
        (a_pairing(ident="other", phase=Phase.CLOSING), {0: 30, 1: 0}),
        (a_pairing(ident="other", phase=Phase.CONCLUDED), {0: 100, 1: 50}),
        (a_pairing(ident="other").model_copy(update={"plant": "elsewhere"}), {0: 100, 1: 50}),
        (
            a_pairing(ident="other", agreed=agreed().model_copy(update={"assets": ("pump-3",)})),
            {0: 100, 1: 50},
        ),
    ],
    ids=["running", "closing", "concluded", "of another plant", "of other machines"],
)
def test_no_row_is_given_that_another_pairing_still_judges(other: Pairing, kept: Offsets) -> None:
    facts = [begun(TrialStarted, "other", {0: 30}, {0: 1})]
    assert cut_of(a_pairing(), [a_pairing(), other], facts, ENDS).telemetry == kept


def test_nothing_is_given_before_both_sides_have_consented_to_the_agreement_in_force() -> None:
    pairing = a_pairing(agreed=agreed(), phase=Phase.PROPOSED)
    said = withheld(consented(pairing, "maker"))
    assert (
        said is not None
        and "the consent of startup-1 is missing" in said.en
        and "startup-1의 동의" in said.ko
    )
    is_a_command(re.findall("`(.*?)`", said.en)[0])
    earlier = consented(pairing).model_copy(update={"revision": 2})
    assert withheld(earlier) is not None, "a consent to what lay on the table before"
    assert withheld(consented(pairing)) is None


def test_an_amendment_on_the_table_takes_nothing_away_from_the_agreement_in_force() -> None:
    amendment = Amendment(agreement=agreed(), agreement_digest="1" * 64, revision=2, reason="longer")
    pairing = consented(a_pairing(agreed=agreed())).model_copy(update={"amendment": amendment})
    assert withheld(pairing) is None


@pytest.mark.parametrize(
    "update, says",
    [
        ({"agreement": agreed(gives="none")}, "gives no training data"),
        ({"phase": Phase.WITHDRAWN}, "withdrawn: nothing more is handed over"),
        ({"phase": Phase.STOPPED}, "stopped"),
        ({"phase": Phase.EXPIRED}, "expired"),
        ({"paused": True}, "has paused its telemetry"),
    ],
)
def test_nothing_is_given_where_it_is_not_agreed_over_or_paused(update: dict[str, Any], says: str) -> None:
    said = withheld(consented(a_pairing(agreed=agreed())).model_copy(update=update))
    assert said is not None and says in said.en and said.ko != said.en


# --- the sample as a file ---------------------------------------------------------------------------------------------


def a_history(values: np.ndarray, codes: Iterable[float] | None = None, *, asset: str = "pump-1") -> History:
    n = len(values)
    return History(
        asset=np.full(n, asset),
        times_us=1_772_400_000_000_000 + np.arange(n, dtype=np.int64) * 1_500_000,
        values=values,
        truth=np.full(n, np.nan) if codes is None else np.array(list(codes), dtype=float),
        telemetry={0: (3, 40)},
        labels={0: 5},
        unreadable={"telemetry not_readable": 2},
        repeated=1,
    )


def written(tmp_path: Path, agreement: Agreement, history: History, *tags: str) -> Handed:
    tmp_path.mkdir(parents=True, exist_ok=True)
    return write_sample(tmp_path, a_pairing(agreed=agreement), a_plant(*tags), history)


def read_back(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def test_the_extract_holds_every_value_as_it_was_and_nothing_where_it_is_missing(tmp_path: Path) -> None:
    values = np.array([[0.1 + 0.2, np.nan], [np.inf, -1e-300], [2.0**60, 5.0]])
    agreement = agreed(inputs=("전류 (A), rms", "Pressure"))
    given = written(tmp_path, agreement, a_history(values, [np.nan, 0, 1], asset="NA"))
    table = read_back(tmp_path / given.file)
    assert list(table) == ["ts", "asset", "전류 (A), rms", "Pressure", "label"]
    np.testing.assert_array_equal(table[list(agreement.inputs)].to_numpy(), values)
    assert table["asset"].tolist() == ["NA"] * 3
    assert table["label"].tolist()[1:] == ["normal", "anomaly"] and table["label"].isna().tolist()[0]
    times = [micros(datetime.fromisoformat(one)) for one in table["ts"]]
    assert times == a_history(values).times_us.tolist()


def test_the_record_of_what_was_handed_over_is_of_the_file_itself(tmp_path: Path) -> None:
    history = a_history(np.ones((4, 1)), [0, 1, np.nan, np.nan])
    given = written(tmp_path / "a", agreed(), history)
    again = written(tmp_path / "b", agreed(), history)
    assert given == again, "the same offsets give the same bytes"
    assert given.sha256 == hashlib.sha256((tmp_path / "a" / "extract.csv").read_bytes()).hexdigest()
    assert (given.rows, given.labelled, given.telemetry, given.labels) == (4, 2, {0: (3, 40)}, {0: 5})


def test_labels_are_class_names_or_numbers(tmp_path: Path) -> None:
    rows = np.ones((3, 1))
    classes = written(tmp_path / "c", agreed(task=Task.CLASSIFICATION), a_history(rows, [1, 2, np.nan]))
    assert read_back(tmp_path / "c" / classes.file)["label"].tolist()[:2] == ["rotor", "2"]
    numbers = written(tmp_path / "r", agreed(task=Task.REGRESSION), a_history(rows, [0.1, -3, np.nan]))
    assert read_back(tmp_path / "r" / numbers.file)["label"].tolist()[:2] == [0.1, -3.0]


def test_inputs_may_be_called_as_the_machine_and_the_label_are(tmp_path: Path) -> None:
    agreement = agreed(inputs=("label", "label_", "asset"))
    given = written(tmp_path, agreement, a_history(np.array([[1.0, 2.0, 3.0]]), [1]))
    table = read_back(tmp_path / given.file)
    assert list(table) == ["ts", "asset_", "label", "label_", "asset", "label__"]
    assert table["label__"].tolist() == ["anomaly"] and table["label"].tolist() == [1.0]
    assert 'LABEL = "label__"' in script(a_pairing(agreed=agreement))


def told(agreement: Agreement, history: History) -> dict[str, Any]:
    found = statistics(a_pairing(agreed=agreement), a_plant(), history)
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


def test_statistics_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(3.0, 2.0, size=(200, 1))
    values[:7] = np.nan
    values[7] = np.inf
    codes = np.where(np.arange(200) < 50, 1.0, 0.0)
    codes[-40:] = np.nan
    found = told(agreed(gives="statistics"), a_history(values, codes))
    known = pd.Series(values[8:, 0])
    [pressure] = found["inputs"]
    assert (pressure["name"], pressure["unit"]) == ("Pressure", "bar")
    assert (pressure["count"], pressure["missing"]) == (192, 8)
    for name, value in (
        ("mean", known.mean()),
        ("standard_deviation", known.std()),
        ("min", known.min()),
        ("max", known.max()),
    ):
        assert pressure[name] == pytest.approx(value, rel=1e-8)
    assert pressure["quantiles"] == pytest.approx(
        {str(share): known.quantile(share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)}, rel=1e-8
    )
    assert found["labels"] == {
        "count": 160,
        "missing": 40,
        "shares": {"normal": 0.6875, "anomaly": 0.3125},
    }
    assert found["rows"] == 200 and found["simulated"] is True


def test_of_a_handful_of_rows_no_statistic_is_given() -> None:
    few = np.random.default_rng(1).normal(size=(LEAST_ROWS - 1, 1))
    found = told(agreed(gives="statistics"), a_history(few, np.zeros(len(few))))
    assert found["inputs"] == [] and "rows" not in found and "labels" not in found
    assert "fewer than 30" in found["withheld"]["en"] and "30개" in found["withheld"]["ko"]
    assert str(few[0, 0])[:6] not in json.dumps(found)


def test_of_a_handful_of_values_or_labels_no_statistic_is_given() -> None:
    values = np.full((100, 2), np.nan)
    values[: LEAST_ROWS - 1, 0] = 7.25
    values[:LEAST_ROWS, 1] = 1.0
    agreement = agreed(gives="statistics", inputs=("Pressure", "Current"))
    codes = np.zeros(100)
    codes[0] = 1
    found = told(agreement, a_history(values, codes))
    pressure, current = found["inputs"]
    assert set(pressure) == {"name", "unit", "withheld"} and current["count"] == LEAST_ROWS
    assert "7.25" not in json.dumps(found)
    assert set(found["labels"]) == {"withheld"}, "one row of a class would be told of"
    unlabelled = told(agreement, a_history(values))["labels"]
    assert set(unlabelled) == {"withheld"} and "fewer than 30 values" in unlabelled["withheld"]["en"]


def test_labels_of_a_regression_are_told_of_like_an_input_and_huge_numbers_do_no_harm() -> None:
    agreement = agreed(task=Task.REGRESSION, gives="statistics")
    values = np.full((40, 1), 1.7e308)
    found = told(agreement, a_history(values, np.arange(40.0)))
    assert found["labels"]["mean"] == 19.5 and found["labels"]["max"] == 39
    [pressure] = found["inputs"]
    assert pressure["mean"] is None and pressure["max"] == 1.7e308


# --- the kit ----------------------------------------------------------------------------------------------------------

WHY = Phrase("the agreement gives no training data", "학습 데이터를 제공하지 않기로 했습니다.")


def a_kit(directory: Path, agreement: Agreement, sample: History | Phrase) -> dict[str, str]:
    kit = write_kit(directory, consented(a_pairing(agreed=agreement)), a_plant(), sample)
    assert sorted(kit.files) == sorted(directory.iterdir())
    return {path.name: path.read_text(encoding="utf-8") for path in kit.files}


def test_a_kit_has_the_sample_that_is_agreed_and_its_record_in_both_languages(tmp_path: Path) -> None:
    history = a_history(np.ones((40, 1)), [0, 1, *[np.nan] * 38])
    for gives, file in (("extract", "extract.csv"), ("statistics", "statistics.json")):
        texts = a_kit(tmp_path / gives, agreed(gives=gives), history)
        digest = hashlib.sha256((tmp_path / gives / file).read_bytes()).hexdigest()
        assert {"extract.csv", "statistics.json"} & set(texts) == {file}
        for readme in (texts["README.md"], texts["README.ko.md"]):
            assert f"`{file}`" in readme and f"`{digest}`" in readme
            assert f"`{agreed(gives=gives).digest()}`" in readme
            assert "40, 2 |" in readme and "0: 3, 40 |" in readme and "0: 5 |" in readme
            assert "telemetry not_readable 2" in readme
        assert json.loads(texts["schema.json"])["handed_over"]["sha256"] == digest


def test_a_kit_without_a_sample_says_why_in_both_languages(tmp_path: Path) -> None:
    texts = a_kit(tmp_path / "kit", agreed(gives="none"), WHY)
    assert set(texts) == {"README.md", "README.ko.md", "schema.json", "train.py", "first-model.ipynb"}
    assert WHY.en in texts["README.md"] and WHY.ko in texts["README.ko.md"]
    assert json.loads(texts["schema.json"])["handed_over"] is None


@pytest.mark.parametrize("task", list(Task))
def test_the_readmes_are_twins_and_their_commands_are_commands(tmp_path: Path, task: Task) -> None:
    a_kit(tmp_path / "kit", agreed(task=task), a_history(np.ones((3, 1))))
    english, korean = tmp_path / "kit" / "README.md", tmp_path / "kit" / "README.ko.md"
    assert [one.text for one in blocks(english)] == [one.text for one in blocks(korean)]
    lines = [path.read_text(encoding="utf-8").splitlines() for path in (english, korean)]
    shapes = [[line.split(" ")[0] for line in one if line.startswith(("#", "|"))] for one in lines]
    assert shapes[0] == shapes[1] and "**모의(simulated) 공장입니다.**" in lines[1]
    told = list(commands(english))
    assert len(told) == 3
    for line in told:
        is_a_command(line)


def test_a_table_of_the_readme_survives_what_a_plant_writes(tmp_path: Path) -> None:
    tag = Tag(name="Pressure", unit="bar", description="before | after\nthe valve")
    plant = a_plant().model_copy(update={"tags": (tag,)})
    write_kit(tmp_path / "kit", a_pairing(agreed=agreed()), plant, WHY)
    assert r"| Pressure | bar | before \| after the valve |" in (tmp_path / "kit/README.md").read_text()


@pytest.mark.parametrize("task", list(Task))
def test_the_notebook_has_the_steps_of_the_script(task: Task) -> None:
    pairing = a_pairing(agreed=agreed(task=task, inputs=('quoted " name', "back\\slash", "전류")))
    cells = notebook(pairing)["cells"]
    code = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
    assert "\n".join(code) == "".join(
        line for line in script(pairing).splitlines(keepends=True)[2:] if line not in titles(cells)
    )
    compile(script(pairing), "train.py", "exec")
    assert len({one["id"] for one in cells}) == len(cells)
    names: dict[str, Any] = {}
    exec(next(line for line in code[0].splitlines() if line.startswith("INPUTS")), names)
    assert tuple(names["INPUTS"]) == pairing.agreement.inputs


def titles(cells: list[dict[str, Any]]) -> set[str]:
    told = ["".join(one["source"]) for one in cells if one["cell_type"] == "markdown"]
    return {one.removeprefix("#") for one in told}


@pytest.mark.parametrize(
    "prepare, says",
    [
        (lambda path: (path.mkdir(), (path / "old").touch()), "is not empty"),
        (lambda path: path.touch(), "is a file"),
    ],
)
def test_a_kit_is_not_written_over_something(
    tmp_path: Path, prepare: Callable[[Path], object], says: str
) -> None:
    target = tmp_path / "kit"
    prepare(target)
    with pytest.raises(KitNotWritten, match=says):
        check_new(target)
    with pytest.raises(KitNotWritten, match="--to"):
        write_kit(target, a_pairing(), a_plant(), WHY)


def test_a_kit_below_a_file_is_told_of_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KitNotWritten, match="name another directory"):
        write_kit(tmp_path / "file" / "kit", a_pairing(agreed=agreed()), a_plant(), WHY)
