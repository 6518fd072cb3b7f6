"""One word for one thing: the glossary says which words these pages and `--help` do not use."""

from __future__ import annotations

import inspect
import re

import click
import pytest
from doc_pages import generated, without_code, written

from pct_mlops.cli.main import pct


def banned():
    """Word -> what to say, from the glossary's second table."""
    _, _, table = written()["glossary.md"].partition("## Words that we do not use")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)[1:]
    return {word.strip(): instead for words, instead in rows for word in words.split(",")}


def found(text):
    """Each banned word that a text uses, with what stands around it."""
    hits = []
    for word, instead in banned().items():
        for match in re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE):
            near = " ".join(text[max(0, match.start() - 30) : match.end() + 30].split())
            hits.append(f"'{word}', say {instead}: ... {near} ...")
    return hits


def help_texts():
    """Verb -> the prose of its help and of its options; examples are left out."""
    pending = [("pct", pct)]
    for name, command in pending:
        if isinstance(command, click.Group):
            pending += [(f"{name} {part}", item) for part, item in command.commands.items()]
        paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
        texts = [text for text in paragraphs if not text.startswith("\b")]
        texts += [param.help or "" for param in command.params if isinstance(param, click.Option)]
        yield name, "\n".join(texts)


def test_the_glossary_has_both_tables():
    assert len(banned()) >= 15
    assert banned()["answer"] == "prediction"


@pytest.mark.parametrize("page", sorted({*written(), *generated()}))
def test_pages_use_our_words(page):
    text = {**written(), **generated()}[page].partition("## Words that we do not use")[0]
    assert found(without_code(text)) == []


def test_help_uses_our_words():
    texts = dict(help_texts())
    assert "pct policy check" in texts
    assert {name: hits for name, text in texts.items() if (hits := found(text))} == {}


def test_a_banned_word_is_found():
    assert found("Both models give an answer for each sample.")
    assert not found("Read sample_id and resampled answers-to-be.")
