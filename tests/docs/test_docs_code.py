"""What the documentation shows is run: Python and bash as they stand, commands against pct's own options, YAML read.

A page's blocks run in order in an empty folder. `python` blocks are executed, unless their title is "fragment"; `bash`
blocks hold `pct` commands that are executed too; commands in `sh` blocks are parsed and not run. Of some pages every
command is run, beside a registry: see test_docs_commands.py.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
import types

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from doc_pages import ROOT, blocks, every_page, written
from page_commands import FRAGMENT, PAGES

from pct_mlops.cli import main
from pct_mlops.cli.main import pct
from pct_mlops.config import Policy, Recipe
from pct_mlops.config.base import validate
from pct_mlops.workflows.studies.methods_file import read_methods

MAX_FRAGMENTS = 1
# What README's example stands beside: two models' logits of the same examples, and a policy.
BEFORE = {
    "../README.md": """
from pathlib import Path

import numpy as np

names, labels = ["cat", "dog"], np.arange(2000) % 2
ids = [f"test/{number}" for number in range(2000)]
old_logits = 4 * np.eye(2)[labels] * np.where(np.arange(2000) % 10 == 0, -1, 1)[:, None]
new_logits = 4 * np.eye(2)[labels]
Path("policy.yaml").write_text("rules: [{metric: nfr, max: 0.02}]")
"""
}
SHOWN = {page: found for page, text in written().items() if (found := blocks(page, text, "python", "bash"))}
RUN = [page for page in SHOWN if page not in PAGES]


@pytest.fixture
def own_registry(monkeypatch):
    """Some pages name a registry, which mlflow remembers."""
    for key in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(key, raising=False)
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)
        sys.modules["mlflow"].tracking.fluent._active_experiment_id = None
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("page", RUN)
def test_blocks_run_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # dataclasses look for the module that they are of
    names = vars(module)
    exec(BEFORE.get(page, ""), names)
    for block in SHOWN[page]:
        if block.kind == "bash":
            for words in commands(block.text):
                assert words[0] == "pct", f"{block.place}: only pct runs here"
                assert main(words[1:]) == 0, f"{block.place}: {shlex.join(words)}\n{capsys.readouterr().err}"
        elif block.title == FRAGMENT:
            ast.parse(block.text)
        else:
            lines = "\n" * block.line + block.text
            exec(compile(lines, page, "exec", dont_inherit=True), names)


def test_few_blocks_are_fragments():
    found = [block for page in SHOWN.values() for block in page if block.kind == "python"]
    fragments = [block.place for block in found if block.title == FRAGMENT]
    assert len(fragments) <= MAX_FRAGMENTS, fragments
    assert len(found) - len(fragments) >= 10, "blocks that are executed"


def commands(text):
    """The commands of a shell block, as words; without what follows a pipe, and without assignments before them."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        words = words[: next((n for n, word in enumerate(words) if word in ("|", ">", "2>&1")), len(words))]
        if words and words[0] == "export":
            continue
        if words:
            found.append(words)
    return found


def of_pct(words):
    """The arguments of pct in a command, or None: pct itself, python -m pct_mlops, or a launcher in front of it."""
    if words[0] == "pct":
        return words[1:]
    if "pct_mlops" in words and words[words.index("pct_mlops") - 1] == "-m":
        return words[words.index("pct_mlops") + 1 :]
    return None


def parse(words):
    """Click parses the words as it would before running the verb; ClickException for an unknown verb or option."""
    parent = pct.make_context("pct", list(words), ignore_unknown_options=False)
    name, command, rest = pct.resolve_command(parent, [*parent._protected_args, *parent.args])
    while isinstance(command, click.Group):
        parent = command.make_context(name, rest, parent=parent)
        name, command, rest = command.resolve_command(parent, [*parent._protected_args, *parent.args])
    command.make_context(name, rest, parent=parent)


def shown():
    """(place, command as words) of every shell block, and of whole commands in the cells of tables."""
    for page, text in every_page().items():
        for block in blocks(page, text, "sh", "bash"):
            yield from ((block.place, words) for words in commands(block.text))
        for cell in re.findall(r"^\|.*\|$", text, re.MULTILINE):
            for code in re.findall(r"`((?:pct|torchrun) [^`]+)`", cell):
                words = shlex.split(code)
                if len(words) > 2 and "..." not in code:
                    yield page, words


def test_every_command_exists():
    tried, projects = 0, yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    for place, words in shown():
        arguments = of_pct(words)
        if arguments is not None and arguments:
            try:
                parse(arguments)
            except click.ClickException as error:
                pytest.fail(f"{place}: {shlex.join(words)}: {error.format_message()}")
            tried += 1
        if words[:3] == ["mlflow", "run", "."]:
            entry = words[words.index("-e") + 1] if "-e" in words else "main"
            given = {words[n + 1].partition("=")[0] for n, word in enumerate(words) if word == "-P"}
            assert given <= set(projects[entry]["parameters"]), f"{place}: {shlex.join(words)}"
        if words[0] == "make":
            targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(word for word in words[1:] if "=" not in word) <= set(targets), f"{place}: {shlex.join(words)}"
    assert tried > 100


def test_a_command_that_does_not_exist_is_found():
    with pytest.raises(click.ClickException):
        parse(["gate", "shoes@candidate", "--polcy", "policy.yaml"])
    with pytest.raises(click.ClickException):
        parse(["gaet", "shoes@candidate"])


DIFFS = [block for page, text in written().items() for block in blocks(page, text, "diff")]


@pytest.mark.parametrize("block", DIFFS, ids=lambda block: block.place)
def test_a_diff_shows_the_program_that_it_names(block):
    """Its lines stand in the program in this order. Added ones are marked there, and removed ones stand elsewhere."""
    program = (ROOT / block.title).read_text().splitlines()
    plain = [re.sub(r"  # \+$", "", line) for line in program]
    place = 0
    for line in block.text.splitlines():
        sign, text = line[:1], line[1:]
        if sign == "-":
            assert text in plain, text
        elif text != "...":
            place = plain.index(text, place) + 1
            assert program[place - 1].endswith("  # +") is (sign == "+"), text
    added = {line for line in program if line.endswith("  # +")}
    shown = {line[1:] for line in block.text.splitlines() if line.startswith("+")}
    assert {line.removesuffix("  # +") for line in added if "import" not in line} <= shown


def test_there_are_diffs():
    assert len(DIFFS) == 3


YAML = [block for page, text in written().items() for block in blocks(page, text, "yaml")]
SAYS = ("# recipe", "# part of a recipe", "# policy", "# part of a policy", "# methods", "# kubernetes")


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.place)
def test_yaml_is_what_its_first_line_says(block, tmp_path):
    says, _, rest = block.text.partition("\n")
    assert says in SAYS, f"{block.place}: begin with one of {SAYS}"
    file = tmp_path / "block.yaml"
    file.write_text(rest)
    (tmp_path / "pinned.csv").write_text("sample_id\na\n")
    pq.write_table(pa.table({"sample_id": ["a"], "camera": ["front"]}), tmp_path / "slices.parquet")
    if says == "# kubernetes":
        assert {part["kind"] for part in yaml.safe_load_all(rest)} == {"Job", "Service"}
    elif says == "# recipe":
        assert Recipe.read(file).model_name
    elif says == "# methods":
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text("model_name: shoes")
        assert read_methods(file, recipe)
    elif says == "# policy":
        assert Policy.read(file).rules
    elif says == "# part of a recipe":
        validate(Recipe, {"model_name": "shoes", **yaml.safe_load(rest)}, block.place)
    else:
        validate(Policy, yaml.safe_load(rest), block.place)
    assert len(YAML) >= 6


def test_the_command_in_the_kubernetes_job_exists():
    (block,) = [block for block in YAML if block.text.startswith("# kubernetes")]
    job, _ = yaml.safe_load_all(block.text)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    parse(of_pct(container["command"]))
