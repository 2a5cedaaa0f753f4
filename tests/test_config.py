import copy
import math
import os
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compllm.config import DeviceConfig, find_team, load_team, starter_path, team_schema
from compllm.errors import ConfigError

TEAM = """\
models:
  m:
    backend: endpoint
    base_url: http://127.0.0.1:9/v1
    model: x
  e: {backend: embedded}
experts:
  a:
    model: m
    description: An expert in tests
"""


def with_endpoint(line: str) -> str:
    return TEAM.replace("    model: x\n", f"    model: x\n    {line}\n")


def with_function(line: str) -> str:
    function = f"  f:\n    backend: function\n    function: os.path:basename\n    {line}\n"
    return TEAM.replace("experts:\n", function + "experts:\n")


def with_embedded(pair: str) -> str:
    return TEAM.replace("embedded}", f"embedded, {pair}}}")


def with_expert(line: str) -> str:
    return f"{TEAM}    {line}\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "1: (whole file): the file is empty; a team file is a mapping"),
        (TEAM + "ruoter: {}\n", "11: ruoter: unknown key; did you mean 'router'?"),
        (TEAM + "zzz: {}\n", "11: zzz: unknown key; known here: aggregator, devices, experts, limits"),
        (TEAM.replace("base_url", "baseurl"), "4: models.m.baseurl: unknown key; did you mean 'base_url'?"),
        (with_endpoint("slot: 3"), "6: models.m.slot: unknown key; did you mean 'slots'?"),
        (with_endpoint("file: x"), "6: models.m.file: unknown key; known here: api_key_env, backend, base_url"),
        (with_embedded("base_url: x"), "6: models.e.base_url: unknown key; known here: adapters, backend, context_"),
        (with_expert("exampels: [x]"), "11: experts.a.exampels: unknown key; did you mean 'examples'?"),
        (TEAM + "router: {treshold: 0.5}\n", "11: router.treshold: unknown key; did you mean 'threshold'?"),
        (
            TEAM + "router: {encoder: {base_ulr: x, model: y}}\n",
            "11: router.encoder.base_ulr: unknown key; did you mean 'base_url'?",
        ),
        (TEAM + "planner: {knd: rules}\n", "11: planner.knd: unknown key; did you mean 'kind'?"),
        (TEAM + "aggregator: {check: true}\n", "11: aggregator.check: unknown key; did you mean 'checked'?"),
        (TEAM + "limits: {deadline: 3}\n", "11: limits.deadline: unknown key; did you mean 'deadline_s'?"),
        (TEAM + "devices: {cpu: {cores_: 1}}\n", "11: devices.cpu.cores_: unknown key; did you mean 'cores'?"),
        (TEAM.replace("    backend: endpoint\n", ""), "2: models.m.backend: this key is missing; use one of embedded"),
        (TEAM.replace("endpoint", "endpiont"), "3: models.m.backend: there is no 'endpiont'; did you mean 'endpoint'?"),
        (TEAM.replace("    model: m\n", ""), "8: experts.a.model: this key is missing"),
        ("experts: {a: {model: m}}\n", "1: models: this key is missing"),
        ("models: {}\nexperts: {a: {model: m}}\n", "1: models: this should be not empty"),
        (TEAM + "devices: {}\n", "11: devices: this should be not empty"),
        (TEAM + "devices: {remote: {}}\n", "11: devices.remote: `remote` is where models are that are not on our"),
        (TEAM + "router:\n", "11: router: this should be a mapping of `key: value` lines; it is empty"),
        (
            TEAM.replace("models:\n", "models:\n  f: {backend: function, function: 3}\n"),
            "2: models.f.function: this should be text",
        ),
        (with_endpoint("slots: many"), "6: models.m.slots: this should be a whole number; it is 'many'"),
        (with_endpoint("slots: 0"), "6: models.m.slots: this should be greater than or equal to 1; it is 0"),
        (TEAM + "devices: {cpu: {capacity: lots}}\n", "capacity: this should be a size in bytes, like `4GiB`"),
        (TEAM + "devices: {cpu: {capacity: 0}}\n", "capacity: this should be greater than 0; it is 0"),
        (TEAM + "router: {threshold: .nan}\n", "router.threshold: this should be a number with an end; it is nan"),
        (TEAM + "limits: {deadline_s: .inf}\n", "limits.deadline_s: this should be a number with an end; it is inf"),
        (TEAM + "router: {mode: fast}\n", "router.mode: this should be 'auto', 'tag' or 'question'; it is 'fast'"),
        (TEAM.replace("  a:\n", "  a b:\n"), "8: experts.a b: this should be a name of letters, digits"),
        (TEAM + "name: 5\n", "11: name: this should be text; put it in quotes; it is 5"),
        (TEAM.replace("http://127.0.0.1:9/v1", "localhost:9"), "4: models.m.base_url: this should be an address like"),
        (TEAM.replace("model: m\n", "model: q\n"), "9: experts.a.model: 'q' is no model of this team; use one of m, e"),
        (with_expert("fallback: b"), "11: experts.a.fallback: 'b' is no expert of this team; use one of a"),
        (with_expert("fallback: a"), "11: experts.a.fallback: fallbacks go in a circle: a -> a"),
        (
            with_expert("fallback: b") + "  b: {model: m, fallback: c}\n  c: {model: m, fallback: b}\n",
            "13: experts.c.fallback: fallbacks go in a circle: b -> c -> b; remove one of them",
        ),
        (TEAM + "router: {fallback: z}\n", "11: router.fallback: 'z' is no expert of this team"),
        (with_embedded("devices: [gpu]"), "6: models.e.devices.0: 'gpu' is no device of this team; use one of cpu"),
        (with_embedded("file: x.gguf"), "x.gguf' is not there; create it or correct the path"),
        (with_expert("documents: [.]"), "is a folder; name a file in it"),
        (with_embedded(f"file: {'x' * 300}.gguf"), "cannot be reached: File name too long; mend the path"),
        (with_embedded('file: "x\\0.gguf"'), "models.e.file: model file 'x\\x00.gguf' cannot be a path"),
        (with_embedded("file: ~nobody-lives-here/x.gguf"), "cannot be a path (Could not determine home directory"),
        (with_function("first_for: '(a'"), "10: models.f.first_for: this should be a valid regular expression; it is"),
        (with_embedded("adapters: {mine: x.gguf}"), "6: models.e.adapters.mine: adapter"),
        (
            with_embedded("adapters: {nosuch: bundled}"),
            "6: models.e.adapters.nosuch: no adapter 'nosuch' is bundled; use",
        ),
        (with_embedded("adapters: [x.gguf]"), "6: models.e.adapters: this should be a mapping of `key: value` lines"),
        (with_endpoint("adapters: {mine: x.gguf}"), "6: models.m.adapters: unknown key; known here: api_key_env"),
        (
            with_expert("adapter: mine"),
            "11: experts.a.adapter: only an embedded model takes adapters; name an embedded",
        ),
        (TEAM + "planner: {kind: model, model: m, adapter: p}\n", "11: planner.adapter: only an embedded model takes"),
        (
            TEAM + "aggregator: {kind: model, model: e, adapter: j}\n",
            "11: aggregator.adapter: 'j' is no adapter of the model 'e'; add it to models.e.adapters",
        ),
        (TEAM + "planner: {adapter: p}\n", "11: planner.adapter: only an embedded model takes adapters"),
        (with_expert("documents: [a.md]"), "11: experts.a.documents.0: document"),
        (with_expert("documents: [.]"), "11: experts.a.documents.0: document"),
        (with_expert("documents: a.md"), "11: experts.a.documents: this should be a list"),
        (TEAM + "router: {calibration: c.json}\n", "11: router.calibration: calibration file"),
        (
            with_endpoint("extra_body: {top_k: 1, temperature: 1}"),
            "6: models.m.extra_body.temperature: every request says this by itself; remove the line; `max_tokens` and",
        ),
        (
            with_endpoint("extra_body: [top_k]"),
            "6: models.m.extra_body: this should be a mapping of `key: value` lines",
        ),
        (TEAM + "planner: {kind: model}\n", "11: planner: kind `model` needs a `model`; add `model:` with one of m, e"),
        (TEAM + "planner:\n  kind: model\n  model: zz\n", "13: planner.model: 'zz' is no model of this team"),
        (TEAM + "aggregator: {kind: model}\n", "11: aggregator: kind `model` needs a `model`"),
    ],
)
def test_a_mistake_is_said_with_file_line_key_and_remedy(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "team.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as refused:
        load_team(path)
    assert any(line.startswith(f"{path}:") and said in line for line in str(refused.value).splitlines())


def test_every_mistake_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "team.yaml"
    path.write_text(TEAM + "    fallbck: b\nrouter: {treshold: 1}\nplaner: {}\n")
    with pytest.raises(ConfigError) as refused:
        load_team(path)
    assert [line.split(": ")[1] for line in str(refused.value).splitlines()] == [
        "experts.a.fallbck",
        "router.treshold",
        "planer",
    ]


@pytest.mark.parametrize("key", ["api_key", "api_key_env", "apikey", "slots", "timeout_s"])
def test_a_key_in_the_wrong_place_is_never_repeated_where_keys_go(tmp_path: Path, key: str) -> None:
    path = tmp_path / "team.yaml"
    path.write_text(with_endpoint(f"{key}: sk-secret-1234"))
    with pytest.raises(ConfigError) as refused:
        load_team(path)
    assert ("sk-secret" in str(refused.value)) == (key in {"slots", "timeout_s"})


def test_a_team_that_is_right_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n")
    path = tmp_path / "compllm.yaml"
    path.write_text(with_expert("documents: [a.md]") + "devices: {cpu: {capacity: 4GiB, cores: 3}}\n")
    team = load_team(tmp_path)
    assert team.path == path
    assert team.resolve(team.config.experts["a"].documents[0]) == tmp_path / "a.md"
    assert team.config.devices["cpu"].capacity_bytes == 4 * 2**30
    assert team.config.devices["cpu"].core_count == 3


def test_a_device_without_figures_offers_a_part_of_what_is_free() -> None:
    device = DeviceConfig()
    assert 0 < device.capacity_bytes < psutil.virtual_memory().total
    assert device.core_count >= 1


def test_the_team_of_the_folder_goes_before_the_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_team(None) == starter_path()
    Path("compllm.yaml").write_text(TEAM)
    assert find_team(None) == Path("compllm.yaml")
    assert find_team(tmp_path) == tmp_path / "compllm.yaml"
    assert find_team(Path("other.yaml")) == Path("other.yaml")


def test_a_team_file_here_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("compllm.yaml").symlink_to("gone.yaml")
    with pytest.raises(ConfigError, match=r"compllm\.yaml: a link to a file that is not there"):
        load_team()
    Path("compllm.yaml").unlink()
    Path("compllm.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"compllm\.yaml: cannot be read: Is a directory"):
        load_team()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may enter every folder")
def test_a_team_file_in_a_folder_that_may_not_be_entered_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    monkeypatch.chdir(locked)
    locked.chmod(0)
    try:
        for path in (locked / "team", None):
            with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
                load_team(path)
    finally:
        locked.chmod(0o700)


def test_the_starter_team_is_right() -> None:
    config = load_team(starter_path()).config
    assert config.name == "starter"
    assert len(config.experts) == 12
    assert config.planner.adapter == "planner"
    routed = [expert for name, expert in config.experts.items() if name != "general"]
    assert all(expert.description and len(expert.examples) >= 5 for expert in routed)
    assert [expert.model for expert in routed if not expert.documents] == ["calculator"]


def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = team_schema()
    capacity = schema["$defs"]["DeviceConfig"]["properties"]["capacity"]
    assert {"type": "string"} in capacity["anyOf"][0]["anyOf"]
    assert schema["required"] == ["models", "experts"]
    assert schema["additionalProperties"] is False


STARTER: dict[str, Any] = yaml.safe_load(starter_path().read_text(encoding="utf-8"))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in below for place in places(each, (*at, key)))]


odd: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({"a": [1]})
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(st.sampled_from(places(STARTER)[1:]), odd)
def test_whatever_stands_in_a_team_file_is_taken_or_refused_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any
) -> None:
    team = copy.deepcopy(STARTER)
    inner = team
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    documents = path.parent / "documents"
    if not documents.exists():
        documents.symlink_to(starter_path().parent / "documents")
    path.write_text(yaml.safe_dump(team, allow_unicode=True), encoding="utf-8")
    said = refusal(path)
    assert all(line.startswith(f"{path}:") for line in said.splitlines())
    assert said or not (isinstance(value, float) and not math.isfinite(value))


def refusal(path: Path) -> str:
    try:
        load_team(path)
    except ConfigError as refused:
        return str(refused)
    return ""


KEY = "{name: NAME, hash: HASH}"


def with_keys(*entries: str) -> str:
    return TEAM + "server:\n  keys:\n" + "".join(f"    - {entry}\n" for entry in entries)


def entry(name: str, digit: str) -> str:
    return KEY.replace("NAME", name).replace("HASH", digit * 64)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ((entry("a", "c"), entry("a", "d")), "14: server.keys.1.name: two keys have this name; give each key an own"),
        ((entry("a", "b"), entry("b", "b")), "14: server.keys.1.hash: two keys have this hash; give each key an own"),
        (("{name: a, hash: cllm-Secret}",), "13: server.keys.0.hash: this should be 64 digits as `compllm keys new"),
        (("{name: a}",), "13: server.keys.0.hash: this key is missing; add it"),
        (("cllm-Secret",), "13: server.keys.0: this should be a mapping"),
    ],
)
def test_a_mistake_about_keys_is_said_without_the_key(tmp_path: Path, entries: tuple[str, ...], said: str) -> None:
    (tmp_path / "compllm.yaml").write_text(with_keys(*entries))
    with pytest.raises(ConfigError) as error:
        load_team(tmp_path)
    assert said in str(error.value)
    assert "Secret" not in str(error.value) or "mapping" in said


def test_keys_are_read_with_their_limits(tmp_path: Path) -> None:
    (tmp_path / "compllm.yaml").write_text(with_keys(entry("a", "a"), entry("b", "b")[:-1] + ", priority: 2}"))
    server = load_team(tmp_path).config.server
    assert [(key.name, key.priority, key.concurrency) for key in server.keys] == [("a", 0, None), ("b", 2, None)]
    assert server.host == "127.0.0.1"
