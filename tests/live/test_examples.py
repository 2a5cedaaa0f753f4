"""The applications in `examples/` with the real model: a few questions of each, and the memory that the edge takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import psutil
import pytest

from compllm.bench.application import QUESTIONS_FILE, Outcome, asked, read_questions, watched_memory
from compllm.config import Settings, load_team
from compllm.pipeline import Team

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.live, pytest.mark.anyio]

CACHE_DIR = Path(os.environ.get("COMPLLM_CACHE_DIR") or platformdirs.user_cache_dir("compllm"))
EXAMPLES = Path(__file__).parents[2] / "examples"
COMPLLM = [sys.executable, "-c", "from compllm.cli.main import app; app()"]
EDGE_BYTES = 640_000_000
BARE_BYTES = 150_000_000
EOF_MARK = None
