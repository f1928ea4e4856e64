"""What `fieldproof candidate try` does and says. It speaks to those whose model and data it is: nothing is held back."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer
from rich.markup import escape

from infra.agreement.file import AgreementWrong, read_agreement
from infra.cli.exports import FileOptions, Job, plant_of_file, rows_bar, tell_problems, tell_understood
from infra.cli.screen import Screen, scores, verdict_in_words
from infra.clock import now_ms
from infra.environments.environment import own_environment
from infra.environments.store import Environments
from infra.replay import BadExport
from infra.sandbox.command import probe_level
from infra.settings import Settings
from infra.submission import checked
from infra.tryout.attempt import Attempt, first_rows, lacking, plant_of
from infra.tryout.tryout import NotLoaded, Tried, Trouble, try_out
from infra.words.language import Lang, Phrase
from schemas.agreement import Agreement
from schemas.evaluation import Evaluation

#: Faults that are told in full; all of them are counted in the evaluation.
MOST_FAULTS = 5

_LOWER = {
    "none": Phrase(
        "There is no sandbox here. Files, network and programs that the model reaches now are out of its reach on the "
        "platform. To try it as it will run: `apt-get install bubblewrap`.",
        "여기에는 샌드박스가 없습니다. 지금 모델이 접근하는 파일·네트워크·프로그램에 플랫폼에서는 접근할 수 없습니다. "
        "실제와 같은 조건으로 시험하려면 `apt-get install bubblewrap`을 실행하세요.",
    ),
    "reduced": Phrase(
        "The platform may hold candidates at level full. Here, at reduced, the model can see which files there are, and "
        "its scratch space is on the disk. To try it as it will run: `apt-get install bubblewrap`.",
        "플랫폼은 full 수준으로 격리할 수 있습니다. 여기(reduced)에서는 모델이 어떤 파일이 있는지 볼 수 있고 작업 공간이 디스크에 "
        "있습니다. 실제와 같은 조건으로 시험하려면 `apt-get install bubblewrap`을 실행하세요.",
    ),
}
_SAME = Phrase(
    "On the same rows the platform gives the same counts and metrics. Times are this machine's.",
    "같은 행이면 플랫폼도 같은 행 수와 지표를 냅니다. 시간은 이 컴퓨터에서 잰 값입니다.",
)
_EVERY_FRAME = Phrase(
    "On the platform every frame would fail for this reason.",
    "플랫폼에서는 이 이유로 모든 데이터 묶음이 실패합니다.",
)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where a start-up tries its model: what it reads, and in which language."""

    screen: Screen
    lang: Lang

    def say(self, text: Phrase, style: str = "") -> None:
        """Tell people."""
        self.screen.say(text.to(self.lang), style)

    def try_model(
        self,
        model: Path,
        agreement: Path,
        rows: Sequence[Path],
        options: FileOptions,
        *,
        plant_file: Path | None,
        limit: int | None,
    ) -> None:
        """Try a model, and tell what became of it.

        Raises:
            typer.Exit: with 2 where a file or the model is wrong, with 130 where it was stopped.
            UnusableModel, EnvironmentUnusable: the model cannot be a candidate.
            EnvironmentUnavailable, NoSandbox: it cannot be run here.
        """
        with self._errors():
            terms = read_agreement(agreement).agreement
            contract = checked(model, terms)
            plant = plant_of(terms) if plant_file is None else plant_of_file(plant_file)
            # Of an unknown plant only the inputs are known: other columns are left out.
            known = options if plant_file is not None else replace(options, ignore=[*options.ignore, "*"])
            job = self._job(known.read(rows, known.layout(plant)), terms, limit)
            environments = Environments(Settings().cache / "environments")
            attempt = Attempt(
                model=model,
                contract=contract,
                agreement=terms,
                plant=plant,
                environment=environments.of(model, progress=lambda text: self.screen.say(text, "dim")),
                level=probe_level(),
            )
            self._place(attempt)
            with rows_bar(self.screen, job.rows) as progress:
                tried = asyncio.run(try_out(attempt, job.plan(), now_ms=now_ms, progress=progress))
            self._result(tried, terms)

    def _job(self, job: Job, agreement: Agreement, limit: int | None) -> Job:
        tell_understood(self.screen, job)
        problems = lacking(job.exports, agreement)
        if problems:
            raise BadExport(problems)
        job.check_labels([agreement])
        return job if limit is None else replace(job, exports=first_rows(job.exports, limit))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say what went wrong, and end with the exit code that it has."""
        # A try that is broken off drops what was on its way, and nobody needs to hear of that.
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
        try:
            yield
        except AgreementWrong as error:
            for line in error.lines(self.lang):
                self.screen.say(line, "red")
            raise typer.Exit(error.exit_code) from error
        except BadExport as error:
            tell_problems(self.screen, error.problems, "nothing was run")
            raise typer.Exit(error.exit_code) from error
        except NotLoaded as error:
            self._trouble(error.trouble)
            self.say(_EVERY_FRAME, "red")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            self.say(Phrase("stopped", "중단했습니다"), "yellow")
            raise typer.Exit(130) from error

    # --- what is said -------------------------------------------------------------------------------------------------

    def _place(self, attempt: Attempt) -> None:
        """Where and how the model runs."""
        environment = attempt.environment
        own = environment == own_environment()
        version = ".".join(map(str, sys.version_info[:3]))
        packages = Phrase(
            f"the packages of this installation, Python {version}", f"이 설치의 패키지, Python {version}"
        )
        if not own:
            packages = Phrase(
                f"an environment of its own, {environment.packages}",
                f"모델 전용 환경, {environment.packages}",
            )
        self.say(Phrase("packages: ", "패키지: ") + packages)
        self.say(Phrase(f"sandbox: {attempt.level}", f"샌드박스: {attempt.level}"))
        if attempt.level in _LOWER:
            self.say(_LOWER[attempt.level], "yellow")
        self.screen.emit(
            {
                "kind": "try",
                "model": str(attempt.model),
                "agreement_digest": attempt.agreement.digest(),
                "sandbox": attempt.level,
                "own_environment": not own,
                "interpreter": str(environment.interpreter),
                "packages": str(environment.packages),
            }
        )

    def _result(self, tried: Tried, agreement: Agreement) -> None:
        board, verdict = tried.board, tried.verdict
        for trouble in tried.troubles[:MOST_FAULTS]:
            self._trouble(trouble)
        for evaluation in board.evaluations.values():
            self.screen.emit(evaluation.to_dict())
        self.screen.emit({**verdict.to_dict(), "waited": tried.waited})
        self.screen.show(scores(board.evaluations, board.verdicts))
        self._cost(verdict.evaluation)
        if tried.waited:
            days = f"{agreement.labels.deadline_days:g}"
            self.say(
                Phrase(
                    f"{tried.waited} rows have no label. On the platform they wait for {days} days, and the verdict waits "
                    "with them, unless the plant states that its labels are complete (--watermark).",
                    f"{tried.waited}개 행에 라벨이 없습니다. 공장이 라벨이 다 있다고 선언하지 않으면(--watermark) 플랫폼에서는 "
                    f"{days}일을 기다리고, 판정도 그만큼 늦어집니다.",
                ),
                "yellow",
            )
        self.screen.people.print(
            f"{verdict.candidate}: {verdict_in_words(verdict)}: {escape(verdict.reason)}", soft_wrap=True
        )
        self.say(_SAME, "dim")

    def _cost(self, evaluation: Evaluation) -> None:
        service = evaluation.service
        if service is None:
            return
        times = (service.p50_us, service.p95_us, service.p99_us, service.cpu_us_per_1000_rows)
        p50, p95, p99, cpu = (f"{us / 1000:.{2 if us < 10_000 else 0}f} ms" for us in times)
        self.say(
            Phrase(
                f"a frame took {p50} (p50), {p95} (p95), {p99} (p99); a thousand rows {cpu} of CPU; "
                f"{service.peak_mb} MB of memory",
                f"데이터 묶음 하나에 {p50}(p50), {p95}(p95), {p99}(p99), 1,000행에 CPU {cpu}, 메모리 {service.peak_mb} MB",
            )
        )

    def _trouble(self, trouble: Trouble) -> None:
        """A fault, with everything that the model said."""
        fault = trouble.fault
        self.screen.emit({"kind": "fault", "fault": fault.to_dict(), "text": trouble.text})
        where = f", {fault.where}" if fault.where else ""
        self.say(
            Phrase(f"{fault.count} × {fault.kind}{where}", f"{fault.count}회 {fault.kind}{where}"), "red"
        )
        self.screen.people.print(trouble.text, markup=False, soft_wrap=True)
