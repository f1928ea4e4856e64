"""Putting the keys in use into agreements that name none, before both sides consent to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from infra.evidence.keys import public_key, signing_key
from schemas.agreement import Agreement
from schemas.base import Ident, PublicKey
from schemas.events import Fact, PairingProposed
from schemas.terms import Keys
from streams.lifecycle import Installation
from streams.topics import OPERATOR


def keys_in_use(state: Installation, plant: Ident, home: Path) -> Mapping[Ident, PublicKey]:
    """The published keys; in place of one that the plant has not published, its key in this home.

    Raises:
        KeyUnusable: the plant's file holds no key.
    """
    known = dict(state.keys)
    if plant not in known:
        known[plant] = public_key(signing_key(home, plant))
    return known


def proposed_in(facts: Iterable[Fact]) -> Mapping[Ident, Agreement]:
    """The agreements that pairings were proposed with."""
    return {
        fact.body.pairing: fact.body.agreement for fact in facts if isinstance(fact.body, PairingProposed)
    }


def sealed(
    agreement: Agreement,
    plant: Ident,
    keys: Mapping[Ident, PublicKey],
    *,
    proposed: Agreement | None = None,
) -> Agreement:
    """The agreement with the keys in use; as it is where it names keys, or one of them is not known.

    Args:
        proposed: what the pairing was proposed with already: its keys stay, whatever has been published since.
    """
    if agreement.keys is not None:
        return agreement
    if proposed is not None and proposed.model_copy(update={"keys": None}) == agreement:
        return proposed
    if not {plant, OPERATOR} <= keys.keys():
        return agreement
    return agreement.model_copy(update={"keys": Keys(plant=keys[plant], control=keys[OPERATOR])})
