"""Files that a command writes: whole or not at all, never over what it reads."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pct_mlops.errors import OutputError, PctError
from pct_mlops.workflows.runtime import atomic_files
from pct_mlops.workflows.runtime.atomic_files import (
    Staged,
    keep_off,
    recover_folder,
    remove,
    replace_folder,
    write_text,
)


def left(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(atomic_files, "os", SimpleNamespace(**{**vars(os), "fsync": full}))
        staged = Staged()
        for name in ("a.json", "b.json"):
            with pytest.raises(OutputError, match="No space left on device"):
                staged.add(tmp_path / name, "new")
        staged.commit()  # of what could not be written aside nothing is put in its place
        with pytest.raises(OutputError, match="cannot be written"):
            write_text(tmp_path / "a.json", "new")
    assert left(tmp_path) == {"a.json": "old"}
    write_text(tmp_path / "deep" / "b.json", "new")
    assert (tmp_path / "deep" / "b.json").read_text() == "new"


def test_places_that_cannot_be_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    inside = [tmp_path / name for name in (".", "x" * 300, "file/x", "pipe")]
    for place in (*inside, Path("/"), Path("/dev/full"), Path("/proc/no")):
        with pytest.raises(OutputError, match="cannot be written"):
            write_text(place, "new")
    assert left(tmp_path) == {"file": ""}


def test_links_stay_links_and_pipes_pipes(tmp_path):
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    remove(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    remove(tmp_path / "link")
    remove(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "real").exists()


def test_an_output_is_no_input_and_no_other_output(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("")
    (tmp_path / "link").symlink_to(one)
    os.link(one, tmp_path / "hard")
    (tmp_path / "loop").symlink_to("loop")
    keep_off([two, None, tmp_path / "loop"], [one, str(tmp_path / "missing"), "name@alias", "", None, "x" * 5000])
    keep_off([Path("/dev/null"), Path("/dev/null")], ["/dev/null"])
    for name in ("one", "link", "hard"):
        with pytest.raises(PctError, match=f"{name} is read and would be written over"):
            keep_off([two, tmp_path / name], [str(one)])
    with pytest.raises(PctError, match="Two outputs are the same file"):
        keep_off([two, tmp_path / "." / "two"], [])


@pytest.mark.parametrize("dies_before", [1, 2, 3])
def test_a_folder_is_replaced_and_a_kill_at_any_step_leaves_one_of_the_two(tmp_path, monkeypatch, dies_before):
    best, aside = tmp_path / "best", tmp_path / ".best.partial"
    for folder in (best, aside):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    steps = []

    def step(done):
        def run(*args, **options):
            steps.append(done.__name__)
            if len(steps) == dies_before + 1:  # the first step clears what an earlier kill left
                raise KeyboardInterrupt
            return done(*args, **options)

        return run

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", step(Path.rename))
        broken.setattr(atomic_files.shutil, "rmtree", step(atomic_files.shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            replace_folder(aside, best)
    assert steps[:2] == ["rmtree", "rename"]
    recover_folder(best)
    assert (best / "name").read_text() == (".best.partial" if dies_before == 3 else "best")
    if aside.exists():
        replace_folder(aside, best)
    assert (best / "name").read_text() == ".best.partial"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
