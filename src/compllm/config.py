"""Team files: the only reader of configuration files.

A team file is data: safe YAML, checked against the models below. Every error names the file, the line, the key and how
to mend it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from pydantic import BaseModel, ByteSize, ConfigDict, Field, JsonValue, ValidationError, WithJsonSchema

from compllm.core.ledger import REMOTE
from compllm.errors import ConfigError
from compllm.yamlfile import Document, explain_errors, read_yaml

TEAM_FILE = "compllm.yaml"
# What a pattern asks for, in words.
_FORMS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$": "a name of letters, digits, `_`, `-` and `.`, 64 at most",
    r"^https?://[^\s/]": "an address like `http://127.0.0.1:11434/v1`",
    r"^[A-Z_][A-Z0-9_]*$": "the name of a variable in capitals, like `OPENAI_API_KEY`, never the key itself",
    r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$": "a function like `package.module:name`",
    r"^[0-9a-f]{64}$": "64 digits as `compllm keys new NAME` prints them, never the key itself",
}
_NAME, _ADDRESS, _VARIABLE, _FUNCTION, _HASH = _FORMS
Name = Annotated[str, Field(pattern=_NAME)]
Address = Annotated[str, Field(pattern=_ADDRESS)]
Variable = Annotated[str, Field(pattern=_VARIABLE)]
Function = Annotated[str, Field(pattern=_FUNCTION)]
# A schema of numbers alone would make editors complain of `4GiB`.
Size = Annotated[ByteSize, WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}], "examples": ["4GiB"]})]
# What every request to an endpoint says by itself: the answers would not be what was asked for if a file said it too.
_SAID_BY_REQUESTS = frozenset({
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "seed",
    "stop", "response_format", "grammar", "structured_outputs",
})  # fmt: skip
# A device that names no capacity offers this share of the memory that is free when the team is opened.
_FREE_SHARE = 0.6
# Stands for the path of an adapter that comes with the package.
_BUNDLED = Path("bundled")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)


class DeviceConfig(_Section):
    """What has memory; without a capacity, 60 % of the memory that is free when the team is opened."""

    capacity: Size | None = Field(
        None, gt=0, description="Bytes for models, like `4GiB`; default: 60 % of what is free."
    )
    cores: int | None = Field(None, ge=1, description="Cores for models that compute at the same time; default: all.")

    @property
    def capacity_bytes(self) -> int:
        """The capacity in bytes, measured now if the file gives none."""
        return self.capacity or int(psutil.virtual_memory().available * _FREE_SHARE)

    @property
    def core_count(self) -> int:
        """The cores that this process may use, unless the file says how many."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.cores or usable


class EmbeddedModelConfig(_Section):
    """A GGUF file served by an own llama.cpp worker process on this machine."""

    backend: Literal["embedded"] = Field(description="The word `embedded`.")
    file: Path | None = Field(
        None, description="GGUF file, relative to the team file; default: the bundled SmolLM2-135M."
    )
    slots: int = Field(4, ge=1, le=64, description="Requests served at once.")
    context_tokens: int = Field(2048, ge=256, le=1_000_000, description="Context of each slot.")
    adapters: dict[Name, Path] = Field(
        default_factory=dict,
        description="LoRA adapters by name: `bundled`, or a GGUF file relative to the team file.",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads of the worker; default: all cores of the device."
    )
    devices: tuple[str, ...] = Field((), description="Devices it may live on, best first; default: all.")
    pinned: bool = Field(default=False, description="Never evicted once it is loaded.")


class EndpointModelConfig(_Section):
    """A model behind an OpenAI-compatible HTTP endpoint: Ollama, llama-server, vLLM, LM Studio or a hosted one."""

    backend: Literal["endpoint"] = Field(description="The word `endpoint`.")
    base_url: Address = Field(description="Up to and including the version, like `http://127.0.0.1:11434/v1`.")
    model: str = Field(min_length=1, description="The model's name at the endpoint.")
    api_key_env: Variable | None = Field(None, description="Environment variable that holds the API key.")
    dialect: Literal["openai", "llama.cpp", "vllm"] = Field(
        "openai", description="What the server understands beyond OpenAI."
    )
    slots: int = Field(4, ge=1, le=1024, description="Requests sent at once.")
    timeout_s: float = Field(120.0, gt=0, description="Longest wait for the next piece of an answer.")
    extra_body: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Fields that the server understands beyond these, added to every request, like "
        "`{chat_template_kwargs: {enable_thinking: false}}`. No place for a key.",
    )


class FunctionModelConfig(_Section):
    """A Python function in the place of a model; opening the team imports its module, which runs its code."""

    backend: Literal["function"] = Field(description="The word `function`.")
    function: Function = Field(
        description="`package.module:name` of what gets the question and returns the answer, or None if it has none; "
        "`compllm.experts.calculator:calculate` is there."
    )
    slots: int = Field(4, ge=1, le=64, description="Calls at once, each in a thread of its own.")
    first_for: re.Pattern[str] = Field(
        re.compile(""),
        description="Regular expression: a step in which it is found goes to the function before documents are looked "
        "at, if the plan names its field. Every step if empty; `\\d` stands for numbers and for `#1`, what is to come.",
    )


ModelConfig = Annotated[EmbeddedModelConfig | EndpointModelConfig | FunctionModelConfig, Field(discriminator="backend")]


class ExpertConfig(_Section):
    """Who answers and what it is good at."""

    model: Name = Field(description="One of `models`.")
    adapter: Name | None = Field(
        None, description="One of the model's adapters; `reader` answers from passages only, in its own short form."
    )
    description: str = Field(
        "",
        description="Best as: An expert in X who answers questions about A, B and C. Without it and without examples: "
        "a fallback only.",
    )
    examples: tuple[str, ...] = Field((), description="Questions it should get; five or more make routing better.")
    instructions: str = Field(
        "", description="System message for the model; one that reads documents with the adapter `reader` takes none."
    )
    documents: tuple[Path, ...] = Field(
        (), description="Markdown, text or JSON Lines files, relative to the team file."
    )
    passages: int = Field(2, ge=1, le=20, description="Passages of the documents that it reads for a question.")
    fallback: Name | None = Field(None, description="The expert that answers when this one fails.")
    max_tokens: int = Field(96, ge=1, le=100_000, description="Longest answer.")
    temperature: float = Field(0.0, ge=0, le=2, description="0 is deterministic.")


class EncoderConfig(_Section):
    """An embedding model behind an OpenAI-compatible endpoint, in place of the bundled one."""

    base_url: Address = Field(description="Up to and including the version, like `http://127.0.0.1:11434/v1`.")
    model: str = Field(min_length=1, description="The encoder's name at the endpoint.")
    api_key_env: Variable | None = Field(None, description="Environment variable that holds the API key.")


class RouterConfig(_Section):
    """How sub-queries find their experts."""

    mode: Literal["auto", "tag", "question"] = Field(
        "auto",
        description="What decides: the plan's field tag, the question, or (`auto`) a passage that scores 0.6 or more "
        "in an expert's documents, else the tag, else the question.",
    )
    threshold: float = Field(
        0.7, gt=0, le=1, description="Score of tag or question from which an expert is trusted; not of passages."
    )
    fallback: Name | None = Field(None, description="The expert for questions that no expert is trusted with.")
    calibration: Path | None = Field(None, description="File written by `compllm route --calibrate`.")
    encoder: EncoderConfig | None = Field(None, description="Default: the bundled MiniLM.")


class PlannerConfig(_Section):
    """Who writes the plan."""

    kind: Literal["rules", "model"] = Field(
        "rules", description="`rules` needs no model and splits coordinated questions only."
    )
    model: Name | None = Field(None, description="For kind `model`: one of `models`.")
    adapter: Name | None = Field(None, description="One of the model's adapters, trained to plan.")
    max_steps: int = Field(12, ge=1, le=32, description="Longest plan; a question of more parts is kept whole.")


class AggregatorConfig(_Section):
    """Who writes the answer."""

    kind: Literal["joined", "model"] = Field(
        "joined", description="`joined` puts the sub-answers together as they are."
    )
    model: Name | None = Field(None, description="For kind `model`: one of `models`.")
    adapter: Name | None = Field(None, description="One of the model's adapters, trained to join sub-answers.")
    checked: bool = Field(
        default=False, description="Check every sentence against the sub-answers (for very small models)."
    )


class LimitsConfig(_Section):
    """Bounds of a run."""

    deadline_s: float = Field(300.0, gt=0, description="Longest run; then the answer is given with gaps.")
    question_characters: int = Field(16_000, ge=1, le=1_000_000, description="Longest question, or step of a plan.")
    runs: int = Field(1_000, ge=1, le=100_000, description="Open runs beyond which a question is refused.")


class KeyConfig(_Section):
    """Who may ask the server, and how much."""

    name: Name = Field(description="Whose key it is; who is charged for its runs, and alone may see them.")
    hash: str = Field(pattern=_HASH, description="SHA-256 of the key, from `compllm keys new NAME`.")
    priority: int = Field(0, ge=-100, le=100, description="Its runs go before those of a smaller one.")
    requests_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="On average; as many may come at once after a rest. Default: no bound."
    )
    concurrency: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Requests under way, open streams among them, and as many runs. Default: no bound.",
    )


class ServerConfig(_Section):
    """What `compllm serve` listens on, and whom it lets in."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; any but this machine's needs keys.")
    port: int = Field(8321, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    keys: tuple[KeyConfig, ...] = Field((), description="API keys; without any, everybody on this machine may ask.")
    concurrency: int = Field(1_000, ge=1, le=100_000, description="Requests under way beyond which one is refused.")
    max_body: Size = Field(ByteSize(1 << 20), ge=1024, le=1 << 30, description="Largest request, like `1MiB`.")
    head_timeout_s: float = Field(10.0, gt=0, description="Longest wait for the head of a request.")
    body_timeout_s: float = Field(30.0, gt=0, description="Longest wait for the body of a request.")
    drain_s: float = Field(30.0, ge=0, description="How long open runs may go on when the server is told to stop.")


class TeamConfig(_Section):
    """A team file."""

    name: Name = Field("team", description="What the team is called in the journal.")
    devices: dict[Name, DeviceConfig] = Field(
        default_factory=lambda: {"cpu": DeviceConfig()},
        min_length=1,
        description="What has memory, by name; default: one `cpu`.",
    )
    models: dict[Name, ModelConfig] = Field(min_length=1, description="The models, by name.")
    experts: dict[Name, ExpertConfig] = Field(min_length=1, description="The experts, by name.")
    router: RouterConfig = RouterConfig()
    planner: PlannerConfig = PlannerConfig()
    aggregator: AggregatorConfig = AggregatorConfig()
    limits: LimitsConfig = LimitsConfig()
    server: ServerConfig = ServerConfig()
    on_failure: Literal["skip", "continue"] = Field(
        "skip", description="What becomes of steps that need a failed one: skipped, or run with the gap named."
    )


@dataclass(frozen=True, slots=True)
class TeamFile:
    """A checked team file and where it stands; relative paths in it count from its folder."""

    path: Path
    config: TeamConfig

    def resolve(self, path: Path) -> Path:
        """Return a path of the file as an absolute one."""
        return (self.path.parent / path.expanduser()).resolve()

    def at(self, host: str | None, port: int | None) -> TeamFile:
        """Return the file as if it named this address to listen on, where one is given."""
        given = {"host": host, "port": port}
        server = self.config.server.model_copy(update={name: each for name, each in given.items() if each is not None})
        return TeamFile(self.path, self.config.model_copy(update={"server": server}))

    def adapters(self, model: EmbeddedModelConfig) -> dict[str, Path]:
        """Return the files of a model's adapters by name."""
        return {
            name: adapters_path() / f"{name}.gguf" if path == _BUNDLED else self.resolve(path)
            for name, path in model.adapters.items()
        }


def team_schema() -> dict[str, Any]:
    """Return the JSON Schema of team files."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TeamConfig.model_json_schema()}


def starter_path() -> Path:
    """Return the file of the built-in starter team."""
    return Path(str(resources.files("compllm"))) / "assets" / "starter" / TEAM_FILE


def adapters_path() -> Path:
    """Return the folder of the bundled adapters."""
    return Path(str(resources.files("compllm"))) / "assets" / "adapters"


def find_team(path: Path | None) -> Path:
    """Return the team file to use: the one named, else `compllm.yaml` here, else the starter team.

    Whatever has the name `compllm.yaml` here is meant; what keeps it from being read is said when it is read.
    """
    if path is not None:
        return path / TEAM_FILE if os.path.isdir(path) else path  # noqa: PTH112 - a Path raises for a long name
    here = Path(TEAM_FILE)
    return here if os.path.lexists(here) else starter_path()


def load_team(path: Path | None = None) -> TeamFile:
    """Read and check a team file.

    Raises:
        ConfigError: it is missing, not YAML, or not a team; the message names file, line, key and the way out.
    """
    found = find_team(path)
    document = read_yaml(found)
    try:
        config = TeamConfig.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(explain_errors(document, error, TeamConfig, _FORMS)) from None
    team = TeamFile(found.resolve(), config)
    _check_references(document, team)
    return team


def _check_references(document: Document, team: TeamFile) -> None:
    """Check what one section says of another, and that files exist."""
    config = team.config
    check_devices(document, config.devices)
    for name, expert in config.experts.items():
        at = ("experts", name)
        _known(document, (*at, "model"), expert.model, config.models, "model")
        _check_adapter(document, at, expert, config.models)
        _known(document, (*at, "fallback"), expert.fallback, config.experts, "expert")
        for place, path in enumerate(expert.documents):
            _exists(document, team, (*at, "documents", place), path, "document")
    for name, model in config.models.items():
        if isinstance(model, EmbeddedModelConfig):
            for place, device in enumerate(model.devices):
                _known(document, ("models", name, "devices", place), device, config.devices, "device")
            if model.file is not None:
                _exists(document, team, ("models", name, "file"), model.file, "model file")
            _check_adapters_exist(document, team, name, model)
        elif isinstance(model, EndpointModelConfig):
            _check_extra_body(document, ("models", name, "extra_body"), model)
    _known(document, ("router", "fallback"), config.router.fallback, config.experts, "expert")
    if config.router.calibration is not None:
        _exists(document, team, ("router", "calibration"), config.router.calibration, "calibration file")
    _check_stages(document, config)
    _check_fallbacks(document, config)
    _check_keys(document, config.server.keys)


def check_devices(document: Document, devices: Mapping[str, Any]) -> None:
    """Check that no device has the name that stands for models elsewhere.

    Raises:
        ConfigError: one has.
    """
    if REMOTE in devices:
        problem = f"`{REMOTE}` is where models are that are not on our devices"
        raise document.error(("devices", REMOTE), problem, "give the device another name")


def _check_stages(document: Document, config: TeamConfig) -> None:
    for section in ("planner", "aggregator"):
        stage = getattr(config, section)
        if stage.kind == "model" and stage.model is None:
            raise document.error(
                (section,), "kind `model` needs a `model`", f"add `model:` with one of {_list(config.models)}"
            )
        _known(document, (section, "model"), stage.model, config.models, "model")
        if isinstance(config.models.get(stage.model or ""), FunctionModelConfig):
            raise document.error((section, "model"), "a function is no language model", "name another `model`")
        _check_adapter(document, (section,), stage, config.models)


def _check_keys(document: Document, keys: Sequence[KeyConfig]) -> None:
    for what in ("name", "hash"):
        seen: set[str] = set()
        for place, key in enumerate(keys):
            if getattr(key, what) in seen:
                raise document.error(
                    ("server", "keys", place, what), f"two keys have this {what}", "give each key an own one"
                )
            seen.add(getattr(key, what))


def _check_adapters_exist(document: Document, team: TeamFile, name: str, model: EmbeddedModelConfig) -> None:
    for adapter, path in team.adapters(model).items():
        key = ("models", name, "adapters", adapter)
        if model.adapters[adapter] != _BUNDLED:
            _exists(document, team, key, path, "adapter")
        elif not path.is_file():
            bundled = ", ".join(sorted(file.stem for file in adapters_path().glob("*.gguf")))
            raise document.error(key, f"no adapter {adapter!r} is bundled", f"use one of {bundled or 'your own files'}")


def _check_extra_body(document: Document, key: tuple[str, ...], model: EndpointModelConfig) -> None:
    for field in model.extra_body:
        if field in _SAID_BY_REQUESTS:
            remedy = "remove the line; `max_tokens` and `temperature` stand with the expert"
            raise document.error((*key, field), "every request says this by itself", remedy)


def _check_adapter(
    document: Document,
    at: tuple[str, ...],
    asker: ExpertConfig | PlannerConfig | AggregatorConfig,
    models: Mapping[str, ModelConfig],
) -> None:
    if asker.adapter is None:
        return
    key = (*at, "adapter")
    model = models.get(asker.model or "")
    if not isinstance(model, EmbeddedModelConfig):
        raise document.error(
            key, "only an embedded model takes adapters", "name an embedded `model`, or remove this line"
        )
    if asker.adapter not in model.adapters:
        raise document.error(
            key,
            f"{asker.adapter!r} is no adapter of the model {asker.model!r}",
            f"add it to models.{asker.model}.adapters",
        )


def _check_fallbacks(document: Document, config: TeamConfig) -> None:
    for name in config.experts:
        seen = [name]
        while (following := config.experts[seen[-1]].fallback) is not None:
            if following in seen:
                chain = " -> ".join([*seen[seen.index(following) :], following])
                raise document.error(
                    ("experts", seen[-1], "fallback"), f"fallbacks go in a circle: {chain}", "remove one of them"
                )
            seen.append(following)


def _known(document: Document, key: tuple[Any, ...], name: str | None, known: Mapping[str, Any], what: str) -> None:
    if name is not None and name not in known:
        raise document.error(key, f"{name!r} is no {what} of this team", f"use one of {_list(known)}, or add it")


def _exists(document: Document, team: TeamFile, key: tuple[Any, ...], path: Path, what: str) -> None:
    try:
        found = team.resolve(path)
    except (ValueError, RuntimeError) as error:  # a null character; `~` of somebody who has no home here
        raise document.error(key, f"{what} {str(path)!r} cannot be a path ({error})", "correct the path") from None
    try:
        is_file, is_folder = found.is_file(), found.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise document.error(
            key, f"{what} {str(found)!r} cannot be reached: {error.strerror}", "mend the path"
        ) from None
    if is_folder:
        raise document.error(key, f"{what} {str(found)!r} is a folder", "name a file in it")
    if not is_file:
        raise document.error(key, f"{what} {str(found)!r} is not there", "create it or correct the path")


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(names)
