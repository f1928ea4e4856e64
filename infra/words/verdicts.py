"""Verdicts in words: why one fell, by which rule, and what it is worth. Records keep the English sentence.

The sentences are those of `models/verdicts.py`; each pattern here is one of them, and a test goes through all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from infra.agreement.names import percent
from infra.agreement.words import chance_of_error
from infra.words.language import Phrase
from infra.words.metrics import metric
from schemas.agreement import Agreement
from schemas.evaluation import Guarantee

_NUMBER = r"-?[\d.]+(?:e[+-]?\d+)?"
_AFTER = r" after (?P<units>\d+) of (?P<planned>\d+) planned units"

#: Why there is no verdict on a candidate whatever its numbers, and what stands in place of a reason that is not disclosed.
_WHOLE = {
    "its start-up retired it before the trial ended": "실증이 끝나기 전에 스타트업이 철수시킴",
    "the agreement has no slot left for a verdict on it": "협약에서 정한 판정 대상 후보 수를 넘어 판정하지 않음",
    "rows or events are its units, and no rehearsal has shown that they depend little on one another": (
        "판정 단위가 행 또는 사건인데, 단위가 서로 독립에 가깝다는 것이 예행에서 입증되지 않음"
    ),
    "the agreement shows you the verdict without its figures": "협약에 따라 수치 없이 판정만 공개됨",
}
Found = re.Match[str]


def _rival(found: Found) -> str:
    return rival(found["rival"]).ko


def _at(found: Found) -> str:
    return f"계획한 {found['planned']}개 중 {found['units']}개 단위에서 "


#: What the units say.
_UNITS: dict[str, Callable[[Found], str]] = {
    rf"it loses at least (?P<by>{_NUMBER}) less a unit than (?P<rival>.+){_AFTER}": (
        lambda one: f"{_at(one)}{_rival(one)}보다 단위당 손실이 {one['by']} 이상 낮음"
    ),
    rf"it loses at least (?P<by>{_NUMBER}) more a unit than (?P<rival>.+){_AFTER}": (
        lambda one: f"{_at(one)}{_rival(one)}보다 단위당 손실이 {one['by']} 이상 높음"
    ),
    rf"it is within (?P<by>{_NUMBER}) of (?P<rival>.+){_AFTER}": (
        lambda one: f"{_at(one)}{_rival(one)} 대비 단위당 손실 차이가 {one['by']} 이내임"
    ),
    rf"the platform itself took out (?P<dropped>\d+) units, more than may be{_AFTER}": (
        lambda one: f"{_at(one)}플랫폼 문제로 제외된 단위 {one['dropped']}개가 허용 한도를 넘음"
    ),
    rf"between (?P<lower>{_NUMBER}) and (?P<upper>{_NUMBER}) less a unit, which is open{_AFTER}"
    r"(?P<excluded>, and it can no longer be accepted)?": (
        lambda one: (
            f"{_at(one)}손실이 낮은 정도가 단위당 {one['lower']} 이상 {one['upper']} 이하로 아직 가려지지 않음"
            f"{', 더 이상 합격할 수 없음' if one['excluded'] else ''}"
        )
    ),
    rf"nothing to compare with{_AFTER}": lambda one: f"{_at(one)}비교할 대상이 없음",
}
#: What the threshold says, and the counts.
_THRESHOLD: dict[str, Callable[[Found], str]] = {
    rf"(?P<share>{_NUMBER}) % of the rows were not answered": (
        lambda one: f"전체 행의 {one['share']}%에 응답하지 않음"
    ),
    r"only (?P<scored>\d+) rows were scored, (?P<least>\d+) are needed": (
        lambda one: f"채점된 행이 {one['scored']}개뿐임(최소 {one['least']}개 필요)"
    ),
    r"(?P<metric>\w+) is not defined on these rows": (
        lambda one: f"채점된 행으로는 {metric(one['metric']).ko} 값을 낼 수 없음"
    ),
    rf"(?P<metric>\w+) of (?P<value>{_NUMBER}) (?P<met>meets|misses) the threshold of (?P<threshold>{_NUMBER})": (
        lambda one: (
            f"{metric(one['metric']).ko} {one['value']}, 합격 기준값 {one['threshold']} "
            f"{'충족' if one['met'] == 'meets' else '미충족'}"
        )
    ),
}
#: What may stand between the two, and what it is in Korean.
_JOINTS = {"; but ": "; 다만 ", "; ": "; "}
_BOUND = rf"(?P<metric>\w+) at (?P<side>least|most) (?P<threshold>{_NUMBER}) over at least (?P<rows>\d+) scored rows"
_BY_UNITS = (
    rf"loses (?:at least (?P<margin>{_NUMBER}) less|less) than every rival in up to (?P<planned>\d+) units "
    rf"\(alpha (?P<alpha>{_NUMBER}) for (?P<slots>\d+) candidates\), and (?P<bound>.+)"
)


def because(text: str) -> Phrase:
    """Why a verdict fell. A text that is none of the platform's own is the same in both languages."""
    return Phrase(text, _WHOLE.get(text) or _of_parts(text) or text)


def _of_parts(text: str) -> str | None:
    """A sentence, or two with a joint between them: what a rival is called may hold one, too."""
    alone = _korean(_UNITS, text) or _korean(_THRESHOLD, text)
    if alone is not None:
        return alone
    for joint, korean in _JOINTS.items():
        # The joint is the last one: a threshold's sentence holds none.
        units, _, threshold = text.rpartition(joint)
        left, right = _korean(_UNITS, units), _korean(_THRESHOLD, threshold)
        if left is not None and right is not None:
            return left + korean + right
    return None


def _korean(sentences: dict[str, Callable[[Found], str]], text: str) -> str | None:
    for pattern, said in sentences.items():
        found = re.fullmatch(pattern, text, re.DOTALL)
        if found:
            return said(found)
    return None


def rule(text: str) -> Phrase:
    """The rule by which a verdict fell."""
    found = re.fullmatch(_BY_UNITS, text)
    if found is None:
        return Phrase(text, _bound(text) or text)
    bound = _bound(found["bound"])
    if bound is None:
        return Phrase(text, text)
    by = f"{found['margin']} 이상 " if found["margin"] else ""
    return Phrase(
        text,
        f"최대 {found['planned']}개 판정 단위에서 모든 비교 대상보다 손실이 {by}낮고"
        f"(alpha {found['alpha']}, 후보 {found['slots']}개), {bound}",
    )


def _bound(text: str) -> str | None:
    found = re.fullmatch(_BOUND, text)
    if found is None:
        return None
    side = "이상" if found["side"] == "least" else "이하"
    return f"{metric(found['metric']).ko} {found['threshold']} {side}(채점된 행 {found['rows']}개 이상)"


def rival(name: str) -> Phrase:
    """What a candidate is compared with: a baseline by its name, or a constant answer such as `always normal`."""
    answer = name.removeprefix("always ")
    return Phrase(name, name if answer == name else f"‘항상 {answer}’")


def guarantee(of: Guarantee, agreement: Agreement, *, rivals: int = 2) -> Phrase:
    """What a verdict is worth, as one plain sentence; `rivals` is how many the candidate was compared with."""
    if of == "none" or agreement.decision is None:
        return Phrase(
            "These are the numbers of this trial and no more: there is no statistical guarantee.",
            "이번 실증에서 나온 숫자일 뿐이며, 통계적 보장은 없습니다.",
        )
    wrong = percent(chance_of_error(agreement, agreement.decision, rivals=rivals))
    return Phrase(
        f"However often anyone looked, the chance that any candidate of this agreement is accepted wrongly is at most {wrong}, "
        "and so is the chance that one is rejected wrongly; it speaks of this trial, not of the future.",
        f"중간에 몇 번을 들여다보았든 이 협약의 어느 후보든 잘못 합격할 확률은 {wrong} 이하이고 잘못 불합격할 확률도 같습니다. "
        "이번 실증에 대한 것이며 앞날을 보장하지는 않습니다.",
    )


def looked_at(of: Guarantee) -> Phrase:
    """Whether where a trial stands may be looked at before its end."""
    if of == "none":
        return Phrase(
            "No verdict yet. Do not end the trial on a day on which these numbers look good or bad: whoever looks often is "
            "easily deceived (guarantee: none).",
            "아직 판정 전입니다. 숫자가 좋아 보이거나 나빠 보이는 날 실증을 끝내지 마세요. 자주 들여다볼수록 잘못 판단하기 쉽습니다"
            "(guarantee: none).",
        )
    return Phrase(
        "No verdict yet. This may be looked at as often as one likes: looking makes no wrong verdict more likely "
        "(guarantee: anytime_valid).",
        "아직 판정 전입니다. 몇 번을 들여다보아도 잘못 판정할 확률은 커지지 않습니다(guarantee: anytime_valid).",
    )
