"""The physics of a circulating pump: operating point, cavitation, motor, vibration and slow temperatures.

Sources: Gülich, *Centrifugal Pumps* (affinity laws, pump and system curve, the 3 % head drop that defines
NPSHr, recirculation at part load); IEC 60534-2-1 (equal-percentage valve characteristic); ISO 21940-11
(balance quality grade G = e·ω in mm/s); Antoine's equation for the vapour pressure of water.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Series = NDArray[np.float64]

GRAVITY = 9.80665  # m/s²
DENSITY = 998.0  # kg/m³, water at 20 °C
ATMOSPHERE_PA = 101_325.0
NOMINAL_RPM = 2_900.0
#: Flow at the best efficiency point at nominal speed, l/min.
BEST_FLOW = 130.0


@dataclass(frozen=True, kw_only=True)
class Pump:
    """One machine of the bench; the values differ by a few per cent from one to the next."""

    #: Head at closed valve and nominal speed, m.
    shutoff_head: float = 14.0
    #: Fall of the head with the square of the flow, m/(l/min)².
    head_fall: float = 2.3e-4
    #: Resistance of the loop without valves, m/(l/min)².
    loop_resistance: float = 2.6e-4
    #: Resistance of the wide-open suction line, m/(l/min)².
    suction_resistance: float = 3.0e-5
    #: Best efficiency of the hydraulic part, 1.
    efficiency: float = 0.56
    #: Remaining imbalance as balance quality grade at nominal speed, mm/s.
    balance_grade: float = 5.0
    #: Ambient temperature at the bench, °C.
    ambient: float = 20.0


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What is done to the bench in each second; every field has shape (n,)."""

    #: Speed as a share of the nominal one.
    speed: Series
    #: Opening of the discharge valve, 0 to 1.
    discharge: Series
    #: Resistance of the suction line as a multiple of the open one.
    throttling: Series
    #: Imbalance as a multiple of what remains after balancing.
    imbalance: Series


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """The operating point in each second; every field has shape (n,)."""

    #: l/min.
    flow: Series
    #: m.
    head: Series
    #: Intensity of the bubbles, 0 to 1.
    cavitation: Series
    #: Head lost before the pump, m.
    suction_loss: Series
    #: W.
    shaft_power: Series


def operating_point(pump: Pump, state: Operation, fluid: Series) -> OperatingPoint:
    """Where the pump's curve meets the system's, less the head that cavitation takes; `fluid` is in °C.

    Pump: H = s²·H0 - a·Q² (affinity laws). System: H = (K_loop + K_discharge + K_suction)·Q². Cavitation
    depends on the flow and the flow on cavitation: a damped fixed point, settled after 40 rounds.
    """
    opening = 25.0 ** (state.discharge - 1)  # equal percentage, rangeability 25
    suction = pump.suction_resistance * state.throttling
    resistance = pump.loop_resistance + 1.0e-4 / opening**2 + suction
    flow, lost, margin = fluid, np.zeros_like(fluid), fluid
    for _ in range(40):
        flow = state.speed * np.sqrt(
            pump.shutoff_head * (1 - lost) / (pump.head_fall * (1 - lost) + resistance)
        )
        required = 2.0 * state.speed**2 + 2.5 * (flow / BEST_FLOW) ** 2
        margin = _npsh_available(suction * flow**2, fluid) - required
        lost = 0.5 * lost + 0.5 * _head_lost(margin)
    head = (state.speed**2 * pump.shutoff_head - pump.head_fall * flow**2) * (1 - lost)
    bubbles = 1 / (1 + np.exp(np.clip((margin - 0.4) / 0.3, -50, 50)))  # heard well before the head falls
    shaft = _shaft_power(pump, state, flow, head, lost)
    return OperatingPoint(
        flow=flow, head=head, cavitation=bubbles, suction_loss=suction * flow**2, shaft_power=shaft
    )


def _shaft_power(pump: Pump, state: Operation, flow: Series, head: Series, lost: Series) -> Series:
    """Hydraulic power ρgQH over the efficiency, which falls off beside the best point, and friction; W."""
    relative = flow / (state.speed * BEST_FLOW)
    efficiency = pump.efficiency * np.clip(1 - 0.8 * (relative - 1) ** 2, 0.2, 1) * (1 - 0.5 * lost)
    hydraulic = DENSITY * GRAVITY * (flow / 60_000) * head
    return np.asarray(hydraulic / efficiency + 25 * state.speed**3)  # 25 W of disc and bearing friction


def _npsh_available(suction_loss: Series, fluid: Series) -> Series:
    """NPSHa in m: (p_atm - p_v)/(ρg) and 0.4 m of water above the inlet, less the suction line's loss."""
    vapour = 133.322 * 10 ** (8.07131 - 1730.63 / (233.426 + fluid))
    return np.asarray((ATMOSPHERE_PA - vapour) / (DENSITY * GRAVITY) + 0.4 - suction_loss)


def _head_lost(margin: Series) -> Series:
    """Share of the head lost at a margin NPSHa - NPSHr in m: 3 % at zero by definition, at most 30 %."""
    return np.asarray(0.3 / (1 + 9 * np.exp(np.clip(margin / 0.45, -50, 50))))


def lag(wanted: Series, *, seconds: float, first: float | None = None) -> Series:
    """First-order lag, one step a second; it begins at `first`, or settled at the first value."""
    keep = float(np.exp(-1 / seconds))
    begin = float(wanted[0]) if first is None else first
    out, _ = lfilter([1 - keep], [1, -keep], wanted, zi=[keep * begin])
    return np.asarray(out)


def motor_load(shaft: Series, voltage: Series) -> tuple[Series, Series]:
    """Electric power in W and current in A of a 0.75 kW motor, single-phase, that gives `shaft` watts.

    Efficiency and power factor rise with the load.
    """
    load = shaft / 750
    efficiency = 0.80 * load / (load + 0.09)
    power_factor = np.minimum(0.95, 0.62 + 0.42 * load)
    electric = shaft / efficiency
    return electric, electric / (voltage * power_factor)


def bearing_vibration(pump: Pump, state: Operation, point: OperatingPoint) -> Series:
    """RMS acceleration at the bearing in g: independent sources add as squares.

    Imbalance gives e·ω² at the rotor, a fifth of it at the bearing; part load gives recirculation; vapour
    bubbles give broadband noise.
    """
    omega = 2 * np.pi * NOMINAL_RPM / 60 * state.speed
    rotor = pump.balance_grade * 1e-3 * state.speed * state.imbalance * omega / np.sqrt(2)
    imbalance = 0.2 * rotor / GRAVITY
    recirculation = 0.06 * np.clip(1 - point.flow / (state.speed * BEST_FLOW), 0, 1)
    bubbles = 0.07 * point.cavitation
    floor = 0.08 * state.speed**2
    return np.asarray(np.sqrt(floor**2 + imbalance**2 + recirculation**2 + bubbles**2))
