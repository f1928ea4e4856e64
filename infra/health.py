"""Whether an installation can do its work: what is looked at, how it stands, since when, and what to do about it.

Pure: time is an argument. `infra.observation` looks, `infra.metrics_page` shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from infra.words.alarms import todo as todo_of
from infra.words.language import NOTHING, Phrase
from infra.words.said import said

State = Literal["ok", "starting", "failed"]

#: Seconds for which something may be missing because it is only being started.
STARTING_S = 120.0

#: Seconds without a look at the world after which the process itself is taken for dead.
BEAT_S = 30.0

#: Seconds for which the broker, or MLflow, may leave a question unanswered.
SILENT_S = 15.0

#: Ends in a row after which a worker that lives just now is not taken for sound.
ENDS = 3


@dataclass(frozen=True, kw_only=True)
class WorkerSeen:
    """A worker process as its supervisor sees it."""

    alive: bool
    #: Ends in a row, and starts after an end in all.
    ends: int = 0
    restarts: int = 0
    log: str = ""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of an installation.

    Attributes:
        broker_s, mlflow_s: seconds since they last answered; None where they never did.
        mlflow_asked: false where MLflow's address is no server that could be asked.
        workers: by name, such as `scorer.PLANT`.
        wanted: the workers that should run.
        waits: why a runner that should run is not started yet, by its name.
        alarms: of pairings that nobody has settled yet.
        lag: frames that each deployment has still to pass; None where that is not known.
        rejected: messages in each plant's topic of rejected ones.
    """

    bootstrap: str
    mlflow: str
    broker_s: float | None = None
    mlflow_s: float | None = None
    mlflow_asked: bool = True
    workers: Mapping[str, WorkerSeen] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    waits: Mapping[str, str] = field(default_factory=dict)
    alarms: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    lag: Mapping[tuple[str, str, str], int] | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    what: Phrase
    todo: Phrase = NOTHING


@dataclass(frozen=True, kw_only=True)
class Check:
    """A finding with the moment since which it is sound, or is not."""

    finding: Finding
    since: datetime

    @property
    def failed(self) -> bool:
        return self.finding.state == "failed"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        told: dict[str, Any] = {
            "name": self.finding.name,
            "state": self.finding.state,
            "since": self.since.isoformat(),
            "what": {"en": self.finding.what.en, "ko": self.finding.what.ko},
        }
        if self.finding.todo != NOTHING:
            told["todo"] = {"en": self.finding.todo.en, "ko": self.finding.todo.ko}
        return told


@dataclass(kw_only=True)
class Health:
    """The checks as they stand; read by any thread, written by one."""

    checks: tuple[Check, ...] = ()
    seen: Seen | None = None
    #: When the process last looked, on its monotonic clock.
    beat_s: float | None = None

    def note(self, seen: Seen, at: datetime) -> None:
        """Take up what was seen at a moment."""
        before = {one.finding.name: one for one in self.checks}
        self.checks = tuple(_check(one, before.get(one.finding.name), at) for one in _new(seen, at))
        self.seen = seen

    @property
    def ready(self) -> bool:
        """Whether nothing has failed; before the first look nothing is known."""
        return bool(self.checks) and not any(one.failed for one in self.checks)

    def lives(self, now_s: float) -> bool:
        """Whether the process still looks at the world."""
        return self.beat_s is not None and now_s - self.beat_s <= BEAT_S

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: whether it is ready, and each check."""
        return {"ready": self.ready, "checks": [one.to_dict() for one in self.checks]}


def _new(seen: Seen, at: datetime) -> Iterator[Check]:
    return (Check(finding=one, since=at) for one in findings(seen))


def _check(now: Check, before: Check | None, at: datetime) -> Check:
    """The check, since when it stands so; what has been starting for too long has failed."""
    ok = now.finding.state == "ok"
    same = before is not None and (before.finding.state == "ok") == ok
    since = before.since if before is not None and same else at
    finding = now.finding
    if finding.state == "starting" and at - since > timedelta(seconds=STARTING_S):
        finding = Finding(name=finding.name, state="failed", what=finding.what, todo=finding.todo)
    return Check(finding=finding, since=since)


# --- what is found ----------------------------------------------------------------------------------------------------


def findings(seen: Seen) -> Iterator[Finding]:
    """Everything that was looked at, the same names as long as the same should run."""
    yield _broker(seen)
    yield _mlflow(seen)
    yield from (_worker(name, seen) for name in seen.wanted)
    yield _audit(seen)
    yield _lag(seen)


def _broker(seen: Seen) -> Finding:
    if answered(seen.broker_s):
        return Finding(
            name="broker",
            state="ok",
            what=Phrase(f"Kafka answers at {seen.bootstrap}", f"Kafka 응답함: {seen.bootstrap}"),
        )
    return Finding(
        name="broker",
        state="starting" if seen.broker_s is None else "failed",
        what=Phrase(f"Kafka does not answer at {seen.bootstrap}", f"Kafka 응답 없음: {seen.bootstrap}"),
        todo=Phrase(
            "`up` starts a broker of its own again by itself; one that was given by address has to be started where it runs. "
            "Nothing is lost: everything goes on where it was",
            "내장 브로커는 `up`에서 자동으로 다시 시작합니다. 주소로 지정한 브로커는 해당 장비에서 시작해 주세요. "
            "데이터는 유실되지 않으며 중단된 곳부터 이어집니다.",
        ),
    )


def _mlflow(seen: Seen) -> Finding:
    if not seen.mlflow_asked:
        told = Phrase(
            "MLflow's address is no server that could be asked", "MLflow 주소가 서버가 아니어서 점검하지 않음"
        )
        return Finding(name="mlflow", state="ok", what=told)
    if answered(seen.mlflow_s):
        return Finding(
            name="mlflow",
            state="ok",
            what=Phrase(f"MLflow answers at {seen.mlflow}", f"MLflow 응답함: {seen.mlflow}"),
        )
    return Finding(
        name="mlflow",
        state="starting" if seen.mlflow_s is None else "failed",
        what=Phrase(
            f"MLflow does not answer at {seen.mlflow}: trials that run go on, new candidates wait",
            f"MLflow 응답 없음: {seen.mlflow}. 진행 중인 실증은 계속되고, 새 후보 모델은 대기함",
        ),
        todo=Phrase(
            "`up` starts an MLflow of its own again by itself; one that was given by address has to be started where it runs",
            "내장 MLflow는 `up`에서 자동으로 다시 시작합니다. 주소로 지정한 MLflow는 해당 장비에서 시작해 주세요.",
        ),
    )


def answered(silent_s: float | None) -> bool:
    """Whether what answered so many seconds ago is taken to answer still."""
    return silent_s is not None and silent_s <= SILENT_S


def _worker(name: str, seen: Seen) -> Finding:
    worker, reason = seen.workers.get(name), seen.waits.get(name)
    if reason is not None and worker is None:
        return Finding(
            name=name,
            state="failed",
            what=Phrase(f"waits: {reason}", f"대기 중: {reason}"),
            todo=Phrase(
                "mend what it waits for; it is tried again every few seconds",
                "대기 사유를 해결해 주세요. 몇 초마다 다시 시도합니다.",
            ),
        )
    if worker is None:
        return Finding(name=name, state="starting", what=Phrase("is being prepared", "준비 중"), todo=_LOG)
    if not worker.alive or worker.ends >= ENDS:
        times = worker.ends
        return Finding(
            name=name,
            state="failed",
            what=Phrase(f"ended by itself, {times} times in a row", f"스스로 종료됨, 연속 {times}회"),
            todo=Phrase(
                f"it is started again by itself; if it keeps ending, {worker.log} says why",
                f"자동으로 다시 시작합니다. 계속 종료되면 {worker.log} 로그에서 원인을 확인해 주세요.",
            ),
        )
    return Finding(name=name, state="ok", what=Phrase("runs", "실행 중"))


_LOG = Phrase(
    "its environment may take minutes to build; the log of `up` says where it is",
    "실행 환경을 만드는 데 몇 분이 걸릴 수 있습니다. 진행 상황은 `up`의 로그에 있습니다.",
)


def _audit(seen: Seen) -> Finding:
    alarms = [(pairing, alarm) for (_, pairing), listed in sorted(seen.alarms.items()) for alarm in listed]
    if not alarms:
        return Finding(
            name="audit", state="ok", what=Phrase("every measurement is whole", "모든 측정에 이상 없음")
        )
    told = [said(alarm) for _, alarm in alarms]
    english = "; ".join(f"{pairing}: {one.en}" for (pairing, _), one in zip(alarms, told, strict=True))
    korean = "; ".join(f"{pairing}: {one.ko}" for (pairing, _), one in zip(alarms, told, strict=True))
    steps = list(dict.fromkeys(todo_of(alarm) for _, alarm in alarms))
    return Finding(
        name="audit",
        state="failed",
        what=Phrase(english, korean),
        todo=Phrase("; ".join(one.en for one in steps), " ".join(one.ko for one in steps)),
    )


def _lag(seen: Seen) -> Finding:
    if seen.lag is None:
        return Finding(
            name="lag",
            state="starting" if seen.broker_s is None else "failed",
            what=Phrase("how far the deployments are behind is not known", "배치의 지연을 알 수 없음"),
            todo=Phrase(
                "see `broker`: it tells offsets",
                "`broker` 항목을 확인해 주세요. 오프셋은 브로커가 알려 줍니다.",
            ),
        )
    waiting = sum(seen.lag.values())
    return Finding(
        name="lag",
        state="ok",
        what=Phrase(f"{waiting} frames are waiting", f"대기 중인 데이터 묶음 {waiting}개"),
    )


def failures(checks: Iterable[Check]) -> list[Check]:
    """The checks that have failed."""
    return [one for one in checks if one.failed]
