"""Slices, joined files, flips set apart, costs, calibration, filters: each against counts made by hand or by numpy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prediction_tables import CLASSES, table
from scipy.stats import binomtest, fisher_exact

from pct_mlops.comparison import METRICS, clopper_pearson, compare, mcnemar_exact
from pct_mlops.comparison.joined_pairs import MAX_SLICES
from pct_mlops.config import PctError

NUM = 600


class World:
    """Two random models on three classes with a slice column, as plain arrays."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.ids = np.array([f"test/{i:03d}" for i in range(NUM)])
        self.label = rng.integers(0, 3, NUM)
        self.old = np.where(rng.random(NUM) < 0.8, self.label, rng.integers(0, 3, NUM))
        self.new = np.where(rng.random(NUM) < 0.8, self.label, rng.integers(0, 3, NUM))
        self.camera = rng.choice(["day", "night", None], NUM)
        self.sharpness = {
            side: np.where(rng.random(NUM) < 0.3, 0.1, rng.uniform(0.2, 6, NUM)) for side in ("old", "new")
        }
        self.site = rng.choice(["a", "b", "c"], NUM)
        self.listed = rng.random(NUM) < 0.9

    def tables(self):
        slices = {"camera": list(self.camera)}
        old = table(self.label, self.old, ids=self.ids, sharpness=self.sharpness["old"], slices=slices)
        new = table(self.label, self.new, ids=self.ids, sharpness=self.sharpness["new"], model_version="2")
        return old, new

    def csv(self, path):
        lines = [
            f"{name},{site}" for name, site, listed in zip(self.ids, self.site, self.listed, strict=True) if listed
        ]
        path.write_text("\n".join(["sample_id,site", *lines, "unknown/1,z"]) + "\n")
        return path

    @property
    def flip(self):
        return (self.old == self.label) & (self.new != self.label)

    def where(self, column, value):
        if column == "camera":
            return np.array([(item or "(none)") == value for item in self.camera])
        site = np.where(self.listed, self.site, "(none)")
        return site == value


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def comparison(world, tmp_path_factory):
    return compare(*world.tables(), slices=world.csv(tmp_path_factory.mktemp("slices") / "s.csv"))


def test_slices_of_the_tables_and_of_the_file(world, comparison):
    assert comparison.slice_columns == ("camera", "site")
    assert comparison.num_without_slices == (~world.listed).sum()
    for column, values in {"camera": ["(none)", "day", "night"], "site": ["(none)", "a", "b", "c"]}.items():
        found = comparison.slices(column)
        assert [part.value for part in found] == values
        assert sum(part.counts.total for part in found) == NUM
        for part in found:
            mask = world.where(column, part.value)
            assert part.counts.total == mask.sum()
            assert part.counts.negative_flips == (world.flip & mask).sum()


def test_every_metric_adds_up_over_slices_and_classes(world, comparison):
    """A slice's numbers are those of a comparison that holds only its examples."""
    mask = world.where("site", "b")
    part = World()
    for name in ("ids", "label", "old", "new", "camera"):
        setattr(part, name, getattr(world, name)[mask])
    part.sharpness = {side: world.sharpness[side][mask] for side in ("old", "new")}
    alone = compare(*part.tables())
    for name, definition in METRICS.items():
        for index in (0, 1, 2) if definition.per_class else (None, 0):
            inside = comparison.estimate(name, class_index=index, slice=("site", "b"))
            outside = alone.estimate(name, class_index=index)
            assert (inside.numerator, inside.denominator) == (outside.numerator, outside.denominator)
            assert (inside.value, inside.upper) == pytest.approx((outside.value, outside.upper), abs=1e-9)


def _reference_calibration(confidence, right, label_confidence):
    edges = np.ceil(confidence.astype(np.float64) * 15)
    gaps = [abs(right[edges == b].sum() - confidence[edges == b].astype(np.float64).sum()) for b in np.unique(edges)]
    return sum(gaps) / len(right), -np.log(label_confidence.astype(np.float64)).mean()


def test_calibration_against_numpy(world, comparison):
    for table_, side in zip(world.tables(), ("old", "new"), strict=True):
        columns = {name: table_._table.column(name).to_numpy() for name in ("confidence", "label_confidence")}
        for mask, place in (
            (np.ones(NUM, bool), {}),
            (world.label == 1, {"class_index": 1}),
            (world.where("camera", "night"), {"slice": ("camera", "night")}),
            (world.where("camera", "day") & (world.label == 2), {"slice": ("camera", "day"), "class_index": 2}),
        ):
            right = (getattr(world, side) == world.label)[mask]
            ece, nll = _reference_calibration(columns["confidence"][mask], right, columns["label_confidence"][mask])
            assert comparison.estimate(f"ece_{side}", **place).value == pytest.approx(ece, abs=1e-8)
            assert comparison.estimate(f"nll_{side}", **place).value == pytest.approx(nll, abs=1e-8)
            assert comparison.estimate(f"ece_{side}", **place).upper is None


def test_a_target_confidence_of_0_has_no_likelihood_and_is_never_0():
    old, new = table([0, 1], [0, 1], sharpness=800.0), table([0, 1], [1, 1], sharpness=800.0, model_version="2")
    comparison = compare(old, new)
    assert comparison.estimate("nll_new").value is None
    assert comparison.estimate("nll_old").value == 0
    assert comparison.estimate("nll_new", class_index=1).value == 0
    assert comparison.estimate("ece_new", class_index=2).value is None, "a class without examples"
    assert comparison.estimate("ece_new").value == 0.5


def test_the_lowest_bins_are_apart():
    """Confidences of 0.045 and 0.103 among 30 classes, below and above the first edge at 1 / 15."""
    names = [f"class {k}" for k in range(30)]
    old = table([0, 1], [0, 2], sharpness=np.array([0.3, 1.2]), class_names=names)
    new = table([0, 1], [0, 2], sharpness=np.array([0.3, 1.2]), class_names=names, model_version="2")
    low, high = (np.exp(s) / (np.exp(s) + 29) for s in (0.3, 1.2))
    assert low < 1 / 15 < high < 2 / 15
    # The first is right and too modest, the second wrong and too sure: in one bin they would make up for each other.
    assert compare(old, new).estimate("ece_new").value == pytest.approx(((1 - low) + high) / 2, abs=1e-6)


def test_flips_set_apart_leave_flip_rates_and_nothing_else(world):
    apart = list(world.ids[world.flip][:7]) + list(world.ids[~world.flip][:5]) + ["unknown"]
    plain, reduced = compare(*world.tables()), compare(*world.tables(), apart=apart)
    assert (plain.apart_counts, reduced.apart_counts) == (0, 7)
    assert reduced.counts == plain.counts
    lower = {"nfr", "relative_nfr", "nfi", "nfr_mc", "fractional_nfr"}
    for name, definition in METRICS.items():
        if definition.per_class or definition.needs_costs:
            continue
        before, after = (item.estimate(name).value for item in (plain, reduced))
        if name in lower:
            assert after < before, name
        elif not name.startswith("type_"):
            assert after == before, name
    assert reduced.estimate("nfr").numerator == plain.estimate("nfr").numerator - 7
    by_class = sum(reduced.estimate("class_nfr", class_index=k).numerator for k in range(3))
    by_slice = sum(reduced.estimate("nfr", slice=("camera", part.value)).numerator for part in reduced.slices("camera"))
    assert by_class == by_slice == plain.counts.negative_flips - 7
    for kind in ("type_1_flips", "type_2_flips"):
        number = int(kind[5])
        left = plain.num_flips(type_=number, not_sample_ids=apart)
        assert reduced.estimate(kind).numerator == left
        in_slices = [
            reduced.estimate(kind, slice=("camera", part.value)).numerator for part in reduced.slices("camera")
        ]
        assert sum(in_slices) == left


def test_weighted_nfr_by_hand(world, tmp_path):
    costs = {"cat": 5.0, "owl": 0.0}
    comparison = compare(*world.tables(), slices=world.csv(tmp_path / "s.csv"), costs=costs)
    weight = np.array([5.0, 1.0, 0.0])[world.label]
    for mask, place in (
        (np.ones(NUM, bool), {}),
        (world.where("site", "a"), {"slice": ("site", "a")}),
        (world.label == 1, {"class_index": 1}),
        (world.where("site", "a") & (world.label == 0), {"slice": ("site", "a"), "class_index": 0}),
    ):
        found = comparison.estimate("weighted_nfr", **place)
        assert found.value == pytest.approx((weight * world.flip)[mask].sum() / weight[mask].sum())
        assert found.lower < found.value < found.upper
    assert comparison.estimate("weighted_nfr", class_index=2).value is None, "nothing weighs anything there"
    assert compare(*world.tables()).estimate("weighted_nfr").value is None, "no costs, no value"
    equal = compare(*world.tables(), costs=dict.fromkeys(CLASSES, 2.0))
    assert equal.estimate("weighted_nfr").value == pytest.approx(equal.estimate("nfr").value)


def test_costs_of_a_class_that_does_not_exist(world):
    with pytest.raises(PctError, match="Unknown class under 'costs' 'catt': choose one of cat"):
        compare(*world.tables(), costs={"catt": 1.0})


def test_metrics_that_cost_a_pass_are_left_out_unless_asked_for(comparison):
    lean, every = ({item.name for item in comparison.metrics(every=every)} for every in (False, True))
    assert every - lean == {"ece_old", "ece_new", "nll_old", "nll_new"}
    assert "weighted_nfr" not in every


def test_filters_of_flips(world, comparison):
    assert comparison.num_flips() == world.flip.sum()
    for column, value in (("camera", "night"), ("camera", "(none)"), ("site", "c"), ("site", "nowhere")):
        expected = set(world.ids[world.flip & world.where(column, value)])
        rows = comparison.flips(slice=(column, value), limit=1000)
        assert {row.sample_id for row in rows} == expected
        assert comparison.num_flips(slice=(column, value)) == len(expected)
    some = list(world.ids[::3])
    only = {row.sample_id for row in comparison.flips(sample_ids=some, limit=1000)}
    rest = {row.sample_id for row in comparison.flips(not_sample_ids=some, limit=1000)}
    assert only == set(world.ids[world.flip]) & set(some)
    assert only | rest == set(world.ids[world.flip])
    assert not only & rest
    assert comparison.num_flips(sample_ids=[]) == 0
    assert comparison.num_flips(not_sample_ids=[]) == world.flip.sum()
    for kind, test in ((1, lambda fall: fall <= 0.1), (2, lambda fall: fall >= 0.5)):
        rows = comparison.flips(type_=kind, limit=1000)
        assert len(rows) == comparison.estimate(f"type_{kind}_flips").numerator > 0
        assert all(test(row.old_label_confidence - row.new_label_confidence) for row in rows)
    inside = comparison.flips("all", confidence_range=(0.5, 0.7), limit=1000)
    assert inside
    assert all(0.5 <= row.new_confidence <= 0.7 for row in inside)
    assert len(inside) == comparison.num_flips("all", confidence_range=(0.5, 0.7)) < comparison.num_flips("all")
    both = comparison.flips(slice=("camera", "day"), target=1, type_=2, not_sample_ids=some, limit=1000)
    mask = world.flip & world.where("camera", "day") & (world.label == 1)
    assert {row.sample_id for row in both} <= set(world.ids[mask]) - set(some)


def test_a_type_that_does_not_exist(comparison):
    with pytest.raises(PctError, match="type 1 or 2"):
        comparison.flips(type_=3)


def test_one_example_changed_or_not(world, comparison):
    kinds = {
        (True, True): "both_right",
        (True, False): "negative",
        (False, True): "positive",
        (False, False): "both_wrong",
    }
    for i in range(0, NUM, 37):
        row = comparison.example(world.ids[i])
        right = (bool(world.old[i] == world.label[i]), bool(world.new[i] == world.label[i]))
        assert (row.label, row.new_prediction, row.kind) == (world.label[i], world.new[i], kinds[right])
    assert comparison.example("nowhere' OR 1=1") is None
    assert comparison.absent([world.ids[0], "x", "y"]) == ["x", "y"]
    assert comparison.flipped([*world.ids[:50], "x"]) == sorted(world.ids[:50][world.flip[:50]])


def test_mcnemar_is_the_exact_binomial_test(comparison):
    counts = comparison.counts
    for gained, lost in ((counts.positive_flips, counts.negative_flips), (0, 9), (5, 5), (1, 0), (300, 200)):
        assert mcnemar_exact(gained, lost) == pytest.approx(binomtest(gained, gained + lost, 0.5).pvalue, rel=1e-9)
    assert mcnemar_exact(0, 0) == 1
    assert comparison.mcnemar() == mcnemar_exact(counts.positive_flips, counts.negative_flips)


def test_the_search_finds_a_bad_slice_and_corrects_for_looking(tmp_path):
    rng = np.random.default_rng(5)
    num = 4000
    label = np.zeros(num, int)
    columns = {f"c{i}": [str(v) for v in rng.integers(0, 10, num)] for i in range(10)}
    night = rng.random(num) < 0.1
    flip = rng.random(num) < np.where(night, 0.08, 0.02)
    columns["camera"] = ["night" if item else "day" for item in night]
    columns["sole"] = ["same"] * num
    old, new = table(label, label, slices=columns), table(label, flip.astype(int), model_version="2")
    found = compare(old, new).find_slices(0.95, limit=5)
    first = found[0]
    assert (first.column, first.value, first.support, first.flips) == (
        "camera",
        "night",
        night.sum(),
        flip[night].sum(),
    )
    assert first.nfr == pytest.approx(flip[night].mean())
    assert first.rest_nfr == pytest.approx(flip[~night].mean())
    square = [[flip[night].sum(), (~flip[night]).sum()], [flip[~night].sum(), (~flip[~night]).sum()]]
    assert first.p_value == pytest.approx(fisher_exact(square, "greater").pvalue * 102, rel=1e-6), "102 were looked at"
    assert (first.lower, first.upper) == clopper_pearson(first.flips, first.support, 1 - 0.05 / 102), "all at once"
    assert all(item.p_value > 0.05 for item in found[1:]), "the rest is luck, and is not called anything else"
    assert [item.p_value for item in found] == sorted(item.p_value for item in found)
    assert all(item.column != "sole" for item in found)
    assert compare(old, new).find_slices(min_support=num) == []


def test_slices_that_do_not_exist(world, comparison):
    for call in (comparison.slices, lambda column: comparison.flips(slice=(column, "x"))):
        with pytest.raises(PctError, match="Unknown slice column 'camra': choose one of camera, site"):
            call("camra")
    with pytest.raises(PctError, match=r"Unknown value of column 'camera' 'dusk': choose one of .none., day, night"):
        comparison.estimate("nfr", slice=("camera", "dusk"))
    with pytest.raises(PctError, match="There is no slice column 'camera'"):
        compare(table([0], [0]), table([0], [1], model_version="2")).slices("camera")


def test_a_column_of_ids_is_no_slice():
    num = MAX_SLICES + 1
    old = table([0] * num, [0] * num, slices={"id": [str(i) for i in range(num)]})
    comparison = compare(old, table([0] * num, [0] * num, model_version="2"))
    with pytest.raises(PctError, match="more than 10,000 values"):
        comparison.slices("id")
    assert comparison.find_slices(min_support=1) == []


def test_columns_of_both_tables_that_differ_in_case_alone_are_one():
    old = table([0, 0], [0, 0], slices={"Camera": ["a", "b"], "x": ["1", "2"]})
    new = table([0, 0], [0, 0], slices={"camera": ["c", "d"]}, model_version="2")
    comparison = compare(old, new)
    assert comparison.slice_columns == ("camera", "x")
    assert [part.value for part in comparison.slices("camera")] == ["c", "d"]
    assert [part.value for part in comparison.slices("x")] == ["1", "2"]


def test_hostile_columns_and_values_stay_data(tmp_path):
    names = ['k"; DROP TABLE cells; --', "value", "cost", "fall", "class_cost", "$page_limit", "{value}", "kind", "num"]
    names += ["slice_value", "slice_0", "class_index", "old_bin", "extra", "sliced", "is_apart"]
    rows = {"sample_id": ["a", "b", "c"], **{name: ["'", 'x"y', "(none)"] for name in names}}
    pq.write_table(pa.table(rows), tmp_path / "s.parquet")
    old = table([0, 1, 2], [0, 1, 2], ids=["a", "b", "c"])
    new = table([0, 1, 2], [1, 1, 1], ids=["a", "b", "c"], model_version="2")
    comparison = compare(old, new, slices=tmp_path / "s.parquet", costs={"cat": 2.0}, apart=["' OR 1=1"])
    assert comparison.slice_columns == tuple(names)
    for name in names:
        assert [part.value for part in comparison.slices(name)] == ["'", "(none)", 'x"y']
        assert comparison.num_flips(slice=(name, "'")) == 1
        assert comparison.estimate("weighted_nfr", slice=(name, "'")).value == 1.0
        assert comparison.estimate("ece_new", class_index=0, slice=(name, "'")).value is not None
    assert comparison.counts.negative_flips == 2


def test_values_of_other_types_are_text(tmp_path):
    columns = {
        "sample_id": [1, 2],
        "year": [2024, None],
        "flag": [True, False],
        "list": [[1, 2], None],
        "b": [b"x", b"\x00"],
    }
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    ids = ["1", "2"]
    comparison = compare(
        table([0, 0], [0, 0], ids=ids), table([0, 0], [1, 0], ids=ids, model_version="2"), slices=tmp_path / "s.parquet"
    )
    assert [part.value for part in comparison.slices("year")] == ["(none)", "2024"]
    assert [part.value for part in comparison.slices("flag")] == ["false", "true"]
    assert [part.value for part in comparison.slices("list")] == ["(none)", "[1, 2]"]
    assert len(comparison.slices("b")) == 2


def test_csv_is_not_guessed_at(tmp_path):
    text = '\ufeffsample_id,code\r\ntest/0,007\r\ntest/1,"a,""b"""\r\n#test/2,\r\n'
    (tmp_path / "s[1].csv").write_bytes(text.encode())
    ids = ["test/0", "test/1", "#test/2"]
    old, new = table([0, 0, 0], [0, 0, 0], ids=ids), table([0, 0, 0], [0, 0, 0], ids=ids, model_version="2")
    comparison = compare(old, new, slices=tmp_path / "s[1].csv")
    assert [part.value for part in comparison.slices("code")] == ["(none)", "007", 'a,"b"']
    assert comparison.num_without_slices == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sample_id,k\ntest/0,a\ntest/0,b\n", "1 repeated sample_ids: each example needs one row"),
        ("sample_id,k\ntest/0,a\n,b\n", "1 empty sample_ids"),
        ("sample_id,k\nother/0,a\n", "holds none of the 2 examples"),
        ("id,k\ntest/0,a\n", "needs a column sample_id and one for each slice .found: id, k"),
        ("sample_id\ntest/0\n", "needs a column sample_id and one for each slice"),
        ("sample_id,label\ntest/0,a\n", "rename the column 'label', because its name is already a column"),
        ("sample_id,Camera\ntest/0,a\n", "rename the column 'Camera', because its name is already a column"),
        ("sample_id,k\ntest/0,a,b,c\n", "cannot be joined"),
        ("a note\nsample_id,k\ntest/0,a\n", "needs a column sample_id"),
        ('sample_id,k\ntest/0,"a\n', "cannot be joined"),
        ("sample_id,k,k\ntest/0,a,b\n", "names a column twice"),
        (b"PAR1 not parquet", "cannot be joined|needs a column"),
        (b"sample_id,k\n\xff\xfe,\xff\n", "cannot be joined"),
        ("", "cannot be joined|needs a column"),
        (None, "There is no file"),
    ],
)
def test_files_that_cannot_be_joined(tmp_path, content, message):
    path = tmp_path / "s.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    old = table([0, 0], [0, 0], slices={"camera": ["a", "b"]})
    with pytest.raises(PctError, match=message) as error:
        compare(old, table([0, 0], [0, 0], model_version="2"), slices=path)
    assert "\n" not in str(error.value)


def test_a_parquet_file_that_is_none(tmp_path):
    (tmp_path / "s.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(PctError, match="cannot be joined"):
        compare(table([0], [0]), table([0], [0], model_version="2"), slices=tmp_path / "s.parquet")


def test_threads_may_ask_for_slices_at_once(world, tmp_path):
    comparison = compare(*world.tables(), slices=world.csv(tmp_path / "s.csv"))

    def work(_):
        for column in ("camera", "site"):
            parts = comparison.slices(column)
            assert sum(part.counts.total for part in parts) == NUM
            assert sum(comparison.num_flips(slice=(column, part.value)) for part in parts) == world.flip.sum()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
