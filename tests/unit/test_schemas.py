"""The records: what they refuse and in which words, and that JSON brings them back as they were."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from schemas.agreement import ANOMALY_CLASSES, METRICS, Acceptance, Agreement, Baseline, Task
from schemas.base import AssetName, Ident, Moment
from schemas.evaluation import Audit, Counts
from schemas.labels import LABEL_RECORD
from schemas.pairing import Pairing, deployment_id
from schemas.parties import Asset, Organisation, Plant, Programme, Role, Tag
from schemas.requests import EndTrial, Request, SubmitCandidate
from tests.unit.twins import a_candidate, a_pairing, a_plant, an_agreement, ended

AT = datetime(2026, 3, 2, tzinfo=UTC)


def agreement(**fields: Any) -> Agreement:
    whole: dict[str, Any] = {
        "task": "anomaly",
        "assets": ["pump-1"],
        "inputs": ["Pressure"],
        "acceptance": {"metric": "f1", "at_least": 0.7},
    }
    return Agreement.model_validate({**whole, **fields})


def problem(error: pytest.ExceptionInfo[ValidationError]) -> str:
    return " | ".join(one["msg"] for one in error.value.errors())


@pytest.mark.parametrize(
    "record",
    [
        an_agreement(),
        a_plant(),
        a_pairing(),
        ended(a_pairing(), 7),
        Organisation(id="city", name="도시", roles=(Role.COORDINATOR,)),
        Programme(id="p", name="Cohort", operators=("city",), starts=AT.date()),
        Request(id="12345678", at=AT, command=SubmitCandidate(pairing="p", candidate=a_candidate())),
        Request(id="12345678", at=AT, command=EndTrial(pairing="p")),
        Counts(rows_in=1, scored=1),
        Audit(failed_by_kind={"error": 2}),
    ],
    ids=lambda record: type(record).__name__,
)
def test_json_brings_a_record_back_as_it_was(record: Any) -> None:
    assert type(record).model_validate_json(record.to_json()) == record
    assert type(record).model_validate_json(json.dumps(record.to_dict())) == record
    assert "null" not in record.to_json().decode()


def test_a_misspelt_field_is_noticed() -> None:
    with pytest.raises(ValidationError, match="acceptence"):
        agreement(acceptence={})


@pytest.mark.parametrize("ident", ["a", "pump-2026-01", "0", "a" * 63])
def test_ids_are_safe_in_topics_files_and_groups(ident: str) -> None:
    assert TypeAdapter(Ident).validate_python(ident) == ident


@pytest.mark.parametrize("ident", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "펌프", "a" * 64, "a\n", " a"])
def test_other_ids_are_refused(ident: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Ident).validate_python(ident)


@pytest.mark.parametrize("name", ["펌프-1", "P/1", "a b", "", "a\n", "x" * 65])
def test_assets_have_names_without_space_and_slash(name: str) -> None:
    adapter = TypeAdapter(AssetName)
    if name == "펌프-1":
        assert adapter.validate_python(name) == name
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(name)


@given(st.datetimes(timezones=st.timezones()))
def test_a_moment_is_the_same_moment_in_utc(when: datetime) -> None:
    try:
        wanted = when.astimezone(UTC)
    except OverflowError:
        with pytest.raises(ValidationError, match="years 1 to 9999"):
            TypeAdapter(Moment).validate_python(when)
        return
    found = TypeAdapter(Moment).validate_python(when)
    assert (found, found.tzinfo) == (wanted, UTC)


def test_a_time_without_a_zone_is_refused_with_an_example() -> None:
    with pytest.raises(ValidationError, match=r"needs its zone, such as .*09:00"):
        TypeAdapter(Moment).validate_python("2026-03-02T09:00:00")


# --- the agreement --------------------------------------------------------------------------------------------------


def test_an_anomaly_task_has_its_classes_without_naming_them() -> None:
    assert agreement().classes == ANOMALY_CLASSES
    assert agreement(classes=["ok", "bad"]).code("bad") == 1.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"classes": ["a"]}, "the normal one first"),
        ({"classes": ["a", "a"]}, "the normal one first"),
        ({"task": "classification", "acceptance": {"metric": "accuracy", "at_least": 1}}, "two or more"),
        (
            {
                "task": "classification",
                "classes": ["a", "a"],
                "acceptance": {"metric": "accuracy", "at_least": 1},
            },
            "two or more",
        ),
        (
            {"task": "regression", "classes": ["a"], "acceptance": {"metric": "mae", "at_most": 1}},
            "no classes",
        ),
        (
            {
                "task": "regression",
                "labels": {"absent_means": "normal"},
                "acceptance": {"metric": "mae", "at_most": 1},
            },
            "for anomaly tasks only",
        ),
        ({"acceptance": {"metric": "rmse", "at_most": 1}}, "use one of f1, precision"),
        ({"acceptance": {"metric": "f1", "at_most": 1}}, "given as at_least"),
        ({"acceptance": {"metric": "far", "at_least": 1}}, "given as at_most"),
        ({"acceptance": {"metric": "f1"}}, "exactly one"),
        ({"acceptance": {"metric": "f1", "at_least": 1, "at_most": 1}}, "exactly one"),
        ({"acceptance": {"metric": "f1", "at_least": float("nan")}}, "finite"),
        ({"baselines": [{"name": "b", "answer": "broken"}]}, "none of the classes normal, anomaly"),
        (
            {"baselines": [{"name": "b", "answer": 0}, {"name": "b", "answer": 1}]},
            "baseline named twice: b",
        ),
        ({"assets": ["p", "p"]}, "asset named twice: p"),
        ({"inputs": ["x", "x"]}, "input named twice: x"),
        ({"inputs": []}, "at least 1 item"),
        ({"labels": {"deadline_days": 0}}, "greater than 0"),
        ({"baselines": [{"name": f"b{i}", "answer": 0} for i in range(11)]}, "at most 10"),
    ],
)
def test_an_agreement_that_makes_no_sense_is_refused_in_words(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as error:
        agreement(**fields)
    assert words in problem(error)


@pytest.mark.parametrize(
    ("value", "code"),
    [("normal", 0.0), ("anomaly", 1.0), (0, 0.0), (1, 1.0), (True, 1.0), (False, 0.0), (1.0, 1.0)],
)
def test_label_values_of_an_anomaly_task_are_names_or_0_and_1(value: Any, code: float) -> None:
    assert agreement().code(value) == code


@pytest.mark.parametrize("value", ["", "Normal", "1", 2, -1, 0.5, float("nan"), float("inf")])
def test_other_label_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="none of the classes"):
        agreement().code(value)


def test_classes_that_look_like_numbers_are_names() -> None:
    agreed = agreement(
        task="classification",
        classes=["10", "20"],
        acceptance={"metric": "accuracy", "at_least": 0.5},
    )
    assert (agreed.code(20), agreed.code("10")) == (1.0, 0.0)
    with pytest.raises(ValueError, match="none of the classes"):
        agreed.code(1)


@pytest.mark.parametrize("value", [True, "3", float("nan"), float("inf"), 10**400])
def test_a_regression_target_is_a_finite_number(value: Any) -> None:
    agreed = agreement(task="regression", acceptance={"metric": "mae", "at_most": 1})
    assert agreed.code(3) == 3.0
    with pytest.raises(ValueError, match="no number"):
        agreed.code(value)


def test_the_digest_seals_what_the_agreement_says_and_not_how_it_was_written() -> None:
    agreed = agreement()
    again = Agreement.model_validate_json(agreed.to_json())
    assert again.digest() == agreed.digest()
    assert agreement(labels={"deadline_days": 14.0}).digest() == agreed.digest()
    assert agreement(labels={"deadline_days": 15}).digest() != agreed.digest()
    assert len(agreed.digest()) == 64


@pytest.mark.parametrize("task", list(Task))
def test_every_metric_has_a_direction(task: Task) -> None:
    for name, more in METRICS[task].items():
        bound: dict[str, Any] = {"at_least": 0.5} if more else {"at_most": 0.5}
        classes = ["a", "b"] if task is Task.CLASSIFICATION else []
        found = agreement(task=task, classes=classes, acceptance=Acceptance(metric=name, **bound))
        assert found.acceptance.metric == name


# --- the others -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"time_zone": "Asia/Ansan"}, "use a name such as Asia/Seoul"),
        ({"time_zone": "../etc"}, "unknown time zone"),
        ({"assets": (Asset(name="p"), Asset(name="p"))}, "asset named twice: p"),
        ({"tags": (Tag(name="t"), Tag(name=" t "))}, "tag named twice: t"),
        ({"tags": (Tag(name="ts"),)}, "no tag may be called ts"),
        ({"partitions": 0}, "greater than or equal to 1"),
        ({"assets": ()}, "at least 1 item"),
    ],
)
def test_a_plant_that_makes_no_sense_is_refused_in_words(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as error:
        Plant(**{**dict(a_plant()), **fields})
    assert words in problem(error)


def test_an_interval_label_ends_after_it_starts() -> None:
    value = {
        "kind": "interval",
        "id": "a",
        "asset": "p",
        "start": "2026-03-02T09:00:00+09:00",
        "end": "2026-03-02T00:00:00Z",
        "value": 1,
    }
    with pytest.raises(ValidationError, match="first moment after it"):
        LABEL_RECORD.validate_python(value)


def test_offsets_come_back_with_whole_numbers_as_partitions() -> None:
    pairing = Pairing.model_validate_json(ended(a_pairing(), 7).to_json())
    assert pairing.deployments[0].until == {0: 7}
    assert pairing.deployment(deployment_id(pairing.id, "t2q-v1")) == pairing.deployments[0]
    assert pairing.deployment("another") is None


def test_the_law_of_counts_notices_a_row_that_is_missing_or_twice() -> None:
    counts = Counts(rows_in=21, scored=1, awaiting_label=2, unlabelled=3, abstained=4, failed=5, refused=6)
    assert counts.hold()
    for name in Counts.model_fields:
        for change in (-1, 1):
            changed = counts.model_copy(update={name: getattr(counts, name) + change})
            assert not changed.hold()


def test_a_baseline_is_named_like_everything_else() -> None:
    with pytest.raises(ValidationError):
        Baseline(name="Always normal", answer="normal")
