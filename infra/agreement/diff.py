"""What two agreements say differently, term by term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from infra.agreement.names import NOT_AGREED, name_of, value_text
from infra.words.language import Phrase
from schemas.agreement import Agreement


@dataclass(frozen=True, kw_only=True)
class Change:
    """One term that differs; None where one side does not have it."""

    path: str
    before: Any
    after: Any

    def words(self) -> Phrase:
        """The change on one line."""
        before, after = (_value(one) for one in (self.before, self.after))
        name = name_of(self.path)
        return Phrase(
            f"{name.en} ({self.path}): {before.en} → {after.en}",
            f"{name.ko} ({self.path}): {before.ko} → {after.ko}",
        )


def _value(value: Any) -> Phrase:
    if value is None:
        return NOT_AGREED
    text = value_text(value)
    return Phrase(text, text)


def changes(before: Agreement, after: Agreement) -> tuple[Change, ...]:
    """Every term that differs, in the order of the agreement's fields."""
    old, new = _flat(before.to_dict()), _flat(after.to_dict())
    return tuple(
        Change(path=path, before=old.get(path), after=new.get(path))
        for path in {**old, **new}
        # As the hash sees them: 14 and 14.0 are one number, 1 and true are not one value.
        if rfc8785.dumps(old.get(path)) != rfc8785.dumps(new.get(path))
    )


def _flat(terms: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Values by path; a list is one value."""
    flat: dict[str, Any] = {}
    for name, value in terms.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{above}{name}."))
        else:
            flat[above + name] = value
    return flat
