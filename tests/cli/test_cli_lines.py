"""What the library logs: silent by itself, plain lines under the command line, one process that speaks."""

from __future__ import annotations

import ast
import importlib
import logging
from pathlib import Path

import click
import pytest

from pct_mlops.cli import main, streams
from pct_mlops.errors import OutputError
from pct_mlops.workflows.runtime.distributed import main_process_logger
from pct_mlops.workflows.studies.sweep_progress import Pace

command = importlib.import_module("pct_mlops.cli.main")
LIBRARY = logging.getLogger("pct_mlops")
TRAINING = "pct_mlops.workflows.training.job"
# They pass on something else: an error's sentence, and how far a query has come.
OTHERS = {"runtime/distributed.py": "say_once", "explorer/queries/version_rates.py": "versions_against move_points"}


@pytest.fixture
def logs(monkeypatch):
    """Let `pct` do nothing but log these lines."""

    def verb(*_, **options):
        logging.getLogger(TRAINING).debug("detail")
        main_process_logger(TRAINING).info("epoch 1/2: 100% [x]")
        logging.getLogger("pct_mlops.data.folders").warning("skipped the image")

    monkeypatch.setattr(command.pct, "main", verb)


def test_the_command_line_prints_plain_lines_and_warnings_apart(logs, capsys):
    before = LIBRARY.level, LIBRARY.propagate, list(LIBRARY.handlers)
    for _ in range(2):
        assert main(["train"]) == 0
        assert capsys.readouterr() == ("epoch 1/2: 100% [x]\n", "skipped the image\n")
    assert (LIBRARY.level, LIBRARY.propagate, LIBRARY.handlers) == before


def test_a_root_logger_of_another_library_doubles_no_line(logs, capsys):
    other = logging.StreamHandler()
    logging.getLogger().addHandler(other)
    try:
        assert main(["train"]) == 0
    finally:
        logging.getLogger().removeHandler(other)
    assert capsys.readouterr() == ("epoch 1/2: 100% [x]\n", "skipped the image\n")


def test_the_other_processes_of_a_launch_are_silent(logs, capsys, caplog, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert main(["train"]) == 0
    assert capsys.readouterr() == ("", "")
    caplog.set_level(logging.INFO, "pct_mlops")
    main_process_logger(TRAINING).info("twice")
    assert "twice" not in caplog.messages, "whatever handler a program has set up"


def test_the_library_itself_is_silent_and_a_program_s_own_handler_hears_all(caplog, capsys):
    assert [type(handler) for handler in LIBRARY.handlers] == [logging.NullHandler]
    caplog.set_level(logging.INFO, "pct_mlops")
    with Pace(1).training():
        main_process_logger(TRAINING).info("epoch 1/2")
    assert caplog.messages == ["epoch 1/2"]
    assert capsys.readouterr() == ("", "")


def test_lines_beside_a_bar_are_not_printed_as_well(capsys):
    notes = []
    steps = Pace(2)
    steps.note = notes.append
    log = main_process_logger(TRAINING)
    with streams.library_lines():
        with steps.training():
            log.info("epoch 1/2")
        log.info("Registered")
        steps.begin("kl")
        steps.end("ok", trained=False)
    assert notes == ["epoch 1/2"]
    assert capsys.readouterr().out == "Registered\n1/2 kl: ok\n"


def test_a_line_that_cannot_be_printed_is_an_error(logs, monkeypatch, capsys):
    def full(*_, **options):
        raise OutputError("The output cannot be printed (No space left on device): redirect it elsewhere.")

    with monkeypatch.context() as broken:
        broken.setattr(streams.click, "echo", full)
        with pytest.raises(OutputError), streams.library_lines():
            logging.getLogger(TRAINING).info("epoch 1/2")
    assert click.echo is not full


def test_nobody_is_handed_a_function_to_say_lines_with():
    root, found = Path(streams.__file__).parents[1], {}
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and "say" in {
                part.arg for part in [*node.args.args, *node.args.kwonlyargs]
            }:
                found.setdefault(path.relative_to(root).as_posix().removeprefix("workflows/"), []).append(node.name)
    assert {path: " ".join(names) for path, names in found.items()} == OTHERS
