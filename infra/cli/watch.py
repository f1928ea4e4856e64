"""`fieldproof watch`: evaluations and verdicts as they are published."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape

from infra.cli.screen import Screen, metrics_in_words, scores, unanswered_in_words, verdict_in_words
from infra.words.language import Lang, language
from infra.words.verdicts import because
from schemas.evaluation import Evaluation, Verdict


def watch(
    pairing: Annotated[str | None, typer.Option(help="Only this pairing.")] = None,
    until_verdicts: Annotated[
        int | None,
        typer.Option("--until-verdicts", help="End after so many verdicts; else Ctrl-C ends it.", min=1),
    ] = None,
    lang: Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Show evaluations and verdicts as they come, those there are first. A plain Kafka consumer reads them.

    Exit code 3: no installation answers, or its broker went away.

    Example: fieldproof watch --json | jq .metrics
    """
    from infra.results import Scoreboard, evaluations_of, results
    from infra.settings import Settings, running

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    bootstrap = running(Settings()).bootstrap
    board = Scoreboard()
    live = Live(scores({}, {}), console=screen.people) if not as_json and screen.people.is_terminal else None
    if live is not None:
        live.start()
    seen: set[tuple[str, str, str, int, bool]] = set()

    def show(result: Evaluation | Verdict) -> None:
        if (pairing is not None and result.pairing != pairing) or _name(result) in seen:
            return
        seen.add(_name(result))
        board.take(result)
        screen.emit(result.to_dict())
        if live is not None:
            live.update(scores(board.evaluations, board.verdicts))
        elif not as_json:
            screen.people.print(_line(result, spoken))

    try:
        for result in results(bootstrap):
            if until_verdicts is not None and isinstance(result, Verdict):
                # A verdict may be read before the evaluations that were published ahead of it.
                for earlier in evaluations_of(bootstrap, result.plant):
                    show(earlier)
            show(result)
            if until_verdicts is not None and len(board.verdicts) >= until_verdicts:
                return
    except KeyboardInterrupt:
        return
    finally:
        if live is not None:
            live.stop()


def _name(result: Evaluation | Verdict) -> tuple[str, str, str, int, bool]:
    """What makes a result the same one, however often it is read."""
    if isinstance(result, Verdict):
        return result.kind, result.pairing, result.candidate, 0, True
    return result.kind, result.pairing, result.candidate, result.ledger_offset, result.final


def _line(result: Evaluation | Verdict, lang: Lang) -> str:
    if isinstance(result, Verdict):
        why = escape(because(result.reason).to(lang))
        return f"{result.pairing} {result.candidate}: {verdict_in_words(result)}: {why}"
    counts = result.counts
    return (
        f"{result.pairing} {result.candidate}: {counts.scored} of {counts.rows_in} rows scored, "
        f"no answer {unanswered_in_words(result)}, {metrics_in_words(result)}"
    )
