"""Texts and rows of examples: every format says the same, only what is asked for is read, and mistakes are said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pct_mlops.comparison import TextSearch, compare, example_rows
from pct_mlops.errors import PctError
from pct_mlops.predictions import Predictions, ReadOptions
from pct_mlops.predictions.example_texts import MAX_COLUMNS, MAX_VALUE, Content, open_texts

ROWS = [
    {"id": "a/1", "text": 'Two, "quoted"\nlines; été', "stars": "4", "shop": "Köln"},
    {"id": "007", "text": "مرحبا 👩‍👩‍👧", "stars": "1", "shop": ""},
    {"id": "x" * 1000, "text": "<b>bold</b>", "stars": "5", "shop": "Rome"},
]


def write(folder: Path, ending: str, rows=ROWS) -> Path:
    path = folder / f"texts{ending}"
    frame = pd.DataFrame(rows)
    if ending == ".parquet":
        frame.to_parquet(path)
    elif ending == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        frame.to_csv(path, sep="\t" if ending == ".tsv" else ";", index=False)
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_texts_and_rows(tmp_path, ending):
    texts = open_texts(write(tmp_path, ending))

    found = texts.read(["007", "a/1", "x" * 1000, "nobody"], max_text=600)

    assert texts.text == "text"
    assert set(found) == {"007", "a/1", "x" * 1000}
    text = ROWS[0]["text"]
    assert found["a/1"] == Content(text, len(text), (("stars", "4"), ("shop", "Köln")), 2)
    assert found["007"].text == ROWS[1]["text"]
    assert found["007"].row == (("stars", "1"),), "an empty value is left out"
    assert texts.read([], max_text=600) == {}


def test_a_file_without_a_text_gives_rows_and_one_with_a_single_column_gives_texts(tmp_path):
    rows = [{"id": "1", "age": 41.0, "paid": True, "scan": b"\xff\xfe", "list": [1, 2], "label": "x", "prob_x": 0.5}]
    table = open_texts(write(tmp_path, ".parquet", rows))
    assert table.read(["1"], max_text=9)["1"].row == (("age", "41"), ("paid", "True"), ("list", "[1, 2]"))
    assert table.read(["1"], max_text=9, max_columns=1)["1"] == Content("", 0, (("age", "41"),), 3)

    single = open_texts(write(tmp_path, ".csv", [{"sample_id": "1", "review": "good"}]))
    assert single.read(["1"], max_text=2)["1"] == Content("go", 4)

    named = open_texts(write(tmp_path, ".csv", [{"key": "1", "text": "good"}]), ReadOptions.parse("id=key"))
    assert named.read(["1"], max_text=9)["1"].text == "good"


def test_long_texts_long_values_and_wide_rows_are_cut_where_they_are_read(tmp_path):
    wide = {f"column {place}": "v" for place in range(MAX_COLUMNS + 50)}
    path = write(tmp_path, ".parquet", [{"id": "1", "text": "é" * 10_000_000, "note": "n" * 5_000, **wide}])

    found = open_texts(path).read(["1"], max_text=20_000)["1"]

    assert (len(found.text), found.length) == (20_000, 10_000_000)
    assert len(dict(found.row)["note"]) == MAX_VALUE + 1
    assert (len(found.row), found.num_columns) == (MAX_COLUMNS, MAX_COLUMNS + 51)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_a_null_character_is_part_of_a_text(tmp_path, ending):
    path = write(tmp_path, ending, [{"id": "1", "text": "a\0b"}, {"id": "2", "text": "c"}])
    assert open_texts(path).read(["1"], max_text=9)["1"].text == "a\0b"


def test_a_temporary_file_goes_with_its_handle(tmp_path):
    texts = open_texts(write(tmp_path, ".csv"))
    folder = Path(texts.path).parent
    assert folder.is_dir()
    del texts
    assert not folder.exists()


def make(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", None, "There is no file"),
        ("t.txt", b"id,text\n1,a\n", "is no file of texts"),
        ("t.npz", b"PK", "is no file of texts"),
        ("t.csv", b"", "is empty"),
        ("t.csv", b"name,text\n1,a\n", "has no column sample_id | id"),
        ("t.csv", b"id,label,prob_a\n1,a,1\n", "has only ids and predictions"),
        ("t.csv", b"id,text\n1,a,b,c\n", "line 2: there are"),
        ("t.csv", b"id,text\n1,\xff\xfe\n", "not UTF-8"),
        ("t.csv", b"id,text\n1," + b"x" * 10_000_000 + b"\n", "longer than 2 MB"),
        ("t.parquet", b"PAR1 no parquet", "t.parquet"),
        ("t.jsonl", b"[1, 2]\n", "line 1: this is no JSON object"),
        ("t.jsonl", b'{"id": "1", "text": "ok"}\n{"id": "2", "text": "\\ud800"}\n', "line 2: a text holds half"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path, name, content, says):
    path = tmp_path / name if content is None else make(tmp_path / name, content)
    with pytest.raises(PctError) as caught:
        open_texts(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def pair():
    ids = [f"e{place:03d}" for place in range(200)]
    labels = np.arange(200) % 2
    new = np.where(np.arange(200) % 5 == 0, 1 - labels, labels)
    camera = [None if place == 0 else ("north", "south")[place % 2] for place in range(200)]
    mood = ["Happy" if place % 3 else "sad" for place in range(200)]
    words = {"sample_ids": ids, "class_names": ["no", "yes"], "split": "test"}
    old = Predictions.from_arrays(labels, predictions=labels, slices={"camera": camera}, **words)
    return compare(old, Predictions.from_arrays(labels, predictions=new, slices={"text": mood}, **words))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_search_finds_what_python_finds_among_the_changed_examples(pair, tmp_path, ending):
    rows = [{"id": f"e{place:03d}", "text": f"Straße {place} 100%_x", "shop": f"s{place % 7}"} for place in range(300)]
    texts = open_texts(write(tmp_path, ending, rows))
    changed = [row for row in rows[:200] if int(row["id"][1:]) % 5 == 0]

    for needle in ("STRASSE", "strAße 1", "%_", "S3", "' OR true --", "x\ns3"):
        expected = [row["id"] for row in changed if needle.lower() in f"{row['text']}\n{row['shop']}".lower()]
        search = TextSearch(needle, texts)
        assert [row.sample_id for row in pair.flips("all", sort="sample_id", limit=99, text=search)] == expected
        assert pair.num_flips("all", text=search) == len(expected)
    assert pair.num_flips("all", target=1, text=TextSearch("strasse", texts)) == 0
    assert 0 < pair.num_flips("all", target=1, text=TextSearch("s3", texts)) < pair.num_flips("all", target=1)


def test_a_slice_column_can_be_searched_and_shown(pair):
    changed = [place for place in range(0, 200, 5)]
    assert pair.num_flips("all", text=TextSearch("APP", column="text")) == sum(place % 3 != 0 for place in changed)
    found = example_rows(pair, ["e000", "e001", "nobody"])
    assert found == {"e000": (("text", "sad"),), "e001": (("text", "Happy"), ("camera", "south")), "nobody": ()}


def test_a_file_that_is_gone_is_said_by_its_name(pair, tmp_path):
    path = write(tmp_path, ".parquet")
    texts = open_texts(path)
    path.unlink()
    with pytest.raises(PctError, match=r"^texts\.parquet cannot be read"):
        texts.read(["1"], max_text=9)
    with pytest.raises(PctError, match=r"^texts\.parquet cannot be read"):
        pair.num_flips("all", text=TextSearch("a", texts))
