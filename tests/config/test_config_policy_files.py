"""Hostile and careless policy files, and the files that a policy names: one sentence, or contents that decide."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pct_mlops.config import PctError, Policy

RULES = "rules: [{metric: nfr, max: 0.1}]\n"


def read(tmp_path, text, **files):
    for name, content in files.items():
        path = tmp_path / name.replace("_", ".")
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content, encoding="utf-8")
    path = tmp_path / "policy.yaml"
    path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text, encoding="utf-8")
    return Policy.read(path)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB + RULES, "100,000 values once its anchors are written out"),
        ("rules: &r [*r]\n", "contains itself"),
        ("[" * 5000, "nested too deeply"),
        (RULES + "# " + "x" * 300_000, "256 KiB"),
        (b"\x7fELF\x00\x01\x02", "not a text file"),
        (b"PAR1\x00\x00", "not a text file"),
        ("rules: [{metric: nfr, max: 0.1, max: 0.9}]\n", "'max' is given twice .again in line 1"),
        (RULES + RULES, "'rules' is given twice .again in line 2"),
        ("rules: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("rules: []\n", "has no rules"),
        ("confidence: 0.9\n", "has no rules"),
        ("? [a]\n: 1\n", "not valid YAML"),
        ("a: 2020-13-45\n", "not valid YAML"),
        ("a: !!timestamp soon\n", "not valid YAML"),
        ("a: !!float x\n", "not valid YAML"),
        ("rules: \x7f\n", "not valid YAML"),
        ("rules: \ufffe\n", "not valid YAML"),
        ("a: !!binary é\n", "not valid YAML"),
    ],
)
def test_hostile_files_cost_a_sentence(tmp_path, text, message):
    with pytest.raises(PctError, match=message) as error:
        read(tmp_path, text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_anchors_and_merges_of_a_size_that_people_write(tmp_path):
    text = "rules:\n  - &base {metric: nfr, max: 0.1}\n  - {<<: *base, max: 0.2}\n"
    assert [rule.max for rule in read(tmp_path, text).rules] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{metric: nfrr, max: 0.1}", "Unknown metric 'nfrr': choose one of nfr"),
        ("{metric: nfr, max: 1.5}", r"between 0 and 1, and it is 1.5 .1.5 % is written 0.015"),
        ("{metric: nfr, max: -0.01}", "between 0 and 1, and it is -0.01"),
        ("{metric: accuracy_change, min: -2}", "between -1 and 1"),
        ("{metric: nll_new, max: -1, bound: point}", "at least 0"),
        ("{metric: nfr, max: yes}", "should be a number, and it is yes or no"),
        ("{metric: nfr, max: 0.1, min_support: true}", "should be a number, and it is yes or no"),
        ("{metric: relative_nfr, max: 1}", "no confidence bounds .it divides by two estimates.: use 'bound: point'"),
        ("{metric: nfr, max_times_floor: 0}", "max_times_floor"),
        ("{metric: accuracy_new, max_times_floor: 2}", "goes with negative flip rates"),
        ("{metric: nfr, max: 0.1, max_times_floor: 2}", "only one of them"),
        ("{metric: nfr, max_times_floor: 2, bound: lower}", "'lower' with 'min'"),
        ("{metric: nfr, max: 0.1, classes: []}", "'all' or a list of class names"),
        ("{metric: nfr, max: 0.1, classes: cat}", "'all' or a list of class names"),
        ("{metric: nfr, max: 0.1, classes: [cat, cat]}", "each once"),
        ("{metric: nfr, max: 0.1, classes: [no]}", "reads this name as false: put it in quotes"),
        ("{metric: nfr, max: 0.1, slice: {value: night}}", "rules.0.slice.column"),
        ("{metric: nfr, max: 0.1, slice: {column: a, values: b}}", "unknown key 'rules.0.slice.values'"),
        ("{metric: weighted_nfr, max: 0.1}", "weighted_nfr needs costs"),
        ("{metric: nfr, maxx: 0.1, max: 0.1}", "unknown key 'rules.0.maxx' .did you mean max"),
        ("{metric: nfr, max: 1}", "a limit of 1 on nfr lets anything pass"),
        ("{metric: accuracy_new, min: 0}", "a limit of 0 on accuracy_new lets anything pass"),
        ("{metric: accuracy_change, min: -1}", "a limit of -1 on accuracy_change lets anything pass"),
        ("{metric: nll_new, min: 0, bound: point}", "a limit of 0 on nll_new lets anything pass"),
        ("{metric: nfr, min: 0.02}", "'min' on nfr asks for negative flips: limit them with 'max'"),
        ("{metric: relative_nfr, min: 1, bound: point}", "'min' on relative_nfr asks for negative flips"),
        ("{metric: nfr, max: 0.1, min_support: 0x%s}" % ("f" * 4000), "less than or equal to 1000000000000"),
        ("{metric: nfr, max: 0.1, classes: }", "'rules.0.classes' has no value"),
        ("{metric: nfr, max: 0.1, slice: {column: a, value: ~}}", "'rules.0.slice.value' has no value"),
        ("{metric: accuracy_old, min: 0.9}, {metric: nll_old, max: 2, bound: point}", "about the baseline alone"),
    ],
)
def test_rules_that_cannot_be_meant(tmp_path, rule, message):
    with pytest.raises(PctError, match=message) as error:
        read(tmp_path, f"rules: [{rule}]\n")
    assert "\n" not in str(error.value)


def test_names_that_look_like_numbers_stay_names(tmp_path):
    rule = read(tmp_path, "rules: [{metric: nfr, max: 0.9, classes: [0, 7], slice: {column: 1, value: 2024}}]\n").rules[
        0
    ]
    assert rule.classes == ("0", "7")
    assert (rule.slice.column, rule.slice.value) == ("1", "2024")


def test_class_nfr_is_about_every_class_unless_some_are_named(tmp_path):
    text = (
        "rules: [{metric: class_nfr, max: 0.1}, {metric: class_nfr, max: 0.1, classes: [a]}, {metric: nfr, max: 0.1}]\n"
    )
    assert [rule.judged_classes for rule in read(tmp_path, text).rules] == ["all", ("a",), None]


ALL = RULES + "pinned: {file: pins.csv}\nslices: {file: s.csv}\ncosts: {file: costs.csv}\n"
FILES = {
    "pins_csv": "sample_id,why\nb,x\na,y\nb,z\n",
    "s_csv": "sample_id,k\na,1\n",
    "costs_csv": "class,cost\ncat,3\n",
}


def test_files_are_read_once_and_kept_by_copies(tmp_path):
    policy = read(tmp_path, ALL, **FILES)
    for name in FILES:
        (tmp_path / name.replace("_", ".")).unlink()
    copy = policy.model_copy(update={"confidence": 0.9})
    for item in (policy, copy):
        assert item.pinned_ids == ("b", "a")
        assert item.class_costs == {"cat": 3.0}
        assert item.slices_path == tmp_path / "s.csv"
    assert copy.digest != policy.digest


def test_the_digest_is_of_contents_not_of_names_or_order(tmp_path):
    digest = read(tmp_path, ALL, **FILES).digest
    moved = {"other_csv": FILES["pins_csv"].replace("b,x\na,y", "a,q\nb,q"), **FILES}
    assert read(tmp_path, ALL.replace("pins.csv", "other.csv"), **moved).digest == digest
    inline = ALL.replace("{file: costs.csv}", "{cat: 3}")
    assert read(tmp_path, inline, **FILES).digest == digest
    for name, content in {
        "pins_csv": "sample_id\na\n",
        "s_csv": "sample_id,k\na,2\n",
        "costs_csv": "class,cost\ncat,4\n",
    }.items():
        assert read(tmp_path, ALL, **{**FILES, name: content}).digest != digest
    assert read(tmp_path, ALL + "reviews: {require_acceptance: true}\n", **FILES).digest != digest


def test_policies_of_before_keep_their_digest(tmp_path):
    # As the first version of this program computed it: records in registries name it.
    text = (
        "confidence: 0.95\nrules:\n  - {metric: nfr, max: 0.02, bound: upper}\n"
        "  - {metric: accuracy_change, min: -0.002, bound: lower}\n"
        "  - {metric: class_nfr, max: 0.05, min_support: 100, bound: upper}\n"
    )
    assert read(tmp_path, text).digest == "ba062cdc9c12420a6cf6603d49c1fec4304854a3cae24db36f32b3e6f78771be"


def test_pins_in_parquet_and_numbers_as_ids(tmp_path):
    pq.write_table(pa.table({"sample_id": [7, 8]}), tmp_path / "pins.parquet")
    assert read(tmp_path, RULES + "pinned: {file: pins.parquet}\n").pinned_ids == ("7", "8")


@pytest.mark.parametrize(
    ("text", "files", "message"),
    [
        ("pinned: {file: none.csv}", {}, "pinned: there is no file .*none.csv .its place counts from"),
        ("pinned: {file: pins.txt}", {}, ".csv or .parquet"),
        ("pinned: {file: pins.csv}", {"pins_csv": "id\na\n"}, "names the column sample_id .found: id"),
        ("pinned: {file: pins.csv}", {"pins_csv": ""}, "names the column sample_id .found: nothing"),
        ("pinned: {file: pins.csv}", {"pins_csv": 'sample_id\na\n""\n'}, "empty sample_id in row 2"),
        ("pinned: {file: pins.csv}", {"pins_csv": b"sample_id\n\xff\xfe\n"}, "not a CSV file in UTF-8"),
        ("pinned: {file: p.parquet}", {"p_parquet": "not parquet"}, "not a Parquet file"),
        ("pinned: {files: p.csv}", {}, "unknown key 'pinned.files' .did you mean file"),
        ("slices: {file: none.parquet}", {}, "slices: there is no file"),
        ("costs: {file: c.csv}", {"c_csv": "class,cost\na,1\na,2\n"}, "class 'a' twice"),
        ("costs: {file: c.csv}", {"c_csv": "class,cost\na,-1\n"}, "cost of 'a' should be a number from 0 up"),
        ("costs: {file: c.csv}", {"c_csv": "class,cost\na\n"}, "cost of 'a' should be a number from 0 up"),
        ("costs: {a: .nan}", {}, "cost of 'a' should be a number from 0 up"),
        ("costs: {a: yes}", {}, "cost of 'a' should be a number from 0 up"),
        ("costs: {a: 1e400}", {}, "cost of 'a' should be a number from 0 up"),
        ("costs: {a: 1.0e+200}", {}, "cost of 'a' should be a number from 0 up to 1e.09"),
        ("costs: {a: 1.0e-200}", {}, "cost of 'a' should be .*, or at least 1e-09"),
        ("costs: {a: 0x%s}" % ("f" * 4000), {}, "cost of 'a' should be a number from 0 up"),
        ("costs: {1: 5, 0x1: 0}", {}, "'0x1' is given twice"),
        ("costs: {0x1: 5, '1': 0}", {}, "a class is named twice"),
        ("costs: ", {}, "'costs' has no value: give it one, or leave the key out"),
        ("pinned: ", {}, "'pinned' has no value"),
        ("slices: {file: }", {}, "'slices.file' has no value"),
        ("pinned: {file: folder.csv}", {}, "folder.csv is a folder, pipe or device"),
        ("pinned: {file: pipe.csv}", {}, "pipe.csv is a folder, pipe or device"),
        ("slices: {file: pipe.csv}", {}, "pipe.csv is a folder, pipe or device"),
        ("costs: {no: 1}", {}, "put it in quotes"),
        ("costs: {}", {}, "'class: cost' pairs"),
        ("costs: 3", {}, "'class: cost' pairs"),
        ("reviews: {count_apart: [blocker]}", {}, "reviews.count_apart"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, files, message):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(PctError, match=message) as error:
        read(tmp_path, RULES + text + "\n", **files)
    assert "\n" not in str(error.value)


def test_contents_that_were_not_read_are_no_empty_contents():
    policy = Policy.model_validate({"rules": [], "pinned": {"file": "p.csv"}, "costs": {"file": "c.csv"}})
    for name in ("pinned_ids", "class_costs"):
        with pytest.raises(PctError, match="was not read"):
            getattr(policy, name)
