"""A program of somebody else: it logs and registers classifiers with MLflow alone, and never imports this package.

    python foreign_models.py TRACKING_URI FOLDER

Writes into FOLDER the test data (test.csv, texts.csv) and the logits of each version (NAME-NUMBER.npy).
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

CLASSES = ["cat", "dog", "horse"]
PINNED = {"pip_requirements": ["mlflow"]}  # found out from the model, which would take half a minute


class Linear(mlflow.pyfunc.PythonModel):
    """Probabilities as a frame with a column for each class, in an order of its own."""

    def __init__(self, weights):
        self.weights = weights

    def predict(self, context, model_input, params=None):
        found = np.exp(model_input[["a", "b"]].to_numpy() @ self.weights)
        shares = found / found.sum(axis=1, keepdims=True)
        return pd.DataFrame(shares, columns=CLASSES)[["horse", "cat", "dog"]]


class Words(mlflow.pyfunc.PythonModel):
    """A text classifier that says a label and nothing else."""

    def predict(self, context, model_input, params=None):
        texts = model_input[model_input.columns[0]] if hasattr(model_input, "columns") else model_input
        return np.array([next((name for name in CLASSES if name in text), "cat") for text in texts])


def data(seed, number=400):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, number)
    places = np.array([[0.0, 2.0], [2.0, 0.0], [-2.0, -1.0]])[labels] + random.normal(size=(number, 2))
    frame = pd.DataFrame(places, columns=["a", "b"])
    return frame, np.array(CLASSES)[labels]


def main(uri, folder):
    mlflow.set_tracking_uri(uri)
    folder.mkdir(parents=True, exist_ok=True)
    test, labels = data(0)
    numbered = pd.DataFrame({"id": [f"pet/{i:04d}" for i in range(len(test))], **test, "label": labels})
    numbered.to_csv(folder / "test.csv", index=False)
    texts = [f"I saw a {name} today" if i % 10 else "I saw nothing" for i, name in enumerate(labels)]
    pd.DataFrame({"id": numbered["id"], "text": texts, "label": labels}).to_csv(folder / "texts.csv", index=False)
    for number, seed in ((1, 11), (2, 12)):
        frame, targets = data(seed, 60 if number == 1 else 600)
        register(frame, targets, number, test, folder)
    register_words()


def register(frame, targets, number, test, folder):
    """A version of each flavour, each from another kind of source."""
    client = MlflowClient()
    fitted = LogisticRegression().fit(frame, targets)
    weights = fitted.coef_.T
    for name in ("pets-sklearn", "pets-pyfunc", "pets-torch"):
        logits = test.to_numpy() @ weights + (fitted.intercept_ if name == "pets-sklearn" else 0)
        np.save(folder / f"{name}-{number}.npy", logits)
    with mlflow.start_run() as run:
        signature = infer_signature(frame, fitted.predict(frame))
        kept = mlflow.sklearn.log_model(
            fitted, name="model", signature=signature, serialization_format="cloudpickle", **PINNED
        )
        mlflow.register_model(kept.model_uri, "pets-sklearn")

        made = folder / f"pyfunc-{number}"
        signature = infer_signature(frame, Linear(weights).predict(None, frame))
        mlflow.pyfunc.save_model(made, python_model=Linear(weights), signature=signature, **PINNED)
        mlflow.log_artifacts(str(made), "own")
        create(client, "pets-pyfunc", f"runs:/{run.info.run_id}/own", run)

        made = folder / f"torch-{number}"
        layer = torch.nn.Linear(2, 3, bias=False)
        layer.weight.data = torch.tensor(weights.T, dtype=torch.float32)
        example = frame.to_numpy(np.float32)
        signature = infer_signature(example, example @ weights.astype(np.float32))
        mlflow.pytorch.save_model(layer, made, signature=signature, serialization_format="pickle", **PINNED)
        mlflow.log_artifacts(str(made), "net")
        create(client, "pets-torch", f"{run.info.artifact_uri}/net", run)


def register_words():
    """Registered without a run of its own: MLflow makes one."""
    signature = infer_signature(pd.DataFrame({"text": ["a cat"]}), np.array(["cat"]))
    mlflow.pyfunc.log_model(
        name="words", python_model=Words(), signature=signature, registered_model_name="pets-words", **PINNED
    )


def create(client, name, source, run):
    try:
        client.create_registered_model(name)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(name, source, run.info.run_id)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    assert not [name for name in sys.modules if name.startswith("pct_mlops")]
