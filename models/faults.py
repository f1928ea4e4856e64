"""What is told to a start-up of a fault of its candidate.

A candidate has seen the plant's rows and writes its own error messages: what leaves the plant is chosen from what was
known before it saw any of them.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping

#: What every other exception is called.
OTHER = "Exception"

_BUILT_IN = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)

#: Exceptions of the libraries that models are made of, under the names which their own documentation uses.
_OF_LIBRARIES = frozenset(
    {
        # numpy, scipy
        *("AxisError", "LinAlgError", "UFuncTypeError", "_ArrayMemoryError", "_UFuncNoLoopError"),
        # pandas
        *("EmptyDataError", "IndexingError", "IntCastingNaNError", "InvalidIndexError", "MergeError"),
        *("OutOfBoundsDatetime", "OutOfBoundsTimedelta", "ParserError", "UndefinedVariableError"),
        # pyarrow
        *("ArrowException", "ArrowIndexError", "ArrowInvalid", "ArrowKeyError", "ArrowMemoryError"),
        *("ArrowNotImplementedError", "ArrowTypeError"),
        # scikit-learn, joblib
        *("InvalidParameterError", "NotFittedError", "PositiveSpectrumError"),
        # MLflow and what it reads models with
        *("MlflowException", "JSONDecodeError", "PicklingError", "UnpicklingError", "ScannerError"),
        # boosted trees, ONNX Runtime, PyTorch
        *("CatBoostError", "LightGBMError", "XGBoostError"),
        *(
            "EPFail",
            "Fail",
            "InvalidArgument",
            "InvalidGraph",
            "InvalidProtobuf",
            "NoSuchFile",
            "NotImplemented",
        ),
        *("RuntimeException", "OutOfMemoryError"),
    }
)

KNOWN = _BUILT_IN | _OF_LIBRARIES

_PLACE = re.compile(r"(?P<file>.+):(?P<line>[1-9][0-9]{0,6})", re.ASCII)


def known_exception(said: str) -> str | None:
    """The exception's class as it is told: a well-known name, `Exception` for any other, None for none."""
    if not said:
        return None
    return said if said in KNOWN else OTHER


def known_place(said: str, sources: Mapping[str, int]) -> str | None:
    """The place `file:line` where it names a line of one of the candidate's own sources, else None.

    Args:
        said: what the candidate's process says.
        sources: the number of lines of each source file by its path inside the model, as it was submitted.
    """
    found = _PLACE.fullmatch(said)
    if found is None or int(found["line"]) > sources.get(found["file"], 0):
        return None
    return said
