"""What the answers of a child mean. Their form was checked on the wire; here it is what is in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.sandbox.spec import ChildSpec
from infra.sandbox.wire import Answer, Due
from models import child
from models.contract import Failed, Predicted
from models.faults import known_exception, known_place


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an answer took, measured by the platform."""

    wall_ns: int
    cpu_ns: int
    #: The largest resident size of the process so far.
    max_rss_kb: int


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready for frames."""

    #: What the start took; where the process was warm, the load.
    wall_ns: int
    #: CPU time of the load alone.
    cpu_ns: int
    #: The largest resident size of the process so far, libraries included.
    max_rss_kb: int
    #: Whether MLflow's own check of each call is left out, because it would change nothing.
    direct: bool


def meaning(answer: Answer, due: Due, cost: Cost, spec: ChildSpec) -> Predicted | Loaded | Failed | None:
    """What an answer means; None where its values are unusable."""
    wall_ns, cpu_ns, peak_kb = cost.wall_ns, cost.cpu_ns, cost.max_rss_kb
    if answer.status == child.PREDICTED:
        columns = _columns(answer, due, len(spec.classes))
        if columns is None:
            return None
        return Predicted(columns=columns, cpu_ns=cpu_ns, wall_ns=wall_ns, max_rss_kb=peak_kb)
    if answer.status not in child.FAILURES:
        direct = answer.body == child.DIRECT.encode()
        return Loaded(wall_ns=wall_ns, cpu_ns=cpu_ns, max_rss_kb=peak_kb, direct=direct)
    exception, place, text = answer.texts
    return Failed(
        kind=child.FAILURES[answer.status],
        text=text,
        exception=known_exception(exception),
        where=known_place(place, spec.sources),
        cpu_ns=cpu_ns,
        wall_ns=wall_ns,
        max_rss_kb=peak_kb,
    )


def _columns(answer: Answer, due: Due, n_classes: int) -> npt.NDArray[np.float64] | None:
    """The answer with one kind of zero and of not-a-number, or None if a value is unusable."""
    columns = np.frombuffer(answer.body, dtype="<f8").reshape(due.columns, due.rows) + 0.0
    absent = np.isnan(columns)
    columns[absent] = np.nan
    if np.isinf(columns).any():
        return None
    codes = columns[0]
    if n_classes:
        usable = (codes >= 0) & (codes < n_classes) & (codes == np.floor(codes))
        if not (absent[0] | usable).all():
            return None
    return columns
