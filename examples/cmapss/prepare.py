"""Turn NASA's text files of C-MAPSS FD001 into the CSV files that a plant would export.

    python examples/cmapss/prepare.py --data FOLDER --out FOLDER

`--data` holds `train_FD001.txt`, `test_FD001.txt` and `RUL_FD001.txt`, as they are or gzipped. `--out` gets

    engines-train.csv   engine, cycle, set1 … set3, s1 … s21, rul: run to failure, for the start-up to train on
    engines.csv         the same without rul: the engines of the trial, each ending before its failure
    engines-rul.csv     engine, cycle, value: the true remaining cycles at each engine's last cycle
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

NAMES = ["engine", "cycle", "set1", "set2", "set3", *(f"s{number}" for number in range(1, 22))]


def read_text(folder: Path, name: str) -> pd.DataFrame:
    """One of NASA's files: cells separated by spaces, no header."""
    for path in (folder / f"{name}.txt", folder / f"{name}.txt.gz"):
        if path.is_file():
            return pd.read_csv(path, sep=r"\s+", header=None)
    raise SystemExit(f"there is no {name}.txt or {name}.txt.gz in {folder}; give NASA's folder with --data")


def measurements(folder: Path, name: str) -> pd.DataFrame:
    """One row a cycle of an engine, engines named `engine-001` and so on."""
    rows = read_text(folder, name).set_axis(NAMES, axis=1)
    return rows.assign(engine=rows["engine"].map("engine-{:03d}".format))


def main() -> None:
    """Write the three files."""
    asked = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    asked.add_argument("--data", type=Path, required=True, help="NASA's folder")
    asked.add_argument("--out", type=Path, required=True, help="where the CSV files go")
    given = asked.parse_args()

    train, test = measurements(given.data, "train_FD001"), measurements(given.data, "test_FD001")
    train["rul"] = train.groupby("engine")["cycle"].transform("max") - train["cycle"]
    truth = test.groupby("engine", as_index=False)["cycle"].max()
    truth["value"] = read_text(given.data, "RUL_FD001")[0]

    given.out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("engines-train", train), ("engines", test), ("engines-rul", truth)):
        rows.to_csv(given.out / f"{name}.csv", index=False)
        print(f"{given.out / name}.csv: {len(rows)} rows")


if __name__ == "__main__":
    main()
