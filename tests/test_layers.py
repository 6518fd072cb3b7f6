"""Each contract on imports is one that can fail: on a copy of the tree that breaks them all, all are broken."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The first words of a contract -> a module and what it must not import. Type imports count.
BREAKS = {
    "Layers": ("config/numbers", "from pct_mlops.gate import Verdict"),
    "Rooms of workflows": ("workflows/runtime/session", "from pct_mlops.workflows.training import train"),
    "Rooms of the explorer": ("explorer/queries/png", "from pct_mlops.explorer.components import gallery"),
    "No package imports itself in a circle": ("models/output", "from pct_mlops.models import ensemble"),
    "mlflow": ("cli/listing", "import mlflow"),
    "streamlit": ("reports/curve", "import streamlit"),
    "accelerate": ("data/split", "import accelerate"),
    "gate, comparison": ("gate/sentences", "import torch"),
}


def test_every_contract_breaks_where_it_should(tmp_path):
    for name in ("pct_mlops", "app"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, line in BREAKS.values():
        path = tmp_path / "pct_mlops" / f"{module}.py"
        text = path.read_text(encoding="utf-8")
        path.write_text(
            f"{text}\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    {line}\n", encoding="utf-8"
        )
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    said = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).split())
    contracts = re.findall(
        r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text().split("[tool.importlinter]")[1], re.M
    )
    assert len(contracts) >= len(BREAKS)
    for contract in contracts:
        assert f"{contract} BROKEN" in said, f"{contract}: nothing in BREAKS breaks it"
    assert "Contracts: 0 kept" in said
