"""Asks any registered classifier about a file of labelled examples, and stores its predictions with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pct_mlops.errors import ConfigError, DataError
from pct_mlops.registry import Registry, check_model, not_recorded, record_evidence, record_weights
from pct_mlops.workflows.runtime.distributed import main_process_logger
from pct_mlops.workflows.runtime.example_data import Examples, read_examples
from pct_mlops.workflows.runtime.model_inputs import fitted, input_names
from pct_mlops.workflows.runtime.model_outputs import join_outputs, table_of_outputs
from pct_mlops.workflows.runtime.predictors import Predictor, load_predictor
from pct_mlops.workflows.runtime.weights_digest import version_digest
from pct_mlops.workflows.tables.attach import store_table

if TYPE_CHECKING:
    from pct_mlops.predictions import Predictions
    from pct_mlops.registry import Version
    from pct_mlops.registry.served_model import ModelInputs

BATCH = 1024
logger = main_process_logger(__name__)


def score_data(
    reference: str,
    data: Path,
    *,
    split: str = "test",
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    scores: str | None = None,
    allow_code: bool = False,
    output: Path | None = None,
    tracking_uri: str | None = None,
) -> Predictions:
    """Store the predictions of a registered version on the examples of a file.

    Args:
        reference: A version of any flavour that `mlflow.pyfunc` loads and that has a signature.
        data: .csv, .tsv, .parquet, .jsonl or .npz with ids, labels and the model's inputs.
        split: Name of the examples.
        columns: What the file calls `sample_id` and `label`.
        classes: Names in the order of the model's scores; None means those that the model knows.
        scores: "logits" or "probabilities"; None means what they look like.
        allow_code: Load a model also where that runs code that came with it.
        output: Write the table here and not to the registry.
        tracking_uri: Of the registry.

    Returns:
        The table as it was stored.

    Raises:
        PctError: The model would run code and may not, or data and model do not fit.
    """
    registry = Registry(tracking_uri)
    version = registry.resolve(reference)
    files = registry.files(version)
    name = f"{version.name}/{version.version}"
    digest = version_digest(registry, version)
    predictor, inputs = _loaded(files.folder(), version, allow_code=allow_code)
    examples = read_examples(data, columns or {}, taken=input_names(inputs), texts=input_names(inputs, texts=True))
    said = join_outputs(list(_predicted(predictor, examples, f"score {name}")), predictor.classes, version.uri)
    about = {"dataset": data.name, "split": split, "preprocessing": "signature"}
    table = table_of_outputs(said, examples, classes=classes, kind=scores, title=version.uri, **about)
    words = {"model_name": version.name, "model_version": str(version.version), "model_uri": version.uri}
    if output is not None:
        from pct_mlops.predictions.with_info import save_with_info

        return save_with_info(table, output, weights=digest, **words)
    model = check_model(registry, version, split)
    with tempfile.TemporaryDirectory(prefix="pct-mlops-") as folder:
        stored = store_table(files, table, split, replace=True, aside=Path(folder), weights=digest, **words)
    if left := record_evidence(registry, version, split, model):
        logger.warning(not_recorded(left))
    record_weights(registry, version, digest)
    return stored.table


def _loaded(folder: Path, version: Version, *, allow_code: bool) -> tuple[Predictor, ModelInputs]:
    """Load the model with its inputs. Raise PctError where it has no signature, or would run code and may not."""
    name = f"{version.name}/{version.version}"
    predictor = load_predictor(
        folder,
        version.uri,
        allow_code=allow_code,
        how_to_allow="add --allow-code",
        instead=f"score it where it was trained, and bring the table with 'pct attach {name} FILE'",
    )
    if predictor.inputs is None:
        raise DataError(
            f"{version.uri} has no signature of its inputs: log it again with signature=infer_signature(...), or bring "
            f"its predictions with 'pct attach {name} FILE'."
        )
    return predictor, predictor.inputs


def _predicted(predictor: Predictor, examples: Examples, title: str) -> Iterator[Any]:
    assert predictor.inputs is not None  # as checked
    given = fitted(examples, predictor.inputs, predictor.title, is_own=predictor.is_own)
    with _bar(title, len(examples)) as advance:
        for start in range(0, len(examples), BATCH):
            part = given[start : start + BATCH]
            found = predictor.predict(part)
            if not hasattr(found, "__len__") or len(found) != len(part):
                raise DataError(
                    f"{predictor.title} gave no prediction for each of {len(part):,} examples: attach its predictions "
                    "with 'pct attach' instead."
                )
            yield found
            advance(len(part))


@contextmanager
def _bar(title: str, total: int) -> Iterator[Any]:
    """Show how far it has come, where a person looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda number: bar.advance(task, number)


def check_words(*, data: str | None, recipe: str | None, overrides: Sequence[str], given: Mapping[str, object]) -> None:
    """Raise PctError for options that mean nothing together: a recipe names its own data."""
    if data is None:
        stray = next((option for option, value in given.items() if value), None)
        if stray is not None:
            raise ConfigError(f"{stray} goes with --data FILE: give the file of examples, or leave it out.")
    elif recipe or overrides:
        raise ConfigError("--data takes the place of a recipe's data: leave --recipe and --set out.")
