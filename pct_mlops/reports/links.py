"""Builds the explorer's address of a comparison."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from pct_mlops.errors import ConfigError


@dataclass(frozen=True)
class ComparedPair:
    """The two sides of a comparison.

    For versions, `model` is the registered model, and `old` and `new` are version numbers. For files, `old` and `new`
    are paths. `new_model` is the candidate's model if it differs from the baseline's.
    """

    old: str
    new: str
    model: str = ""
    new_model: str = ""

    @property
    def command(self) -> str:
        """The command line that opens the same comparison."""
        if not self.model:
            return shlex.join(["pct", "explore", self.old, self.new])
        words = (f"models:/{self.model}/{self.old}", f"models:/{self.new_model or self.model}/{self.new}")
        return shlex.join(["pct", "explore", *words])

    def address(self, explorer: str, sample_id: str = "") -> str:
        """Return the address at which a running explorer shows the comparison, or one example of it.

        It holds version numbers, not aliases, so it always shows what was judged.
        """
        names = {"model": self.model, "old": self.old, "new": self.new, "new_model": self.new_model}
        parts = urlsplit(explorer)
        if sample_id:
            names["example"] = sample_id
            parts = parts._replace(path=f"{parts.path.rstrip('/')}/examples")
        query = "&".join(part for part in (parts.query, urlencode({k: v for k, v in names.items() if v})) if part)
        return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def checked_explorer(address: str) -> str:
    """Return the explorer's address as given. Raise ConfigError if a browser could not open it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    # The address is printed into Markdown, where it must not end the link.
    if parts.scheme not in ("http", "https") or not parts.hostname or set(address) & set(" <>()\"'\\`|\n\r\t"):
        raise ConfigError(f"'{address}' is not the address of an explorer: write it as https://host:port/path.")
    return address
