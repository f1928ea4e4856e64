"""Which trials there were, by the facts alone."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.checker_ledger import offsets
from tests.faults.checker_topics import Json, Message


@dataclass(kw_only=True)
class Pairing:
    """A pairing's last trial, by the facts."""

    name: str
    agreement: Json
    starts: dict[int, int]
    labels_from: dict[int, int]
    until: dict[int, int] | None
    candidates: list[str]
    concluded: Json | None
    alarms: list[str]


def pairings_of(events: list[Message]) -> dict[str, Pairing]:
    """The pairings whose trial has begun; a fact counts if it is the first with the next number."""
    found: dict[str, Pairing] = {}
    agreed: dict[str, Json] = {}
    candidates: dict[str, list[str]] = {}
    number = 0
    for fact in (one.json() for one in events):
        if fact["number"] != number + 1:
            continue
        number += 1
        body = fact["body"]
        name = body.get("pairing", "")
        match body["kind"]:
            case "pairing_proposed":
                agreed[name] = body["agreement"]
            case "candidate_submitted":
                candidates.setdefault(name, []).append(body["candidate"]["id"])
            case "candidate_returned" | "candidate_retired":
                candidates[name].remove(body["candidate"])
            case "trial_started":
                found[name] = Pairing(
                    name=name,
                    agreement=agreed[name],
                    starts=offsets(body["telemetry_from"]),
                    labels_from=offsets(body["labels_from"]),
                    until=None,
                    candidates=candidates.setdefault(name, []),
                    concluded=None,
                    alarms=[],
                )
            case "trial_ended":
                found[name].until = offsets(body["until"])
            case "pairing_concluded":
                found[name].concluded = body["verdicts"]
            case "audit_reported" if name in found:
                found[name].alarms = list(body["alarms"])
    return found
