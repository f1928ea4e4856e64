"""How one row is written in a source's messages: which field is the time, which the machine, and which are tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from infra.errors import InfraError
from schemas.parties import Plant


class BadLayout(InfraError):
    """The fields that were named do not fit the plant. Nothing was read."""

    exit_code = 2


class Clock(StrEnum):
    """How a row's time is written: as ISO 8601 text, or as a whole number since 1970."""

    ISO = "iso"
    SECONDS = "s"
    MILLIS = "ms"
    MICROS = "us"

    @property
    def micros(self) -> int:
        """Microseconds in one of it; of a text, 1."""
        return {Clock.SECONDS: 1_000_000, Clock.MILLIS: 1_000}.get(self, 1)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The fields of a row.

    Attributes:
        assets: the plant's machines.
        fields: the tag of each field, in the order of the frames' columns.
        ts: the field of the time.
        clock: how it is written.
        zone: the zone of texts that carry none; None where every one has to carry its own.
        asset_field: the field that names the machine; None where the message's key does.
        asset: the machine that every row is of; None where it differs.
        strict: whether a field that is none of these has its row rejected.
    """

    assets: tuple[str, ...]
    fields: Mapping[str, str]
    ts: str = "ts"
    clock: Clock = Clock.ISO
    zone: str | None = None
    asset_field: str | None = None
    asset: str | None = None
    strict: bool = False
    known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        named = [self.ts, *self.fields, *([self.asset_field] if self.asset_field is not None else [])]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise BadLayout(
                f"field {', '.join(twice)} is named for two things; say with --ts-field, --asset-field and --map what it is"
            )
        object.__setattr__(self, "known", frozenset(named))

    @property
    def tags(self) -> tuple[str, ...]:
        """The frames' columns besides `ts`."""
        return tuple(self.fields.values())


def fields_of(plant: Plant, names: Mapping[str, str], tags: Sequence[str] = ()) -> dict[str, str]:
    """The tag of each field: fields bear the names of their tags where nothing else is said.

    Args:
        plant: whose tags they are.
        names: what is said: tags by field.
        tags: only these; none are all of the plant's.

    Raises:
        BadLayout: a tag is not one of the plant's, or is named twice.
    """
    known = [tag.name for tag in plant.tags]
    strange = [tag for tag in (*names.values(), *tags) if tag not in known]
    if strange:
        raise BadLayout(
            f"the plant {plant.id} has no tag {', '.join(strange)}; its tags are {', '.join(known)}"
        )
    by_tag = {tag: name for name, tag in names.items()}
    if len(by_tag) != len(names):
        raise BadLayout("one tag has two fields; name each tag once with --map FIELD=TAG")
    return {by_tag.get(tag, tag): tag for tag in known if not tags or tag in tags}


def check_asset(plant: Plant, asset: str | None) -> None:
    """Raises BadLayout where the plant has no such machine."""
    known = [one.name for one in plant.assets]
    if asset is not None and asset not in known:
        raise BadLayout(f"the plant {plant.id} has no asset {asset}; its assets are {', '.join(known)}")
