"""`pct review`: what a reviewer decides is kept with the version, shown, and taken back by another record."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from tiny_store import NAME

from pct_mlops.config import PctError
from pct_mlops.gate.reviews import Mark, ReviewKind
from pct_mlops.registry import release, reviews
from pct_mlops.workflows.gating.write_reviews import read_sample_ids

WHY = ("--reason", "looked at all flips")


def recorded(store, version=2):
    return reviews(store.registry, store.registry.get(NAME, version))


def ids(store, number):
    file = store.registry.predictions(store.registry.get(NAME, 2))
    return pq.read_table(file, columns=["sample_id"])["sample_id"].to_pylist()[:number]


def refused(store, capsys, *words):
    assert store.pct("review", f"{NAME}/2", *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert len(line) < 1000
    return line


def test_a_decision_is_about_production_of_the_moment(store, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    assert store.pct("review", f"{NAME}@candidate", "--accept", *WHY) == 0
    made = recorded(store)[0]
    assert (made.kind, made.by, made.reason, made.baseline) == (ReviewKind.ACCEPT, "ada", WHY[1], 1)
    assert capsys.readouterr().out == f"Recorded as {made.id}: accept by ada, against version 1.\n"
    assert store.pct("review", f"{NAME}/2", "--reject", "--by", "bo", *WHY, "--baseline", f"{NAME}/2") == 0
    assert [(item.kind, item.by, item.baseline) for item in recorded(store)[1:]] == [(ReviewKind.REJECT, "bo", 2)]
    assert store.registry.aliases(NAME)["production"] == 1, "a review moves nothing"


def test_examples_are_marked_by_a_list_or_a_table(store, tmp_path, capsys):
    first, second, third = ids(store, 3)
    (tmp_path / "a.txt").write_text(f"{first}\n\n {second} \n{first}\n")
    (tmp_path / "b.csv").write_text(f'note,sample_id\n"twice, sure",{third}\n')
    words = ("--samples", tmp_path / "a.txt", "--mark", "label_error", *WHY, "--expires", "2099-12-24")
    assert store.pct("review", f"{NAME}/2", *words) == 0
    assert "label_error on 2 examples" in capsys.readouterr().out
    assert store.pct("review", f"{NAME}/2", "--reject", "--samples", tmp_path / "b.csv", *WHY) == 0
    marked, blocked, rejected = recorded(store)
    assert (marked.samples, marked.mark) == ((first, second), Mark.LABEL_ERROR)
    assert marked.expires == "2099-12-25T00:00:00+00:00", "the day is over when it ends"
    assert (blocked.samples, blocked.mark) == ((third,), Mark.BLOCKER), "what is named in a rejection is why"
    assert rejected.kind is ReviewKind.REJECT
    assert store.pct("review", f"{NAME}/2", "--accept", "--samples", tmp_path / "b.csv", *WHY) == 0
    assert recorded(store)[3].mark is Mark.ACCEPTED_LOSS


def test_the_list_shows_everything_and_what_was_undone(store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert store.pct("review", f"{NAME}/2", "--list") == 0
    assert "Nobody has reviewed models:/digits/2 yet" in capsys.readouterr().out
    assert store.pct("review", f"{NAME}/2", "--accept", "--by", "ada", *WHY) == 0
    made = recorded(store)[0]
    assert store.pct("review", f"{NAME}/2", "--undo", made.id, "--by", "ada", "--reason", "too early") == 0
    assert f"{made.id} does not count any more" in capsys.readouterr().out
    assert store.pct("review", f"{NAME}/2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "accept (undone)" in lines[1]
    assert f"undo {made.id}" in lines[2]


def test_what_others_typed_is_shown_as_text(store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert store.pct("review", f"{NAME}/2", "--accept", "--by", "[/red]", "--reason", "see [/docs] \x1b[31m") == 0
    capsys.readouterr()
    assert store.pct("review", f"{NAME}/2") == 0
    assert "[/red]  see [/docs] \ufffd[31m" in capsys.readouterr().out


def test_a_candidate_of_a_model_of_its_own_is_compared_with_what_it_is_to_replace(store):
    registry = store.registry
    copy = release(registry, registry.get(NAME, 2), f"{NAME}-candidates")
    assert store.pct("review", f"{NAME}-candidates/1", "--accept", *WHY) == 0
    assert reviews(registry, copy)[-1].baseline == 1


def test_ids_are_taken_as_they_are_written(tmp_path):
    long = "x" * 200_000
    for text, found in (
        (f"a\u2028b\r\n{long}\n", ("a\u2028b", long)),
        ('\ufeffsample_id,why\r\n"a\nb",x\r\nc', ("a\nb", "c")),
        ('"\n' + long, ('"', long)),
    ):
        (tmp_path / "ids").write_bytes(text.encode())
        assert read_sample_ids(tmp_path / "ids") == found
    (tmp_path / "ids").write_text(f"sample_id\n{long}\n")
    with pytest.raises(PctError, match="is no CSV that can be read"):
        read_sample_ids(tmp_path / "ids")


def test_what_cannot_be_meant_is_said_and_nothing_is_recorded(store, capsys):
    (store.folder / "ids.txt").write_text("\n".join(ids(store, 2)))
    (store.folder / "empty.txt").write_text("sample_id\n")
    (store.folder / "wrong.txt").write_text("y\nx\n" + ids(store, 1)[0])
    (store.folder / "long.txt").write_text("x" * 300_000)
    cases = [
        (("--accept",), "give one with --reason"),
        (("--accept", "--undo", "x", *WHY), "--undo stands alone: leave out --accept"),
        (("--list", "--reject", *WHY), "--list stands alone"),
        (("--undo", "nothing", *WHY), "There is no review 'nothing' to undo"),
        (("--accept", *WHY, "--expires", "soon"), "--expires soon is no date: write it as"),
        (("--accept", *WHY, "--expires", "2020-01-01"), "has passed already"),
        (("--accept", *WHY, "--expires", "9999-12-31"), "--expires 9999-12-31 is no date"),
        (("--mark", "typo", "--samples", "ids.txt", *WHY), "--mark typo is none of label_error"),
        (("--mark", "blocker", *WHY), "--mark needs the ids of the examples"),
        (("--samples", "ids.txt", *WHY), "These examples need a mark: give --mark"),
        (
            ("--accept", "--samples", "missing.txt", *WHY),
            "There is no file missing.txt: give the path of a text or CSV file",
        ),
        (("--accept", "--samples", "empty.txt", *WHY), "empty.txt names no example"),
        (("--accept", "--samples", "wrong.txt", *WHY), "no predictions for 2 of these examples ('x', 'y'): correct"),
        (("--accept", "--samples", "long.txt", *WHY), "no predictions for 1 of these examples ('xxx"),
        (("--accept", "--baseline", "digits/9", *WHY), "digits has no version 9"),
        (("--expires", "2099-01-01", *WHY), "Say what you decided"),
        (WHY, "Say what you decided: --accept, --reject, or --mark with --samples"),
        (("--by", "ada"), "Say what you decided"),
        (("--accept", "--reject", *WHY), "--accept and --reject exclude each other"),
        (("--list", "--by", "ada"), "--list stands alone: leave out --by"),
        (("--undo", "x", "--baseline", "digits/1", *WHY), "--undo stands alone: leave out --baseline"),
    ]
    before = store.state()
    for words, says in cases:
        assert says in refused(store, capsys, *words)
    assert store.state() == before


def test_the_marks_of_the_option_are_those_of_the_gate():
    from pct_mlops.cli.review import MARKS
    from pct_mlops.gate.reviews import Mark

    assert tuple(str(mark) for mark in Mark) == MARKS
