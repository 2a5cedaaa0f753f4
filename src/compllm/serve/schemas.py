"""What a chat completion may ask for. A field says in its description what becomes of it; the documentation repeats it.

The type of a field admits only what the server can do: the rest is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

MAX_TURNS = 1_000
# No object of a request has so many fields that mean something.
_MAX_FIELDS = 100


def _few(given: object) -> object:
    """Refuse an object with very many fields at once: a problem found in each would hold everybody else up."""
    if isinstance(given, dict) and len(given) > _MAX_FIELDS:
        raise PydanticCustomError("too_many_fields", f"at most {_MAX_FIELDS} fields, not {len(given)}")
    return given


Few = BeforeValidator(_few)
# For lists that may be long: the first problem is told, the others are not looked for.
FirstProblem = Field(fail_fast=True)
Nothing = Annotated[list[Any], Field(max_length=0)] | None
Zero = Annotated[float, Field(ge=0, le=0)] | None
EndUser = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
RunId = Annotated[str, StringConstraints(max_length=256)]
Priority = Annotated[int, Field(ge=-100, le=100)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class Body(BaseModel):
    """Whatever a client sends; what is not known is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, given: object) -> object:
        return _few(given)


class Extras(Body):
    """What Comp-LLM can do beyond the OpenAI API."""

    plan: str | None = Field(None, description="A plan of your own, in the plan language, in place of the planner's.")
    dry_run: bool = Field(default=False, description="Answer with the plan and who would answer it; nothing runs.")
    priority: Priority = Field(0, description="Below 0: everything else goes first. A key's own priority is the most.")


class TextPart(BaseModel):
    """A piece of a message."""

    type: Literal["text"]
    text: str


Content = str | Annotated[list[TextPart], FirstProblem]


class SystemMessage(BaseModel):
    """What the client says of how to answer."""

    role: Literal["system", "developer"]
    content: Content


class UserMessage(BaseModel):
    """A question."""

    role: Literal["user"]
    content: Content


class AssistantMessage(BaseModel):
    """An earlier answer; other fields of it, such as its reasoning, are not needed."""

    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: Nothing = None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]


class TextFormat(Body):
    """Plain text: small models behind a plan cannot be held to a form."""

    type: Literal["text"]


class StreamOptions(Body):
    """How to stream."""

    include_usage: bool = Field(default=False, description="Send the tokens of all calls in a last chunk.")
    include_obfuscation: Literal[False] | None = Field(None, description="Only `false`: chunks are not padded.")


class ChatBody(Body):
    """The body of a chat completion."""

    model: str = Field(description="The team or one of its experts, by name.")
    messages: list[Message] = Field(
        min_length=1,
        max_length=MAX_TURNS,
        fail_fast=True,
        description="The last one is the question, earlier ones give it its sense.",
    )
    stream: bool | None = Field(None, description="Send the answer, and how it comes about, piece by piece.")
    stream_options: StreamOptions | None = Field(None, description="With `stream`: `include_usage`.")
    stop: Stop | Annotated[list[Stop], Field(max_length=16, fail_fast=True)] | None = Field(
        None, description="The answer ends before the first of these."
    )
    max_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Longest answer; a token is counted as a mark or up to six letters."
    )
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = Field(None, description="The same as `max_tokens`.")
    user: EndUser | None = Field(None, description="Whom you ask for: each gets a fair share of the team.")
    store: bool | None = Field(None, description="With `true`, the run goes on when the client goes away.")
    compllm: Extras = Field(default_factory=Extras, description="`plan`, `dry_run`, `priority`.")

    n: Literal[1] | None = Field(None, description="Only 1: a run has one answer.")
    response_format: TextFormat | None = Field(None, description="Only text.")
    tools: Nothing = Field(None, description="None: a team calls experts, not tools.")
    functions: Nothing = Field(None, description="None, like `tools`.")
    tool_choice: Literal["none", "auto"] | None = Field(None, description="Only `none` or `auto`.")
    function_call: Literal["none", "auto"] | None = Field(None, description="Only `none` or `auto`.")
    logprobs: Literal[False] | None = Field(None, description="Only `false`.")
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = Field(None, description="Only 0.")
    logit_bias: Annotated[dict[str, float], Few, Field(max_length=0)] | None = Field(None, description="Only empty.")
    presence_penalty: Zero = Field(None, description="Only 0.")
    frequency_penalty: Zero = Field(None, description="Only 0.")
    modalities: Annotated[list[Literal["text"]], FirstProblem] | None = Field(None, description="Only text.")
    service_tier: Literal["auto", "default"] | None = Field(None, description="Only `auto` or `default`.")

    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="Without effect: the team file sets each expert's own."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="Without effect, like `temperature`.")
    seed: int | None = Field(None, description="Without effect: at temperature 0 answers repeat themselves anyway.")
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None, description="Without effect: the plan follows from the question."
    )
    parallel_tool_calls: bool | None = Field(None, description="Without effect: there are no tools.")
    metadata: Annotated[dict[str, str], Few, Field(max_length=16)] | None = Field(
        None, description="Without effect: it is not kept."
    )
    prompt_cache_key: str | None = Field(None, description="Without effect.")
    safety_identifier: str | None = Field(None, description="Without effect; `user` makes fair shares.")

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def longest(self) -> int | None:
        """The most tokens that the answer may have."""
        given = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit is not None]
        return min(given, default=None)


def text_of(content: Content | None) -> str:
    """Return the text of a message."""
    return content or "" if not isinstance(content, list) else "".join(part.text for part in content)


def idle_fields(body: Body) -> list[str]:
    """Return which of the given fields change nothing, by name."""
    return [
        name
        for name, field in type(body).model_fields.items()
        if (field.description or "").startswith("Without effect") and getattr(body, name) is not None
    ]
