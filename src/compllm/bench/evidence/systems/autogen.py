"""The same experts as a group chat of AutoGen, on an OpenAI-compatible endpoint; needs the extra `autogen`.

Every expert is an assistant with its instructions and the passages that its documents have for the question; a lead
assistant ends the chat. AutoGen's own selector chooses who speaks (Wu et al. 2023). AutoGen wants an older protobuf
than the solver of the other benches does: it needs a virtual environment of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import anyio.to_thread

from compllm.bench.evidence.metering import Meter
from compllm.bench.evidence.reply import Reply, StepReply
from compllm.bench.evidence.rows import EvidenceRow
from compllm.bench.evidence.systems.base import Endpoint, Factory, Setting, System
from compllm.bench.evidence.team import BenchTeam
from compllm.errors import ConfigError
from compllm.experts.expert import Expert

_LEAD = "lead"
_DONE = "DONE"
_MOST_MESSAGES = 12
_LEAD_PROMPT = (
    "You lead experts. When they have said what the question needs, write the whole answer in one short paragraph, "
    f"from what they said alone, and end it with {_DONE}."
)
_EXPERT_PROMPT = "{description} {instructions} Answer only what belongs to your field, in one short sentence."


@dataclass(frozen=True, slots=True)
class AutoGenSystem:
    """A group chat per question; the team lends its experts and their documents, the endpoint every model."""

    team: BenchTeam
    client: Any
    meter: Meter

    async def answer(self, row: EvidenceRow) -> Reply:
        """Let the group talk until its lead says that it is done, or until the chat breaks off."""
        teams = import_module("autogen_agentchat.teams")
        conditions = import_module("autogen_agentchat.conditions")
        agents = await self._agents(row.question)
        stop = conditions.TextMentionTermination(_DONE, sources=[_LEAD]) | conditions.MaxMessageTermination(
            _MOST_MESSAGES
        )
        chat = teams.SelectorGroupChat(agents, model_client=self.client, termination_condition=stop)
        before = self.client.total_usage()
        said, notes = await _talk(chat, row.question)
        self._count(before, len(said))
        return _reply(row.question, said, notes)

    async def _agents(self, question: str) -> list[Any]:
        assistant = import_module("autogen_agentchat.agents").AssistantAgent
        made = [
            assistant(
                _identifier(name),
                model_client=self.client,
                description=expert.profile.description or "Answers what no other expert can.",
                system_message=await _system_message(expert, question),
            )
            for name, expert in self.team.experts.items()
        ]
        lead = assistant(
            _LEAD,
            model_client=self.client,
            description="Writes the whole answer once the experts have spoken.",
            system_message=_LEAD_PROMPT,
        )
        return [*made, lead]

    def _count(self, before: Any, messages: int) -> None:
        """Take the tokens from the client; the selector's calls count in tokens, its number is that of the messages."""
        usage = self.client.total_usage()
        self.meter.calls += 2 * messages
        self.meter.prompt_tokens += usage.prompt_tokens - before.prompt_tokens
        self.meter.completion_tokens += usage.completion_tokens - before.completion_tokens


async def _system_message(expert: Expert, question: str) -> str:
    prompt = _EXPERT_PROMPT.format(description=expert.profile.description, instructions=expert.instructions)
    if expert.retrieve is None:
        return prompt
    passages = await anyio.to_thread.run_sync(expert.retrieve, question, expert.passages)
    return "\n\n".join([prompt, *(passage.text for passage in passages)])


async def _talk(chat: Any, question: str) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Return who said what, and why the chat broke off if it did.

    AutoGen hands on every failure of an agent, a server's refusal too, as a `RuntimeError` with the failure's text.
    When its selector names nobody three times, the last speaker goes on, and some servers refuse such a conversation.
    """
    messages: list[Any] = []
    notes: tuple[str, ...] = ()
    try:
        async for message in chat.run_stream(task=question):
            messages.append(message)  # noqa: PERF401 - what came before a failure is kept
    except RuntimeError as error:
        notes = (f"the chat broke off: {str(error).splitlines()[0]}",)
    # The task itself comes back as a message of the user, and at the end a result that nobody said.
    said = [each for each in messages if getattr(each, "source", "user") != "user"]
    return [(str(each.source), str(each.content)) for each in said], notes


def _reply(question: str, said: Sequence[tuple[str, str]], notes: tuple[str, ...]) -> Reply:
    steps = tuple(StepReply(question, source, text, is_last=source == _LEAD) for source, text in said)
    final = next(_final(said), said[-1][1] if said else "")
    return Reply(final.replace(_DONE, "").strip(), steps, notes)


def _final(said: Sequence[tuple[str, str]]) -> Iterator[str]:
    return (text for source, text in reversed(said) if source == _LEAD)


def _identifier(name: str) -> str:
    """Return a name that AutoGen takes: a Python identifier."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


@asynccontextmanager
async def _opened(setting: Setting) -> AsyncIterator[System]:
    client = _client(setting.endpoint)
    try:
        async with BenchTeam(setting.file, setting.settings) as team:
            await team.prepare()
            yield AutoGenSystem(team, client, Meter())
    finally:
        await client.close()


def _client(endpoint: Endpoint | None) -> Any:
    if endpoint is None:
        raise ConfigError("the system autogen needs an OpenAI-compatible server: name it with --endpoint URL")
    try:
        import_module("autogen_agentchat")
        models = import_module("autogen_ext.models.openai")
    except ModuleNotFoundError:
        raise ConfigError(
            'the system autogen is not installed: pip install "autogen-agentchat" "autogen-ext[openai]"'
        ) from None
    info = {
        "vision": False, "function_calling": False, "json_output": False, "structured_output": False,
        "family": "unknown",
    }  # fmt: skip
    return models.OpenAIChatCompletionClient(
        model=endpoint.model,
        base_url=endpoint.base_url,
        api_key=endpoint.api_key or "none",
        model_info=info,
        temperature=0.0,
        max_tokens=128,
    )


AUTOGEN: dict[str, Factory] = {"autogen": _opened}
