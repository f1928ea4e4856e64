"""Make the example of a messy export: a hydraulic press (유압 프레스), simulated, always the same bytes.

    python examples/messy/make.py

writes beside itself `press-line-3-history.csv` (800 rows without a fault, to train on), `press-line-3.csv` (1,200 rows
of the trial) and `press-line-3-events.csv` (what the plant found out later). All in CP949, as spreadsheets of Korean factories
write them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 20260302
STEP = timedelta(seconds=10)
HISTORY_ROWS, TRIAL_ROWS = 800, 1200
HISTORY_START = datetime(2026, 3, 2, 8, 0, 0)
TRIAL_START = datetime(2026, 3, 3, 10, 30, 0)

HEADER = "일시;압력;온도;진동;전류;품질;비고"
UNITS = ";bar;℃;mm/s;A;;"
MARK = "# 모의 데이터 (simulated): examples/messy/make.py"

#: First and last row of each event in the trial, what the plant calls it, and what happens to the four values.
EVENTS = (
    (110, 169, "고장", (-16.0, 1.5, 0.6, 3.0)),  # 압력 누설 (leak): pressure falls, the pump draws more
    (290, 344, "불량", (0.0, 0.0, 1.9, 0.6)),  # 금형 체결 불량: vibration
    (470, 539, "고장", (2.0, 9.0, 0.3, 4.5)),  # 과열 (overheating): temperature and current
    (700, 744, "불량", (-7.0, 0.0, 1.2, -1.5)),  # 소재 불량: pressure and vibration
    (880, 949, "고장", (-12.0, 3.0, 1.6, 2.5)),  # 펌프 마모 (pump wear)
    (1090, 1129, "불량", (0.0, 1.0, 2.2, 0.0)),  # 금형 체결 불량: vibration
)
REMARKS = {40: "금형 교체; 재가동", 333: '작업자: "이음"', 905: "점검 요청"}


def measured(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Pressure (bar), temperature (°C), vibration (mm/s) and current (A) of a healthy press, shape (rows, 4)."""
    beat = np.arange(rows)
    stroke = np.sin(beat * 2 * np.pi / 12)
    load = 0.5 * np.sin(beat * 2 * np.pi / 360)
    pressure = 160 + 6 * stroke + 3 * load + rng.normal(0, 1.2, rows)
    temperature = 48 + 2.5 * load + np.cumsum(rng.normal(0, 0.03, rows)) + rng.normal(0, 0.2, rows)
    vibration = 1.8 + 0.25 * stroke + rng.normal(0, 0.15, rows)
    current = 42 + 2.2 * stroke + 1.5 * load + rng.normal(0, 0.5, rows)
    return np.column_stack([pressure, temperature, vibration, current])


def with_events(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same press with what goes wrong; each event sets in within five rows."""
    values = values.copy()
    for first, last, _, effect in EVENTS:
        onset = np.minimum(1.0, np.arange(1, last - first + 2) / 5)
        values[first : last + 1] += onset[:, None] * np.array(effect)
    return values


def written(at: datetime) -> str:
    """`2026-03-02 오후 1:02:03`."""
    return f"{at:%Y-%m-%d} {'오전' if at.hour < 12 else '오후'} {at.hour % 12 or 12}:{at:%M:%S}"


def lines(rng: np.random.Generator, start: datetime, values: NDArray[np.float64]) -> list[str]:
    """The file's lines: what instruments drop out with, a quality column, and remarks in quotation marks."""
    found = [MARK, HEADER, UNITS]
    for place, row in enumerate(values):
        cells = [f"{row[0]:.1f}", f"{row[1]:.2f}", f"{row[2]:.3f}", f"{row[3]:.1f}"]
        quality = "양호"
        chance = rng.random()
        if chance < 0.012:
            cells[int(rng.integers(4))], quality = (
                ("Bad", "I/O Timeout", "#N/A", "")[int(rng.integers(4))],
                "불량",
            )
        elif chance < 0.014:
            cells, quality = ["No Data"] * 4, "통신불량"
        remark = REMARKS.get(place, "") if values.shape[0] == TRIAL_ROWS else ""
        if ";" in remark or '"' in remark:
            remark = '"' + remark.replace('"', '""') + '"'
        found.append(";".join([written(start + place * STEP), *cells, quality, remark]))
    return found


def events() -> list[str]:
    """What the plant writes down: from when, before when, and what it was."""
    found = ["설비,시작,종료,구분"]
    for first, last, kind, _ in EVENTS:
        start, end = TRIAL_START + first * STEP, TRIAL_START + (last + 1) * STEP
        found.append(f"press-line-3,{written(start)},{written(end)},{kind}")
    return found


def main(folder: Path) -> None:
    """Write the three files."""
    rng = np.random.default_rng(SEED)
    history = lines(rng, HISTORY_START, measured(rng, HISTORY_ROWS))
    trial = lines(rng, TRIAL_START, with_events(measured(rng, TRIAL_ROWS)))
    for name, text in (("-history", history), ("", trial), ("-events", events())):
        (folder / f"press-line-3{name}.csv").write_bytes(("\r\n".join(text) + "\r\n").encode("cp949"))


if __name__ == "__main__":
    main(Path(__file__).parent)
