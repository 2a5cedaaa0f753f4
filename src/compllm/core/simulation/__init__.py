from compllm.core.simulation.driver import Brain, simulate
from compllm.core.simulation.measures import Summary, summarise
from compllm.core.simulation.result import Attempt, FinishedRun, SimulationResult, Stay
from compllm.core.simulation.truth import Failures, Truth

__all__ = [
    "Attempt",
    "Brain",
    "Failures",
    "FinishedRun",
    "SimulationResult",
    "Stay",
    "Summary",
    "Truth",
    "simulate",
    "summarise",
]
