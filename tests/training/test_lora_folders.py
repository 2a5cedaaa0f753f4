from pathlib import Path

import pytest

from training.lora.folders import chosen, latest


def test_the_newest_checkpoint_is_found_by_number_and_unfinished_ones_are_not(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    for name in ("step-000020", "step-1000000", "step-000300", "unfinished", "step-x"):
        (tmp_path / name).mkdir()
    assert latest(tmp_path) == tmp_path / "step-1000000" == chosen(tmp_path)


def test_a_checkpoint_is_itself_and_an_empty_folder_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        chosen(tmp_path)
    (tmp_path / "adapter_config.json").touch()
    assert chosen(tmp_path) == tmp_path
