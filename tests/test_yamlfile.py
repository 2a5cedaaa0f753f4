from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compllm.errors import ConfigError
from compllm.yamlfile import MAX_BYTES, explain_errors, read_yaml


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_yaml(path)
    return str(refused.value)


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a:\n  b: 1\n  c:\n    - x\n    - y\n")
    document = read_yaml(path)
    assert document.data == {"a": {"b": 1, "c": ["x", "y"]}}
    assert [document.line(key) for key in [("a",), ("a", "b"), ("a", "c", 1)]] == [1, 2, 5]
    assert document.line(("a", "b", "not there")) == 2
    assert str(document.error(("a", "c", 1), "odd", "mend it")) == f"{path}:5: a.c.1: odd; mend it"


def test_lines_below_an_alias_are_those_of_what_it_stands_for(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a\n  b: 1\nc: *a\nd: {<<: *a, e: 2}\n")
    document = read_yaml(path)
    assert document.data["d"] == {"b": 1, "e": 2}
    assert document.line(("c", "b")) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: 2\na: 3\n", ":3: a: the key is there twice"),
        (b"a:\n  b: 1\n  b: 2\n", ":3: a.b: the key is there twice"),
        (b"a: [1, 2\nb: 3\n", ":2: not valid YAML: expected ',' or ']'"),
        (b"a:\n\tb: 1\n", ":2: not valid YAML: found character '\\t'"),
        (b"a: 1\n---\nb: 2\n", "another document"),
        (b"a: b\n\0: c\n", ":2: not a text file: it holds the character 0x00"),
        (b"\xff\xfea\0", "not a text file in UTF-8"),
        (b"caf\xe9: 1\n", "not a text file in UTF-8"),
        (b"a:\n  1: x\n", ":2: a: the key 1 is not text for YAML; put it in quotes"),
        (b"yes: x\n", "the key yes is not text"),
        (b"? [a]\n: b\n", "a key is a list or a mapping"),
        (b"a: !!python/object/apply:os.mkdir [made]\n", ":1: not plain YAML"),
        (b"a: !!python/name:os.system\n", ":1: not plain YAML"),
        (b"a: !mine b\n", ":1: not plain YAML"),
        (b"a: !!bool maybe\n", "a tag does not fit its value"),
        (b"a: !!int ''\n", "a tag does not fit its value"),
        (b"a: &a [*a]\n", "an alias holds itself"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (b"#" * (MAX_BYTES + 1), "larger than 1,000,000 bytes"),
        (b"a: " + b"9" * 5000, "not valid YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(tmp_path / "a.yaml", content)
    assert message.startswith(str(tmp_path / "a.yaml"))
    assert said in message
    assert "\n" not in message
    assert [each.name for each in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize("kind", ["lists", "merges"])
def test_an_alias_bomb_is_refused_before_it_grows(tmp_path: Path, kind: str) -> None:
    lines = ["a: &a [x, x]" if kind == "lists" else "a: &a {x: 1}"]
    for before, name in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True):
        many = ", ".join([f"*{before}"] * 9)
        lines.append(f"{name}: &{name} [{many}]" if kind == "lists" else f"{name}: &{name} {{<<: [{many}]}}")
    assert "its aliases make more than 100,000 entries" in refusal(tmp_path / "a.yaml", "\n".join(lines).encode())


def test_a_missing_file_a_folder_and_an_endless_file_are_refused(tmp_path: Path) -> None:
    for path, said in [
        (tmp_path / "none.yaml", "no such file; `compllm init` writes one"),
        (tmp_path, "cannot be read: Is a directory"),
        (Path("/dev/zero"), "larger than"),
    ]:
        with pytest.raises(ConfigError, match=said):
            read_yaml(path)


def test_a_byte_order_mark_windows_lines_and_dates_are_read_as_meant(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 2020-01-01\r\nb: 2020-13-45\r\n")
    assert read_yaml(path).data == {"a": "2020-01-01", "b": "2020-13-45"}


@given(st.text() | st.text(alphabet="ab:-[]{}&*!|>?'\" \n\t#<~"))
def test_any_text_is_read_or_refused_with_the_path(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    said = str(path)
    try:
        read_yaml(path)
    except ConfigError as refused:
        said = str(refused)
    assert said.startswith(str(path))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"])),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(alphabet="abc", min_size=1), below, max_size=4),
    max_leaves=12,
)


@given(values)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    assert read_yaml(path).data == value


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["dog"]
    tricks: tuple[str, ...] = ()


class House(BaseModel):
    model_config = ConfigDict(extra="forbid")
    animals: dict[Annotated[str, Field(pattern="^[a-z]+$")], Annotated[Cat | Dog, Field(discriminator="kind")]]
    door: Annotated[str, Field(pattern="^[0-9]+$")] = "1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("animals:\n  tom: {kind: cat, livs: 1}\n", "2: animals.tom.livs: unknown key; did you mean 'lives'?"),
        ("animals:\n  tom: {kind: cat, tricks: 1}\n", "2: animals.tom.tricks: unknown key; known here: kind, lives"),
        ("animals:\n  tom:\n    kind: catt\n", "3: animals.tom.kind: there is no 'catt'; did you mean 'cat'?"),
        ("animals:\n  tom: {lives: 1}\n", "2: animals.tom.kind: this key is missing; use one of cat, dog"),
        ("animals:\n  tom: {kind: cat, lives: no}\n", None),
        (
            "animals:\n  tom:\n    kind: cat\n    lives: x\n",
            "4: animals.tom.lives: this should be a whole number; it is 'x'",
        ),
        (
            "animals:\n  rex:\n    kind: dog\n    tricks: sit\n",
            "4: animals.rex.tricks: this should be a list, like `[one, two]`; it is 'sit'",
        ),
        ("animals:\n  Tom: {kind: cat}\n", "2: animals.Tom: this should be a small word"),
        ("animals: {}\ndoor: secret\n", "2: door: this should be text like ^[0-9]+$"),
        ("animals: 3\n", "1: animals: this should be a mapping of `key: value` lines; it is 3"),
        ("animals:\n", "1: animals: this should be a mapping of `key: value` lines; it is empty"),
        ("", "1: (whole file): the file is empty; a team file is a mapping with `models:` and `experts:`"),
        ("- a\n", "1: (whole file): the file is a list; a team file is a mapping with `models:` and `experts:`"),
        ("door: '1'\n", "1: animals: this key is missing; add it"),
    ],
)
def test_what_does_not_fit_is_said_with_line_key_and_remedy(tmp_path: Path, content: str, said: str | None) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(content)
    document = read_yaml(path)
    try:
        House.model_validate(document.data)
    except ValidationError as error:
        message = explain_errors(document, error, House, {"^[a-z]+$": "a small word"})
        assert message == f"{path}:{said}"
    else:
        assert said is None


def test_a_long_value_is_cut_and_a_mapping_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(
        f"animals:\n  tom: {{kind: cat, lives: {'x' * 500}}}\n  rex: {{kind: dog, tricks: {{pass: word}}}}\n"
    )
    document = read_yaml(path)
    with pytest.raises(ValidationError) as wrong:
        House.model_validate(document.data)
    message = explain_errors(document, wrong.value, House)
    assert max(map(len, message.splitlines())) < len(str(path)) + 160
    assert message.endswith("it is a mapping")
    assert "word" not in message
