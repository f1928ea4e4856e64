"""How fast the platform is beside the models themselves and beside others, on the same rows, in turns.

    python -m benchmarks.speed [contest] [latency] [waiting] [framer] [--quick] [--rounds 5] [--json]

Run it on a machine that does nothing else. The last line with --json is one object with all figures; the same is written to
benchmarks/results.json, with a picture beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.speed import latency, plan, report, waiting
from benchmarks.speed.about import about
from benchmarks.speed.asking import ROOT
from benchmarks.speed.contest import Contest, Round
from benchmarks.speed.platform import Platform, installed

PARTS = ("contest", "latency", "waiting", "framer")
#: How long the framer's benchmark may take.
FRAMER_S = 900
QUICK = ("contest", "latency", "framer")


class Harness:
    """One run: what was asked for, and what was found so far."""

    def __init__(self, given: argparse.Namespace, home: Path, console: Console) -> None:
        self._given, self._home, self._console = given, home, console
        self._rounds_wanted = given.rounds or (2 if given.quick else 5)
        self._parts = tuple(given.parts) or (QUICK if given.quick else PARTS)
        self.rounds: list[Round] = []
        self.latency: list[dict[str, Any]] = []
        self.framer: dict[str, Any] | None = None

    def run(self) -> report.Results:
        """Measure everything; interrupted, what was measured until then."""
        facts = about() | {"quick": self._given.quick, "scale": self._given.scale, "interrupted": False}
        try:
            self._measure()
        except KeyboardInterrupt:
            facts["interrupted"] = True
        return report.results_of(self.rounds, latency=self.latency, framer=self.framer, about=facts)

    def _measure(self) -> None:
        if "framer" in self._parts:
            self.framer = self._framer()
        if "waiting" in self._parts:
            self._waiting()
        self._servers()

    def _servers(self) -> None:
        """One installation after the other, each for what is of one shape."""
        for number, (shape, groups) in enumerate(groupby(self._groups(), lambda group: group.shape)):
            tags, partitions = shape
            self._say(f"an installation for {tags} tags, {partitions} partition{'s' * (partitions > 1)}")
            home = self._home / f"home-{number}"
            try:
                with installed(home, tags=tags, partitions=partitions) as platform:
                    if not number and "latency" in self._parts:
                        self._latency(platform)
                    for group in groups:
                        self._contest(platform, group)
            except Exception as error:  # noqa: BLE001  (told; other parts go on)
                self._failed(f"{tags} tags, {partitions} partitions", error)

    def _groups(self) -> Sequence[plan.Group]:
        found = plan.groups(quick=self._given.quick, rounds=self._rounds_wanted)
        wanted = [one for one in found if not self._given.only or one.name in self._given.only]
        if "contest" not in self._parts:
            # The installation is needed all the same, where latencies are asked for.
            wanted = (
                [replace(found[0], turns=found[0].turns[:1], rounds=0)] if "latency" in self._parts else []
            )
        return [self._scaled(one) for one in wanted]

    def _scaled(self, group: plan.Group) -> plan.Group:
        turns = tuple(replace(one, case=self._scaled_case(one.case)) for one in group.turns)
        return replace(group, turns=turns)

    def _scaled_case(self, case: plan.Case) -> plan.Case:
        return replace(case, frames=max(20, int(case.frames * self._given.scale)))

    def _contest(self, platform: Platform, group: plan.Group) -> None:
        if not group.rounds:
            return
        contest = Contest(platform=platform, group=group, home=self._home, quick=self._given.quick)
        try:
            for one in contest.rounds():
                self._keep(one)
        except Exception as error:  # noqa: BLE001
            self._failed(group.name, error)

    def _keep(self, one: Round) -> None:
        self.rounds.append(one)
        if "error" in one:
            self._say(f"{one['case']:<14} {one['who']:<20} round {one['round']}: [red]{one['error']}[/]")
            return
        scored = f", scored {one['evaluated_rows_s']:,.0f}" if "evaluated_rows_s" in one else ""
        self._say(
            f"{one['case']:<14} {one['who']:<20} round {one['round']}: {one['rows_s']:>11,.0f} rows/s{scored}"
        )

    def _latency(self, platform: Platform) -> None:
        for pace in latency.paces(quick=self._given.quick):
            short = replace(pace, seconds=max(2.0, pace.seconds * min(1.0, self._given.scale)))
            try:
                found = latency.measure(platform, self._home, short)
            except Exception as error:  # noqa: BLE001
                self._failed(pace.name, error)
                found = {"rate": pace.rate, "rows": pace.rows, "error": str(error)}
            promised = (pace.rate, pace.rows) == (latency.PROMISED.rate, latency.PROMISED.rows)
            self.latency.append(found | {"promised": promised})
            self._say(f"{pace.name}: {found.get('telemetry_to_outcome_ms')}")

    def _waiting(self) -> None:
        """In an installation of its own: what a scorer holds, it has from these trials alone."""
        case = self._scaled_case(plan.BASE)
        rows = int(waiting.ROWS * min(1.0, self._given.scale)) // case.rows * case.rows
        try:
            with installed(self._home / "home-waiting", tags=8, partitions=1) as platform:
                for number in range(1, self._rounds_wanted + 1):
                    for one in waiting.measure(platform, self._home, case, rows):
                        self._keep(one | {"round": number})
        except Exception as error:  # noqa: BLE001
            self._failed("waiting", error)
            self.rounds.append({"case": "waiting", "who": "platform", "round": 0, "error": str(error)})

    def _framer(self) -> dict[str, Any] | None:
        """What the framer's own benchmark says; None where there is none."""
        if importlib.util.find_spec("benchmarks.framer") is None:
            self._say("framer: not measured, there is no benchmarks/framer.py")
            return None
        few = ["--rows", "200000", "--rounds", "2"] if self._given.quick else []
        try:
            out = _output([sys.executable, "-m", "benchmarks.framer", "--json", *few])
        except subprocess.TimeoutExpired as error:
            self._failed("framer", error)
            return None
        try:
            found: dict[str, Any] = json.loads(out.splitlines()[-1])
        except (IndexError, ValueError) as error:
            self._failed("framer", error)
            return None
        self._say(f"framer: {found.get('framer_rows_s')} rows/s")
        return found

    def _failed(self, what: str, error: Exception) -> None:
        self._say(f"[red]{what}: {type(error).__name__}: {error}[/]")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)


def _output(command: Sequence[str]) -> str:
    """What a program of ours says on stdout; interrupted with this one, it is given the time to end what it has started."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, process_group=0) as program:
        try:
            return program.communicate(timeout=FRAMER_S)[0]
        except BaseException:
            program.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                program.wait(60)
            program.kill()
            raise


def main() -> None:
    """Measure, and print tables or JSON."""
    given = _arguments()
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shown = sys.stderr if given.as_json else sys.stdout
    console = Console(stderr=given.as_json, width=None if shown.isatty() else 140)
    with tempfile.TemporaryDirectory(prefix="speed-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = Harness(given, Path(name), console).run()
    for table in (report.speeds(results), report.delays(results), report.promises(results)):
        console.print(table)
    given.out.write_text(json.dumps(results, indent=1) + "\n")
    report.draw(results, given.out.with_suffix(".svg"))
    if given.as_json:
        print(json.dumps(results))
    if results["interrupted"]:
        sys.exit(130)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if not given")
    parser.add_argument("--quick", action="store_true", help="the base ratios alone, in about three minutes")
    parser.add_argument("--rounds", type=int, help="the medians are over so many (5; quick: 2)")
    parser.add_argument("--only", nargs="+", metavar="GROUP", help="only these groups of the contest")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="so many times the frames, to try things out"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results.json", help="where to write"
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON Lines on stdout")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    groups = [one.name for one in plan.groups(quick=given.quick, rounds=1)]
    if unknown := set(given.only or ()) - set(groups):
        parser.error(f"no group: {', '.join(sorted(unknown))}; there are {', '.join(groups)}")
    return given


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
