"""The explorer's address of one comparison."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from pct_mlops.errors import ConfigError


@dataclass(frozen=True)
class ComparedPair:
    """What was compared. For versions the model's name and both numbers, for files their paths in `old` and `new`.

    `new_model` names the candidate's model where it is another one than the baseline's.
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

    def address(self, explorer: str) -> str:
        """Where a running explorer shows it: the versions are part of the address, so it stays what was judged."""
        names = {"model": self.model, "old": self.old, "new": self.new, "new_model": self.new_model}
        parts = urlsplit(explorer)
        query = "&".join(part for part in (parts.query, urlencode({k: v for k, v in names.items() if v})) if part)
        return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def checked_explorer(address: str) -> str:
    """The address of an explorer as given; PctError when it is none that a browser opens."""
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    # What is printed into Markdown must not end the link it stands in.
    if parts.scheme not in ("http", "https") or not parts.hostname or set(address) & set(" <>()\"'\\`|\n\r\t"):
        raise ConfigError(f"'{address}' is no address of an explorer: write it as https://host:port/path.")
    return address
