"""Reads a YAML file as plain data, and trusts nothing in it.

Size and nesting are limited, a key given twice is an error, and anchors cannot expand without end.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from pct_mlops.config.texts import read_text
from pct_mlops.errors import ConfigError, PctError

# A policy with one rule for each of 1,000 classes has a few thousand nodes. An anchor counts each time it is used.
MAX_NODES = 100_000
# A tag that does not fit its value makes PyYAML's constructors raise almost any of these.
PROBLEMS = (yaml.YAMLError, ValueError, TypeError, AttributeError, ArithmeticError, LookupError, RecursionError)


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses a key given twice.

    Plain YAML silently keeps the last one, which may be the laxer limit.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping. Raise ConfigError if a key occurs twice."""
        seen: set[Hashable] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            # Compare the written text and the parsed value: 1 and 0x1 are the same key.
            names = {("text", key.value), ("value", self.construct_object(key))}
            if seen & names:
                text = f"'{key.value}' is given twice (again in line {key.start_mark.line + 1}): keep one of them"
                raise ConfigError(text)
            seen |= names
        return super().construct_mapping(node, deep)


def load_mapping(path: Path, what: str, max_bytes: int) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Args:
        path: The file.
        what: What the file is, for errors: "policy".
        max_bytes: The largest size that is accepted.

    Raises:
        ConfigError: The file is not a plain YAML mapping of at most that size.
    """
    text = read_text(path, wanted=f"a {what} in YAML", max_bytes=max_bytes)
    if any(ord(character) < 32 and character not in "\t\r\n" for character in text):
        raise ConfigError(f"{path} is not a text file: give the path of a {what} in YAML.")
    try:
        data = _construct(text)
    except PctError as error:
        raise ConfigError(f"{path}: {error}.") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply for a {what}: write it flat.") from None
    except PROBLEMS as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        at = f" near line {line + 1}" if line is not None else ""
        raise ConfigError(f"{path} is not valid YAML{at}: correct it and try again.") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} should hold 'key: value' pairs, but it holds a {type(data).__name__}.")
    return data


def _construct(text: str) -> Any:
    # Creating the loader can fail: it checks at once for characters that YAML forbids.
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError("it is empty: write at least one 'key: value' line")
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Count the nodes with every anchor written out, but write none out. Raise ConfigError above MAX_NODES."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known == 0:
            raise ConfigError("an anchor contains itself: write the value out")
        if known is None:
            sizes[id(node)] = 0
            parts = node.value if isinstance(node.value, list) else []
            total = 1
            for part in parts:
                total += sum(map(size, part)) if isinstance(part, tuple) else size(part)
            if total > MAX_NODES:
                raise ConfigError(f"it holds more than {MAX_NODES:,} values once its anchors are written out")
            sizes[id(node)] = known = total
        return known

    size(root)
