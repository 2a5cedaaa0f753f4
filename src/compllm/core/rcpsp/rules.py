"""Priority rules: how urgent an activity is, smallest first (Kolisch 1996)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from compllm.core.rcpsp.project import Project

Rule = Callable[[Project], Sequence[float]]


def latest_start(project: Project) -> Sequence[float]:
    """LST: the activity that must start soonest."""
    return project.latest_start


def latest_finish(project: Project) -> Sequence[float]:
    """LFT: the activity that must end soonest."""
    pairs = zip(project.latest_start, project.activities, strict=True)
    return [start + activity.duration for start, activity in pairs]


def most_total_successors(project: Project) -> Sequence[float]:
    """MTS: the activity that most others wait for, directly or not; O(activities^2)."""
    below: list[set[int]] = [set() for _ in project.activities]
    for position in reversed(project.order):
        below[position].update(project.successors[position], *(below[after] for after in project.successors[position]))
    return [-len(waiting) for waiting in below]


def greatest_rank(project: Project) -> Sequence[float]:
    """GRPW: the activity with the most work in it and its direct successors (greatest rank positional weight)."""
    durations = [activity.duration for activity in project.activities]
    return [
        -durations[position] - sum(durations[after] for after in project.successors[position])
        for position in range(len(durations))
    ]


def least_slack(project: Project) -> Sequence[float]:
    """MSLK: the activity with the least time between its earliest and its latest start."""
    return [late - early for late, early in zip(project.latest_start, project.earliest_start, strict=True)]


RULES: Mapping[str, Rule] = {
    "LFT": latest_finish,
    "LST": latest_start,
    "MTS": most_total_successors,
    "GRPW": greatest_rank,
    "MSLK": least_slack,
}
