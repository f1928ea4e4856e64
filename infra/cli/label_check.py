"""Labels that no trial of a plant could understand are refused before they are sent, while they are easy to put right."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from schemas.agreement import Agreement, LabelValue
from schemas.pairing import OVER, Pairing


def agreements_of(plant: str, pairings: Iterable[Pairing]) -> list[Agreement]:
    """The agreements of a plant's trials that are not concluded."""
    return [one.agreement for one in pairings if one.plant == plant and one.phase not in OVER]


def not_understood(values: Collection[LabelValue], agreements: Collection[Agreement]) -> str | None:
    """What is wrong with labels that none of the agreements knows, in words; None where nothing is."""
    strange = [value for value in values if not any(_known(value, one) for one in agreements)]
    if not strange or not agreements:
        return None
    told = ", ".join(repr(value) for value in strange[:5])
    return f"no trial at this plant understands the label {told}; {' or '.join(_asked(one) for one in agreements)}"


def _known(value: LabelValue, agreement: Agreement) -> bool:
    try:
        agreement.code(value)
    except ValueError:
        return False
    return True


def _asked(agreement: Agreement) -> str:
    if agreement.task.numeric:
        return "its agreement asks for a number"
    return f"its agreement knows {', '.join(agreement.classes)}"
