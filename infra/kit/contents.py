"""What a start-up is given to begin with: the schema of what its model gets, units, the allowed sample, a first model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InfraError
from infra.kit.history import History
from infra.kit.sample import Handed, columns_of, write_sample
from infra.kit.script import notebook, script
from infra.kit.words import readme
from infra.words.language import Lang, Phrase
from schemas.pairing import Pairing
from schemas.parties import Plant


class KitNotWritten(InfraError):
    """The kit cannot be written there."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Kit:
    """A kit as it was written."""

    files: Sequence[Path]
    #: The record of the sample in it, or why there is none.
    given: Handed | Phrase


def check_new(directory: Path) -> None:
    """See that a kit can be written there, before a plant's history is read for it.

    Raises:
        KitNotWritten: it is no directory, or something lies in it.
    """
    if directory.is_dir() and any(directory.iterdir()):
        raise KitNotWritten(f"{directory} is not empty; name a new directory with --to")
    if directory.exists() and not directory.is_dir():
        raise KitNotWritten(f"{directory} is a file; name a new directory with --to")


def write_kit(directory: Path, pairing: Pairing, plant: Plant, sample: History | Phrase) -> Kit:
    """Write a pairing's kit into a new directory.

    Args:
        directory: made where it is not there.
        pairing: with the agreement that says what may be given.
        plant: where the inputs' units stand.
        sample: the rows that the agreement allows, or why none are given.

    Raises:
        KitNotWritten: the directory is not empty, or cannot be written.
    """
    check_new(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        given = sample if isinstance(sample, Phrase) else write_sample(directory, pairing, plant, sample)
        texts = _texts(pairing, plant, given)
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise KitNotWritten(f"{directory}: {error.strerror}; name another directory with --to") from error
    names = [*texts, *([] if isinstance(given, Phrase) else [given.file])]
    return Kit(files=[directory / name for name in names], given=given)


def _texts(pairing: Pairing, plant: Plant, given: Handed | Phrase) -> dict[str, str]:
    return {
        "README.md": readme(pairing, plant, given, Lang.EN),
        "README.ko.md": readme(pairing, plant, given, Lang.KO),
        "schema.json": json.dumps(_schema(pairing, plant, given), ensure_ascii=False, indent=2) + "\n",
        "train.py": script(pairing),
        "first-model.ipynb": json.dumps(notebook(pairing), ensure_ascii=False, indent=1) + "\n",
    }


def _schema(pairing: Pairing, plant: Plant, given: Handed | Phrase) -> dict[str, object]:
    units = {tag.name: tag for tag in plant.tags}
    agreement = pairing.agreement
    asset, label = columns_of(agreement)
    return {
        "pairing": pairing.id,
        "agreement_digest": pairing.agreement_digest,
        "task": agreement.task,
        "target": agreement.target,
        "unit": agreement.unit,
        "classes": list(agreement.classes),
        "assets": list(agreement.assets),
        "inputs": [
            {"name": name, "type": "double", "unit": units[name].unit, "description": units[name].description}
            for name in agreement.inputs
        ],
        "optional_inputs": [
            {"name": "ts", "type": "datetime", "metadata": "with_ts"},
            {"name": "asset", "type": "string", "metadata": "with_asset"},
        ],
        "most_context_rows": agreement.limits.context_rows,
        "training_data": agreement.training_data,
        "extract_columns": {"ts": "ts", "asset": asset, "label": label},
        "handed_over": None if isinstance(given, Phrase) else given.to_dict(),
        "limits": agreement.limits.model_dump(mode="json"),
        "acceptance": agreement.acceptance.model_dump(mode="json", exclude_none=True),
        "simulated": plant.simulated,
    }
