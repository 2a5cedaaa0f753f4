"""`compllm bench route`: how well questions find their expert."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from compllm.bench.route import run_route_bench
from compllm.bench.route_data import read_experts, read_ood, read_rows
from compllm.cli.tables import figures_table
from compllm.router.base import Encoder, Vectors
from compllm.router.onnx_encoder import OnnxEncoder

_CHUNK = 128
_TITLES = {
    "representations": "What stands for an expert: raw cosine with the question",
    "tag_forms": "What a plan may write: raw cosine with the description",
    "calibrated": "Calibrated scores at the threshold",
}


def route(file: Path, experts: Path, ood: Path | None, *, as_json: bool) -> None:
    """Measure routing on labelled questions: representations, tag forms, calibrated scores.

    Raises:
        ConfigError: a file is missing or malformed; the message names file and line.
        RoutingError: the encoder failed.
    """
    rows, team = read_rows(file), read_experts(experts)
    foreign = read_ood(ood) if ood else []
    encoder = OnnxEncoder()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        figures = run_route_bench(rows, team, _VisibleEncoder(encoder, progress), foreign)
    if as_json:
        typer.echo(json.dumps(figures, indent=1, ensure_ascii=False))
    else:
        _show(figures, Console(markup=False))


class _VisibleEncoder:
    """An encoder that shows how far it is when there is much to encode."""

    def __init__(self, encoder: Encoder, progress: Progress) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._progress = progress

    def encode(self, texts: Sequence[str]) -> Vectors:
        if len(texts) <= _CHUNK:
            return self._encoder.encode(texts)
        starts = self._progress.track(range(0, len(texts), _CHUNK), description=f"Encoding {len(texts)} texts")
        return np.concatenate([self._encoder.encode(texts[start : start + _CHUNK]) for start in starts])


def _show(figures: Mapping[str, object], console: Console) -> None:
    for key, title in _TITLES.items():
        rows = figures[key]
        if isinstance(rows, list) and rows:
            console.print(figures_table(title, rows))
    if isinstance(shipped := figures["shipped"], dict):
        console.print(figures_table("The router with the shipped calibration", [shipped]))
    notes = figures["notes"]
    for note in notes if isinstance(notes, list) else []:
        console.print(f"Note: {note}.", markup=False)
