"""Reads a pairing from a running installation, for one reader."""

from __future__ import annotations

from datetime import UTC, datetime

from infra.client import Client, Unknown
from infra.kafka import admin as kafka_admin
from infra.report.seen import Seen, seen_by
from infra.results import evaluations_of, read_result
from schemas.base import Ident
from schemas.evaluation import Verdict
from streams import topics
from streams.disclosure import parties_of


def read(client: Client, pairing: Ident | None, reader: Ident | None) -> Seen:
    """A pairing as a party may see it; the whole of it where no party is named.

    Raises:
        Unknown: there is no such pairing, or the party has no share in it.
        BrokerUnavailable: the broker does not answer.
    """
    one = client.pairing(pairing)
    parties = parties_of(one)
    if reader is not None and reader not in parties:
        raise Unknown(f"{reader!r} has no share in {one.id}; its parties are: {', '.join(parties)}")
    fallen = (
        read_result(each) for each in kafka_admin.read_all(client.bootstrap, topics.verdicts(one.plant))
    )
    return seen_by(
        reader,
        one,
        state=client.state,
        facts=client.facts,
        evaluations=evaluations_of(client.bootstrap, one.plant),
        verdicts=(each for each in fallen if isinstance(each, Verdict)),
        at=datetime.now(UTC),
    )
