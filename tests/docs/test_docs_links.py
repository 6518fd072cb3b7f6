"""Links and pictures of the documentation lead somewhere, without building it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
import yaml
from doc_pages import DOCS, ROOT, every_page, generated, without_blocks, written
from markdown.extensions.toc import slugify

LINK = re.compile(r"\]\(([^)\s]+)\)")
GENERATED_FILES = {"assets/icon.png"}


def anchors(text):
    """The ids of a page's headings."""
    heads = re.findall(
        r"^#{1,6} +(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {slugify(re.sub(r"[`\\]", "", head), "-") for head in heads}


def broken(page, text, pages):
    """Links of a page that lead nowhere."""
    found = []
    for target in LINK.findall(without_blocks(text)):
        path, _, anchor = target.partition("#")
        place = PurePosixPath(page).parent / path if path else PurePosixPath(page)
        parts = []
        for part in place.parts:
            parts = parts[:-1] if part == ".." and parts and parts[-1] != ".." else [*parts, part]
        name = "/".join(parts)
        if re.match(r"[a-z]+:", target):
            found.append(f"{page}: {target} is elsewhere, and these pages stand alone")
        elif name in pages:
            if anchor and anchor not in anchors(pages[name]):
                found.append(f"{page}: {target} has no such heading")
        elif not (DOCS / name).is_file() and not (page == "../README.md" and (ROOT / path).exists()):
            found.append(f"{page}: {target} is not there")
    return found


def test_links_lead_somewhere():
    pages = every_page()
    assert sum(len(LINK.findall(text)) for text in written().values()) > 60
    assert [problem for page, text in pages.items() for problem in broken(page, text, pages)] == []


@pytest.mark.parametrize(
    "target", ["nowhere.md", "glossary.md#no-such-word", "assets/none.png", "https://example.org/x"]
)
def test_a_broken_link_is_found(target):
    assert broken("index.md", f"see [this]({target})", every_page())


def test_every_page_is_in_the_navigation():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def leaves(item):
        if isinstance(item, str):
            return [item]
        return [leaf for part in (item.values() if isinstance(item, dict) else item) for leaf in leaves(part)]

    named = leaves(config["nav"])
    assert sorted(named) == sorted({*written(), *generated()} - {"../README.md"})
    assert config["strict"] is True


def test_every_picture_is_shown():
    shown = {target.split("/")[-1] for text in written().values() for target in LINK.findall(text)}
    pictures = {path.name for path in (DOCS / "assets").glob("*.png")}
    assert pictures - shown == set()
    assert (DOCS / "assets" / "operating_curve.png").stat().st_size < 120_000


def test_nothing_is_fetched_from_elsewhere():
    text = (ROOT / "mkdocs.yml").read_text() + (DOCS / "assets" / "extra.css").read_text()
    assert "://" not in text
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text())["theme"]["font"] is False


def test_the_readme_is_short():
    readme = written()["../README.md"]
    assert len(readme.splitlines()) <= 100
    assert readme.count("](docs/") >= 8
