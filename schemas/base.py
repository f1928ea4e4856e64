"""What every record has in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


class Record(BaseModel):
    """A frozen record: unknown fields are refused, so that a misspelt field is noticed where it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> bytes:
        """The record as UTF-8 JSON, without the fields that hold nothing."""
        return self.model_dump_json(exclude_none=True).encode()

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values, without the fields that hold nothing."""
        return self.model_dump(mode="json", exclude_none=True)


def _as_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone, such as 2026-03-02T09:00:00+09:00 or …Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time lies outside the years 1 to 9999 in UTC") from error


#: A readable identifier that is also safe in a topic name, a file name and a consumer group: `pump-2026-01`.
Ident = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$", min_length=1, max_length=63)
]

#: One machine or line, as the plant names it: no white space and no slash, Korean allowed.
AssetName = Annotated[str, StringConstraints(pattern=r"^[^\s/]+$", min_length=1, max_length=64)]

#: One measured channel, as the plant names it.
TagName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]

#: A moment with its zone, kept in UTC.
Moment = Annotated[datetime, AfterValidator(_as_utc)]

#: Offsets of a topic by partition. JSON turns the keys into text and pydantic turns them back.
Offsets = dict[int, int]

#: An Ed25519 public key, 32 bytes in lower-case hexadecimal.
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

#: A SHA-256 sum in lower-case hexadecimal.
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
