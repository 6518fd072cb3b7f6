"""Two small tables with known flips, as files and in a real registry, and the explorer opened on them."""

from __future__ import annotations

import functools
import io
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import streamlit as st
from PIL import Image
from streamlit import config
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.caching.cache_utils import CachedFunc
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parents[1] / "registry"))

import fresh_databases

from pct_mlops.explorer.components import figure_cache, link_script
from pct_mlops.explorer.queries import pairs
from pct_mlops.predictions import Predictions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

fresh_databases.install()

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"
SETTINGS = MAIN.parent / ".streamlit" / "config.toml"
HOSTILE = "<img src=x onerror=alert(1)> **b** [a](http://evil.invalid) $x$"
NAMES = ("ant", "bee", HOSTILE, "a class with a name that is far too long for any tile or axis of a chart")
NUM_VIEWS = len(list(MAIN.with_name("views").glob("*.py")))
NUM = 400
NUM_IMAGES = 300


class Answers(NamedTuple):
    """The truth behind the tables, for expectations."""

    ids: list[str]
    labels: np.ndarray
    old: np.ndarray
    new: np.ndarray


def answers() -> Answers:
    rng = np.random.default_rng(7)
    labels = np.arange(NUM) % len(NAMES)
    old = np.where(rng.random(NUM) < 0.1, (labels + 1) % len(NAMES), labels)
    new = np.where(rng.random(NUM) < 0.16, (labels + 2) % len(NAMES), labels)
    return Answers([f"test/{i:04d}" for i in range(NUM)], labels, old, new)


def table(ids, labels, predicted, version, names=NAMES, split="test") -> Predictions:
    rng = np.random.default_rng(int(version))
    logits = rng.normal(0, 0.3, (len(labels), len(names))).astype(np.float32)
    logits[np.arange(len(labels)), predicted] += 3
    return Predictions.from_arrays(
        ids, labels, logits, class_names=names, model_name="pets", model_version=version, split=split
    )


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session", autouse=True)
def settings() -> None:
    """Streamlit's settings that the explorer is started with, as far as they are on or off."""
    for section, values in tomllib.loads(SETTINGS.read_text(encoding="utf-8")).items():
        for name, value in values.items():
            if isinstance(value, bool):
                config.set_option(f"{section}.{name}", value)


@pytest.fixture(scope="session", autouse=True)
def installed_components() -> Iterator[None]:
    """Streamlit looks through all installed packages for components: once is enough, and not for each test."""
    with pytest.MonkeyPatch.context() as patch:
        scan = functools.cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        yield
    st.cache_resource.clear()  # databases are closed before the interpreter ends


@pytest.fixture(scope="session")
def truth() -> Answers:
    return answers()


@pytest.fixture(scope="session")
def folder(tmp_path_factory, truth) -> Path:
    """old.parquet, new.parquet, images.parquet (the first 300 examples), policies."""
    folder = tmp_path_factory.mktemp("explorer")
    table(truth.ids, truth.labels, truth.old, 1).save(folder / "old.parquet")
    table(truth.ids, truth.labels, truth.new, 2).save(folder / "new.parquet")
    pictures = pa.array([png(i % 256) for i in range(NUM_IMAGES)], pa.binary())
    pq.write_table(pa.table({"sample_id": truth.ids[:NUM_IMAGES], "png": pictures}), folder / "images.parquet")
    (folder / "strict.yaml").write_text("rules: [{metric: nfr, max: 0.01}, {metric: class_nfr, max: 0.9}]")
    (folder / "lenient.yaml").write_text("rules: [{metric: nfr, max: 0.5}]")
    return folder


@pytest.fixture
def explore(monkeypatch):
    """Open a view of the explorer with command-line arguments and an address."""

    def open_view(*arguments: object, view: str = "overview", **query: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", [str(MAIN), *map(str, arguments)])
        app = AppTest.from_file(str(MAIN), default_timeout=60)
        app.query_params.update(query)
        if view != "overview":
            app.switch_page(f"views/{view}.py")
        return app.run()

    forget()
    return open_view


def forget() -> None:
    """Each test is a fresh process as far as the app can tell, but for what it made of tables, which never change.

    mlflow's tracking URI is global to a process, so the registry above all is forgotten.
    """
    kept = {id(made) for made in (pairs.predictions, pairs._comparison, figure_cache._figure)}
    for name, module in list(sys.modules.items()):
        if name.startswith("pct_mlops.explorer."):
            for made in vars(module).values():
                if isinstance(made, CachedFunc) and id(made) not in kept:
                    made.clear()


@pytest.fixture
def files(folder) -> tuple[Path, Path]:
    return folder / "old.parquet", folder / "new.parquet"


def shown_html(app: AppTest) -> str:
    """The HTML of the page, without the one script of its own, in which nothing of the data stands."""
    found = [element.proto for element in app.get("html")]
    assert {proto.body for proto in found if proto.unsafe_allow_javascript} <= {link_script.SCRIPT}
    return "".join(proto.body for proto in found if not proto.unsafe_allow_javascript)


@pytest.fixture
def html_of():
    return shown_html


class Mark(NamedTuple):
    """A mark of a chart: the view and the parameters that its link leads to, and what a screen reader says."""

    view: str
    query: dict[str, str]
    says: str


class MarkReader(HTMLParser):
    """Reads the marks of charts as a browser does."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Mark] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if "data-pct-go" in named:
            address = urlsplit(named["href"])
            self.found.append(Mark(address.path, dict(parse_qsl(address.query)), named["aria-label"]))


@pytest.fixture
def marks_of():
    """The marks that are links, of all charts that are HTML, in their order."""

    def found(app: AppTest) -> list[Mark]:
        reader = MarkReader()
        reader.feed(shown_html(app))
        return reader.found

    return found


@pytest.fixture
def links_of():
    """Links of the page itself, without those of the menu, which come first."""
    return lambda app: app.get("page_link")[NUM_VIEWS:]


@pytest.fixture
def make_table():
    return table


class Shelf:
    """A registry in a folder: SQLite and artifacts, nothing of the data set."""

    def __init__(self, folder: Path, empty: Path) -> None:
        import mlflow

        from pct_mlops.registry import Registry

        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(empty, folder / "registry.db")
        self.uri = f"sqlite:///{folder / 'registry.db'}"
        Registry(self.uri)
        self.client = mlflow.MlflowClient(self.uri)
        self.experiment = self.client.create_experiment("pets", artifact_location=(folder / "artifacts").as_uri())
        self.folder = folder

    def add(self, name: str, predictions: Predictions | None, *aliases: str, **tags: str) -> int:
        """A version that carries these predictions, as a training run registers it."""
        from mlflow.exceptions import MlflowException

        run = self.client.create_run(self.experiment)
        model = self.client.create_logged_model(self.experiment, name="model", source_run_id=run.info.run_id)
        if predictions is not None:
            place = self.folder / "upload" / model.model_id / "predictions"
            place.mkdir(parents=True)
            predictions.save(place / "test.parquet")
            self.client.log_model_artifacts(model.model_id, str(place.parent))
        self.client.finalize_logged_model(model.model_id, "READY")
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        named = {key.replace("__", "."): value for key, value in tags.items()}
        version = self.client.create_model_version(
            name, f"models:/{model.model_id}", run.info.run_id, tags=named
        ).version
        for alias in aliases:
            self.client.set_registered_model_alias(name, alias, str(version))
        return int(version)

    def add_file(self, name: str, version: int, file: Path) -> None:
        """A file beside the predictions of a version, for example its recipe."""
        source = self.client.get_model_version(name, str(version)).source
        self.client.log_model_artifact(source.rsplit("/", 1)[-1], str(file))

    def add_images(self, name: str, digest: str, file: Path) -> None:
        """Thumbnails of an evaluation set, kept with a run and named by a tag of the model."""
        from pct_mlops.registry.registry import IMAGES_TAG

        run = self.client.create_run(self.experiment).info.run_id
        self.client.log_artifact(run, str(file), "images")
        self.client.set_registered_model_tag(name, IMAGES_TAG + digest[:16], f"runs:/{run}/images/{file.name}")


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory) -> Path:
    """A database with MLflow's tables in it, which take seconds to make."""
    file = tmp_path_factory.mktemp("empty") / "registry.db"
    file.write_bytes(fresh_databases.template())
    return file


@pytest.fixture(scope="session")
def shelf(tmp_path_factory, empty_registry, truth, folder) -> Shelf:
    """Models: pets (four versions, images), single (one version), bare (two without predictions), settled."""
    shelf = Shelf(tmp_path_factory.mktemp("registry"), empty_registry)
    old, new = (Predictions.load(folder / f"{which}.parquet") for which in ("old", "new"))
    shelf.add("pets", old, "previous")
    shelf.add("pets", old, "production")
    shelf.add("pets", new, "candidate", gate__verdict="FAIL", gate__baseline_version="2")
    shelf.add("pets", table(truth.ids, truth.labels, truth.labels, 4))
    shelf.add_images("pets", new.info.digest, folder / "images.parquet")
    shelf.add("single", old)
    shelf.add("bare", None)
    shelf.add("bare", None)
    shelf.add("settled", old, "previous")
    shelf.add("settled", new, "production", "candidate")
    return shelf


@pytest.fixture
def make_shelf(tmp_path, empty_registry):
    return lambda: Shelf(tmp_path / "shelf", empty_registry)


@pytest.fixture(scope="session")
def desk(tmp_path_factory, empty_registry, folder) -> Shelf:
    """A registry whose versions are written on, with a policy that leaves marked label errors out."""
    desk = Shelf(tmp_path_factory.mktemp("desk"), empty_registry)
    desk.tables = [Predictions.load(folder / f"{which}.parquet") for which in ("old", "new")]
    desk.policy = folder / "mild.yaml"
    desk.policy.write_text("rules: [{metric: nfr, max: 0.5}]\nreviews: {count_apart: [label_error]}\n")
    return desk


@pytest.fixture
def model(desk, request) -> str:
    """A model of the test's own: version 1 is production, version 2 the candidate."""
    from pct_mlops.registry import Registry

    # mlflow remembers the store that was opened last, and uploads ask that one.
    Registry(desk.uri)
    name = f"m{abs(hash(request.node.nodeid)) % 10**9}"
    for table_, alias in zip(desk.tables, ("production", "candidate"), strict=True):
        desk.add(name, table_, alias)
    return name
