"""Type checkers of users see the package's real types, under mypy --strict and without a plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAMPLE = HERE / "typed_sample.py"
# Reading all of torch and numpy would take mypy 15 seconds: a small stub stands for torch, and the others are Any.
# Errors inside the package are silent, as they are for an installed one.
SKIPPED = ("accelerate", "duckdb", "mlflow", "numpy", "PIL", "pyarrow", "rich", "scipy", "torch", "torchmetrics")
SETTINGS = f"""
[mypy]
strict = true
follow_imports = silent
ignore_missing_imports = true

[mypy-{",".join(f"{name}.*" for name in (*SKIPPED, "torchvision"))}]
follow_imports = skip
follow_imports_for_stubs = true

[mypy-torch,torch.nn]
follow_imports = silent
follow_imports_for_stubs = false
"""


def test_a_strict_user_sees_our_types(tmp_path):
    settings = tmp_path / "mypy.ini"
    settings.write_text(SETTINGS)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", f"--config-file={settings}", f"--cache-dir={tmp_path / 'cache'}", SAMPLE],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(HERE / "stubs"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    said = {
        (int(line), code)
        for line, code in re.findall(r"typed_sample\.py:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE)
    }
    lines = enumerate(SAMPLE.read_text(encoding="utf-8").splitlines(), start=1)
    refused = {(number, found[1]) for number, line in lines if (found := re.search(r"# refused: ([a-z-]+)$", line))}
    assert said == refused, done.stdout + done.stderr
    assert len(refused) == 6
