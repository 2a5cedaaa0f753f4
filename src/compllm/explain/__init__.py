"""What happened in a run and why: `explain` folds its events, `render_text` and `render_summary` write it out."""

from compllm.explain.fold import explain
from compllm.explain.lines import clean
from compllm.explain.story import (
    Attempt,
    CriticalStep,
    Departure,
    Explanation,
    LoadStory,
    NodeStory,
    Phases,
    Together,
    Wait,
)
from compllm.explain.text import render_summary, render_text

__all__ = [
    "Attempt",
    "CriticalStep",
    "Departure",
    "Explanation",
    "LoadStory",
    "NodeStory",
    "Phases",
    "Together",
    "Wait",
    "clean",
    "explain",
    "render_summary",
    "render_text",
]
