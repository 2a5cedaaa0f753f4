"""Resource-constrained project scheduling (RCPSP, single mode): activities, precedence, renewable resources.

    Project ──priority rule──▶ serial_schedule | parallel_schedule ──▶ Schedule ──justify──▶ Schedule
            ──best_schedule──▶ the best of many, within a limit

The module knows no clock: who wants to stop early says when.
"""

from compllm.core.rcpsp.passes import justify, parallel_schedule, serial_schedule
from compllm.core.rcpsp.project import Activity, Project, Schedule, violation
from compllm.core.rcpsp.rules import RULES, Rule
from compllm.core.rcpsp.search import Found, best_schedule

__all__ = [
    "RULES",
    "Activity",
    "Found",
    "Project",
    "Rule",
    "Schedule",
    "best_schedule",
    "justify",
    "parallel_schedule",
    "serial_schedule",
    "violation",
]
