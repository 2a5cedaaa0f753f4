"""What a request to the Responses API may ask for; see the chat completions' schemas for how."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from compllm.serve.schemas import MAX_TURNS, Body, EndUser, Extras, Few, FirstProblem, Nothing, RunId, TextFormat


class InputPart(BaseModel):
    """A piece of a message; `output_text` is of an earlier answer."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class InputMessage(BaseModel):
    """A turn of the conversation; other fields of it are not needed."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[InputPart], FirstProblem]

    @property
    def text(self) -> str:
        """What was said."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class InputReasoning(BaseModel):
    """The reasoning of an earlier answer, which clients send back; it is not needed."""

    type: Literal["reasoning"]


class TextOptions(Body):
    """The form of the answer."""

    format: TextFormat | None = Field(None, description="Only text.")
    verbosity: Literal["medium"] | None = Field(None, description="Only `medium`.")


class ReasoningOptions(Body):
    """Without effect: the reasoning is the plan and the sub-answers, always."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class ResponseBody(Body):
    """The body of a request to the Responses API."""

    model: str = Field(description="The team or one of its experts, by name.")
    input: (
        str | Annotated[list[InputMessage | InputReasoning], Field(min_length=1, max_length=MAX_TURNS, fail_fast=True)]
    ) = Field(description="A question, or a conversation whose last message is one.")
    instructions: str | None = Field(None, description="Put before the question for one expert; nothing to a team.")
    previous_response_id: RunId | None = Field(None, description="The conversation goes on from that answer.")
    stream: bool | None = Field(None, description="Send the answer, and how it comes about, piece by piece.")
    max_output_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Longest answer; a token is counted as a mark or up to six letters."
    )
    user: EndUser | None = Field(None, description="Whom you ask for: each gets a fair share of the team.")
    store: bool | None = Field(None, description="With `false`, the run ends when the client goes away.")
    compllm: Extras = Field(default_factory=Extras, description="`plan`, `priority`.")

    text: TextOptions | None = Field(None, description="Only text.")
    tools: Nothing = Field(None, description="None: a team calls experts, not tools.")
    tool_choice: Literal["none", "auto"] | None = Field(None, description="Only `none` or `auto`.")
    include: Annotated[list[Literal["reasoning.encrypted_content"]], FirstProblem] | None = Field(
        None, description="Without effect: the reasoning is sent in plain text."
    )
    background: Literal[False] | None = Field(None, description="Only `false`; see `/v1/runs`.")
    truncation: Literal["auto", "disabled"] | None = Field(None, description="Without effect: no turn is cut.")
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = Field(None, description="Only 0.")
    service_tier: Literal["auto", "default"] | None = Field(None, description="Only `auto` or `default`.")

    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="Without effect: the team file sets each expert's own."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="Without effect, like `temperature`.")
    reasoning: ReasoningOptions | None = Field(None, description="Without effect: the plan follows from the question.")
    parallel_tool_calls: bool | None = Field(None, description="Without effect: there are no tools.")
    metadata: Annotated[dict[str, str], Few, Field(max_length=16)] | None = Field(
        None, description="Without effect: it is sent back and not kept."
    )
    stream_options: dict[str, Any] | None = Field(None, description="Without effect.")
    prompt_cache_key: str | None = Field(None, description="Without effect.")
    safety_identifier: str | None = Field(None, description="Without effect; `user` makes fair shares.")

    @property
    def turns(self) -> list[InputMessage]:
        """The messages of the conversation."""
        if isinstance(self.input, str):
            return [InputMessage(role="user", content=self.input)]
        return [item for item in self.input if isinstance(item, InputMessage)]
