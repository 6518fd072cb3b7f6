"""The served model needs MLflow and torch, and nothing of ours."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import torch
from tiny_store import NAME

from pct_mlops.models import load_classifier

CLIENT = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pct_mlops":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
import mlflow.pyfunc
import numpy as np

mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
given = np.load(sys.argv[3])
np.savez(sys.argv[4], **{f"batch{n}": model.predict(given[:n]) for n in (1, 2, 7)})
assert not [name for name in sys.modules if name.startswith("pct_mlops")]
try:
    import pct_mlops
except ModuleNotFoundError:
    print("predicted without the package")
"""


def test_plain_pyfunc_in_a_process_without_this_package(shared_store, tmp_path):
    images = np.random.default_rng(0).random((7, 1, 8, 8), np.float32)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "client.py").write_text(CLIENT)
    words = [shared_store.uri, f"models:/{NAME}@candidate", "images.npy", "answers.npz"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": "",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    done = subprocess.run(
        [sys.executable, "client.py", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "predicted without the package" in done.stdout

    version = shared_store.registry.resolve(f"{NAME}@candidate")
    weights = shared_store.registry.download(version, "model.safetensors")
    shared_store.registry.download(version, "architecture.json")
    model = load_classifier(weights.parent).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).logits.numpy()
    with np.load(tmp_path / "answers.npz") as answers:
        for number in (1, 2, 7):
            np.testing.assert_allclose(answers[f"batch{number}"], expected[:number], atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3, "the answers depend on the images"
