"""Charts in which runs are compared: score, coverage and QD score over rounds, a line a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.report.course import chart
from analysis.report.document import plain_texts
from analysis.report.values import MOST_POINTS, numbers

_CURVES = {
    "best_validation_score": ("Validation {score}, best organism", "{score}"),
    "coverage": ("Coverage", "share of cells"),
    "qd_score": ("QD score", "sum of objectives"),
}


@dataclass(frozen=True, slots=True)
class Course:
    """How a run went on."""

    name: str
    score: str  # what its task's score is called
    rounds: Sequence[int]
    curves: Mapping[str, Sequence[float | None]]  # a value a round: best_validation_score, coverage, qd_score


def comparison(courses: Sequence[Course]) -> list[Mapping[str, Any]]:
    """Return the charts as the page's script takes them; a series of each run, whether it has rounds or not."""
    names = {course.score for course in courses}
    score = names.pop() if len(names) == 1 else "score"
    found = []
    for key, (title, unit) in _CURVES.items():
        series = [_series(course, key) for course in courses]
        made = chart(title.format(score=score), unit.format(score=score), series)
        found.append({"kind": made.kind, "title": made.title, "narrow": True, **made.data})
    return [plain_texts(each) for each in found]


def _series(course: Course, key: str) -> Mapping[str, Any]:
    count = len(course.rounds)
    kept = np.unique(np.linspace(0, max(0, count - 1), min(count, MOST_POINTS)).round().astype(int))
    return {
        "name": course.name,
        "x": [course.rounds[place] for place in kept],
        "y": numbers(course.curves[key][place] for place in kept),
    }
