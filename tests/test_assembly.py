"""How the parts of a team are told about each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from compllm.assembly import make_encoder, share_cores
from compllm.config import load_team
from compllm.core.ledger import Device
from compllm.errors import ConfigError
from compllm.experts.base import Backend
from compllm.experts.embedded.backend import EmbeddedBackend
from compllm.experts.fake import FakeExpert

pytest.importorskip("xllamacpp")


def backends(folder: Path, count: int) -> dict[str, Backend]:
    embedded = {f"m{n}": EmbeddedBackend(cache_dir=folder, threads=2) for n in range(count)}
    return {"fake": FakeExpert(), **embedded}


@pytest.mark.parametrize("url", ["http://[::1", "http://host:99999/v1", "http://me:key@host/v1"])
def test_the_url_of_an_encoder_is_checked_as_that_of_a_model(tmp_path: Path, url: str) -> None:
    (tmp_path / "compllm.yaml").write_text(
        f"""
models: {{m: {{backend: embedded}}}}
experts: {{a: {{model: m}}}}
router: {{encoder: {{base_url: "{url}", model: e}}}}
"""
    )
    with pytest.raises(ConfigError, match="URL"):
        make_encoder(load_team(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("count", "room", "alone"),
    [
        (1, 9.0, True),
        (2, 2.0, False),
        (2, 1.9, True),  # they take turns
        (3, 2.0, False),
    ],
)
def test_models_share_the_cores_where_two_of_them_fit(tmp_path: Path, count: int, room: float, alone: bool) -> None:
    made = backends(tmp_path, count)
    embedded = [each for each in made.values() if isinstance(each, EmbeddedBackend)]
    size = embedded[0].estimated_footprint_bytes()
    share_cores(made, [Device("small", 1), Device("cpu", int(room * size))])
    assert {each.alone for each in embedded} == {alone}
