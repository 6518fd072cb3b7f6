"""Every program in examples/ runs as its own first lines say, small, and says what it promises."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from pct_mlops.predictions import Predictions

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
# Programs in which our objective takes the place of cross-entropy -> the extra that they need.
LOOPS = {"plain_loop.py": "", "lightning_module.py": "lightning", "transformers_trainer.py": "transformers"}
SHORT = ["gate_two_tables.py", "minimal_training.py", "torchmetrics_nfr.py", *LOOPS]
MAX_ADDED = 10


def needs(extra: str) -> None:
    if extra:
        pytest.importorskip(extra, reason=f'{extra} is not installed: pip install "pct-mlops[{extra}]"')


def run_here(name: str, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Run an example as the main program of this process, which has torch already; return the lines that it printed."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [name, *words])
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    return capsys.readouterr().out.splitlines()


def run(name: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / name), *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def test_two_tables_of_another_library_go_through_the_gate(tmp_path):
    done = run("gate_two_tables.py", tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert done.returncode == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[report["verdict"]], done.stderr
    assert "negative flips: NFR" in done.stdout
    assert report["verdict"] in done.stdout
    assert len(report["checks"]) == 1


def test_the_smallest_training_prints_both_updates(capsys):
    lines = run_here("minimal_training.py", capsys, "--epochs", "2", "--seeds", "1")
    assert [line.split(":")[0] for line in lines] == ["old", "none", "ldi"]
    assert all("accuracy" in line for line in lines)
    assert "NFR" in lines[1]


@pytest.mark.parametrize(
    "name", [name if not extra else pytest.param(name, marks=pytest.mark.thorough) for name, extra in LOOPS.items()]
)
def test_the_objective_in_the_loop_of_others(tmp_path, name, monkeypatch, capsys):
    """The tables that it writes are those of models that learnt, and the printed rates are theirs."""
    needs(LOOPS[name])
    monkeypatch.chdir(tmp_path)
    lines = run_here(name, capsys) if not LOOPS[name] else run(name, tmp_path).stdout.splitlines()
    tables = {path.stem: Predictions.load(path) for path in tmp_path.glob("*.parquet")}
    assert tables.keys() == {"old", "plain", "new"}
    for update in ("plain", "new"):
        accuracy, nfr = tables[update].accuracy(), tables[update].nfr(tables["old"])
        assert f"{update}: accuracy {accuracy:.2%}, NFR {nfr:.2%}" in lines
        assert accuracy > tables["old"].accuracy() > 0.45
    assert tables["new"].nfr(tables["old"]) < tables["plain"].nfr(tables["old"]), "what the objective is for"


@pytest.mark.parametrize("name", LOOPS)
def test_the_objective_takes_few_lines(name):
    lines = (EXAMPLES / name).read_text().splitlines()
    added = [line for line in lines if re.search(r"  # \+( |$)", line)]
    assert 3 < len(added) <= MAX_ADDED
    ours = [line for line in lines if "build_objective" in line or "objective(" in line or "old_logits" in line]
    assert [line for line in ours if line not in added and '"""' not in line] == []


@pytest.mark.thorough
def test_gradient_accumulation_of_the_transformers_trainer_changes_nothing(tmp_path, monkeypatch):
    """Its default is to leave the division to the model's own loss, which the objective replaces."""
    needs("transformers")
    import torch
    from transformers import TrainingArguments, set_seed

    monkeypatch.syspath_prepend(str(EXAMPLES))
    import transformers_trainer as example

    found = []
    for parts in (1, 2):
        set_seed(0)
        old, model = example.make_model(8).eval(), example.make_model(8)
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
        for layer in model.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=32 // parts,
            gradient_accumulation_steps=parts,
            optim="sgd",
            max_grad_norm=0,
            learning_rate=0.5,
            lr_scheduler_type="constant",
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        data = example.Texts(64, seed=0)
        example.CongruentTrainer(model=model, args=arguments, train_dataset=data, old=old).train()
        found.append(torch.cat([value.flatten() for value in model.parameters()]).detach())
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_flip_rates_of_a_stream(capsys):
    lines = run_here("torchmetrics_nfr.py", capsys)
    rates = {name: float(text.rstrip("%")) for name, text in (line.split(": ") for line in lines)}
    assert rates.keys() == {"nfr", "pfr", "churn"}
    assert rates["nfr"] + rates["pfr"] <= rates["churn"] + 0.02


def test_a_notebook_draws_the_charts(tmp_path, monkeypatch):
    cells = json.loads((EXAMPLES / "flips.ipynb").read_text(encoding="utf-8"))["cells"]
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "notebook"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "flips.ipynb", "exec"), namespace)
    figures = [value for value in namespace.values() if type(value).__name__ == "Figure"]
    assert len(figures) == 3
    assert all(figure.data for figure in figures)


def test_every_example_is_run_here():
    here = Path(__file__).read_text()
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert names == {*SHORT, "flips.ipynb"}
    assert [name for name in names if name not in here] == []


@pytest.mark.parametrize("name", SHORT)
def test_examples_are_short(name):
    assert len((EXAMPLES / name).read_text().splitlines()) <= 125
