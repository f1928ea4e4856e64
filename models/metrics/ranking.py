"""Average precision, from how many rows of each class have each score."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from models.exact import as_fraction, exact_sum, published


def average_precision(positives: np.ndarray, negatives: np.ndarray) -> float | None:
    """Σ (R_k − R_{k−1}) · P_k over the different scores, highest first, with recall R and precision P from there on.

    The step-wise area under the precision-recall curve, as scikit-learn's `average_precision_score`: interpolating
    between its points would be too kind (Davis and Goadrich, The relationship between precision-recall and ROC curves,
    ICML 2006). Each term is one correctly rounded division and their sum is exact, so that it is the same everywhere.

    Args:
        positives, negatives: int64, shape (k,): rows of the second and the first class, by score, highest first.
    """
    found = np.cumsum(positives)
    total = int(found[-1]) if found.size else 0
    if not total:
        return None
    terms = positives * found / (found + np.cumsum(negatives))
    return published(as_fraction(exact_sum(terms)) / Fraction(total))
