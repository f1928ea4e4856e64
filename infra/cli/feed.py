"""`fieldproof feed`: what one party may see."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from infra.cli.asking import WrongInput
from infra.cli.screen import Screen
from infra.words.language import Lang, language


def feed(
    party: Annotated[str, typer.Argument(help="The organisation.")],
    follow: Annotated[bool, typer.Option("--follow", help="Go on as more comes, until Ctrl-C.")] = False,
    lang: Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Show a party's feed: facts, evaluations and verdicts of its pairings, as far as the agreements let it see them.

    Exit code 2: there is no such party; 3: the installation does not answer.

    Example: fieldproof feed startup-a --lang ko
    """
    from pydantic import ValidationError

    from infra.client import Client
    from infra.kafka import admin as kafka_admin
    from schemas.feeds import FEED_ITEM
    from streams import topics

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        known = client.state.organisations
        if party not in known:
            raise WrongInput(
                f"there is no organisation {party!r}; there are: {', '.join(sorted(known)) or 'none'}"
            )
        bootstrap = client.bootstrap
    topic = topics.results(party)
    records = kafka_admin.follow(bootstrap, [topic]) if follow else kafka_admin.read_all(bootstrap, topic)
    seen: set[str | None] = set()
    try:
        for record in records:
            ident = record.header("ce_id")
            # Told twice after a crash, an item has the same id.
            if ident in seen:
                continue
            seen.add(ident)
            try:
                item = FEED_ITEM.validate_json(record.value or b"")
            except ValidationError:
                continue
            screen.emit(item.to_dict())
            if not as_json:
                print(_line(item, language(lang, os.environ)))
    except KeyboardInterrupt:
        return


def _line(item: object, lang: Lang) -> str:
    from infra.words.fact_names import VERDICTS
    from infra.words.facts import told
    from infra.words.verdicts import because
    from schemas.feeds import FeedEvaluation, FeedFact, FeedVerdict

    match item:
        case FeedFact(fact=fact):
            return f"{fact.at:%Y-%m-%d %H:%M:%S}  {fact.subject}  {fact.party}: {told(fact.body).to(lang)}"
        case FeedEvaluation() as one:
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in (one.metrics or {}).items())
            rows = f"{one.counts.scored}/{one.counts.rows_in}" if one.counts is not None else ""
            return f"{one.at:%Y-%m-%d %H:%M:%S}  {one.pairing}  {one.candidate}: {rows} {metrics}"
        case FeedVerdict() as one:
            why = because(one.reason).to(lang)
            return f"{one.pairing}  {one.candidate}: {VERDICTS[one.verdict].to(lang)}, {why}"
        case _:
            return ""
