"""Keeps teacher outputs on disk: computed once for every fixed view, or read from a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.errors import TableError
from pct_mlops.predictions import Predictions
from pct_mlops.workflows.runtime.session import Session
from pct_mlops.workflows.training.inputs import Inputs
from pct_mlops.workflows.training.teacher import Teacher

if TYPE_CHECKING:
    from torch import Tensor

    from pct_mlops.data import Batch, Splits
    from pct_mlops.engine import StoredOutputs

FOLDER = "teacher_outputs"


def store_outputs(inputs: Inputs, session: Session, teacher: Teacher) -> StoredOutputs:
    """Return the teacher's outputs for each of data.views views of every training example.

    Outputs that are not stored yet are computed first.
    """
    from pct_mlops.data import view_loader
    from pct_mlops.engine import StoredOutputs

    recipe, accelerator = inputs.recipe, session.accelerator
    assert recipe.data.views is not None  # the recipe has checked this

    def loader(number: int) -> Iterable[Batch]:
        return view_loader(
            inputs.splits.train,
            recipe.data,
            number,
            batch_size=recipe.engine.eval_batch_size,
            seed_data=recipe.seed.data,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
            device=accelerator.device,
        )

    return StoredOutputs.build(
        (recipe.engine.checkpoint_dir or Path("checkpoints")).resolve() / FOLDER,
        _key(inputs, teacher),
        teacher.model,
        loader,
        num_views=recipe.data.views,
        num_examples=len(inputs.splits.train),
        accelerator=accelerator,
        with_features=inputs.objective.needs_features,
    )


def _key(inputs: Inputs, teacher: Teacher) -> str:
    """Return sha256 over all that the outputs depend on: teacher, ids in their order, classes, preprocessing, views.

    Pixels are not read: an image file that keeps its name is taken to be unchanged.
    """
    data, seed = inputs.recipe.data, inputs.recipe.seed.data
    parts = {
        "teacher": teacher.digest,
        "features": inputs.objective.needs_features,
        # Columns are the data's classes that the teacher knows, in the data's order.
        "classes": [inputs.splits.class_names, teacher.model.known_classes],
        "precision": inputs.recipe.engine.mixed_precision,
        "preprocessing": inputs.splits.preprocessing_of(inputs.splits.train),
        "examples": hashlib.sha256("\n".join(inputs.splits.train.sample_ids).encode()).hexdigest(),
        "views": [data.views, data.augment.model_dump(mode="json"), seed],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def logits_of_table(path: Path, splits: Splits) -> tuple[Tensor, tuple[int, ...], str]:
    """Read a teacher's logits on the training split from a table.

    Rows are matched by sample_id and columns by class name.

    Returns:
        Logits [num_train, K], the K known classes as indices into the data's classes, and a digest of the logits.

    Raises:
        PctError: The table holds no logits, lacks a training example, or shares no class with the data.
    """
    import numpy as np
    import pyarrow.parquet as pq
    import torch

    from pct_mlops.models import common_classes

    info = Predictions.load(path).info
    if "logits" not in info.columns:
        raise TableError(f"{path} holds no logits, which a teacher needs: score the model again with 'pct score'.")
    table = pq.read_table(path, columns=["sample_id", "logits"])
    ids = table["sample_id"].to_numpy()
    order = ids.argsort()
    wanted = np.array(splits.train.sample_ids, dtype=object)
    places = np.searchsorted(ids[order], wanted).clip(max=len(ids) - 1)
    rows = order[places]
    missing = np.flatnonzero(ids[rows] != wanted)
    if len(missing):
        raise TableError(
            f"{path} lacks {len(missing):,} of {len(wanted):,} training examples (first {wanted[missing[0]]}): make it "
            "with 'pct score MODEL --split train' on the same data."
        )
    known = common_classes([info.class_names], splits.class_names)
    columns = [info.class_names.index(splits.class_names[index]) for index in known]
    flat = table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    logits = flat.reshape(len(ids), len(info.class_names))[rows][:, columns]
    return torch.from_numpy(np.ascontiguousarray(logits)), known, hashlib.sha256(logits.tobytes()).hexdigest()
