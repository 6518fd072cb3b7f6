"""Writes the reports of a run of the gate aside before production moves, and puts them in their places afterwards.

What can fail fails before the move, so a full disk never leaves a promotion without its report. A file is never older
than the run that should have written it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config import PctError, Policy
from pct_mlops.config.base import read_yaml
from pct_mlops.gate import decide
from pct_mlops.workflows.runtime.atomic_files import Staged, keep_off, remove

if TYPE_CHECKING:
    from pct_mlops.workflows.gating.outcome import Outcome


@dataclass
class ReportFiles:
    """Places of the report as JSON, JUnit XML, Markdown and HTML (None: not written), and the explorer they link to."""

    json_file: Path | None = None
    junit_file: Path | None = None
    markdown_file: Path | None = None
    html_file: Path | None = None
    explorer: str = ""
    _staged: Staged = field(default_factory=Staged)

    @property
    def paths(self) -> list[Path]:
        """Files that are asked for."""
        files = (self.json_file, self.junit_file, self.markdown_file, self.html_file)
        return [path for path in files if path is not None]

    def keep_off(self, inputs: Sequence[str | Path | None]) -> None:
        """Raise ConfigError when a file is asked for twice, or is one of `inputs`, which are read."""
        keep_off(self.paths, inputs)

    def clear(self) -> None:
        """Remove what an earlier run left."""
        for path in self.paths:
            remove(path)

    def stage(self, outcome: Outcome, more: Mapping[Path, str] | None = None) -> None:
        """Write all reports aside, and `more` files with their texts. Raise OutputError when one cannot be written."""
        self.discard()
        for path, text in [*self._documents(outcome), *(more or {}).items()]:
            self._staged.add(path, text)

    def commit(self) -> None:
        """Put what was staged into its place. Go on after a failure, then raise the first OutputError."""
        self._staged.commit()

    def discard(self) -> None:
        """Drop what was staged."""
        self._staged.discard()

    def refuse(self, policy: Policy, error: PctError) -> None:
        """Write reports with the verdict ERROR for a run that ended with `error`, as far as they can be written."""
        from pct_mlops.workflows.gating.evidence import Evidence
        from pct_mlops.workflows.gating.outcome import Outcome

        decision = decide(policy, None, problem=error)
        outcome = Outcome.of(decision, Evidence("", None), None)
        self.discard()
        for path, text in self._documents(outcome):
            with suppress(PctError):
                self._staged.add(path, text)
        with suppress(PctError):
            self.commit()

    def _documents(self, outcome: Outcome) -> Iterator[tuple[Path, str]]:
        from pct_mlops.reports import HtmlContents, to_html, to_junit, to_markdown

        decision, promotion = outcome.decision, outcome.promotion
        if self.json_file is not None:
            yield self.json_file, json.dumps(outcome.report, indent=2, allow_nan=False) + "\n"
        if self.junit_file is not None:
            properties = {"exit_code": str(outcome.exit_code)}
            if promotion is not None and promotion.override:
                properties["override"] = promotion.reason
            if decision.error_code is not None:
                properties["error_code"] = decision.error_code
            now = datetime.now(timezone.utc)
            yield self.junit_file, to_junit(decision, now, host=socket.gethostname(), properties=properties)
        said = outcome.remarks
        if self.markdown_file is not None:
            text = to_markdown(decision, outcome.comparison, pair=outcome.pair, explorer=self.explorer, remarks=said)
            yield self.markdown_file, text
        if self.html_file is not None:
            page = HtmlContents(outcome.pair, self.explorer, said, outcome.shown_flips)
            yield self.html_file, to_html(decision, outcome.comparison, page)


def named_files(policy_file: Path) -> list[Path]:
    """Return the files that a policy with mistakes names. Return none where it is no YAML."""
    try:
        data = read_yaml(policy_file)
    except PctError:
        return []
    parts = [data.get(key) for key in ("pinned", "slices", "costs")]
    names = [part.get("file") for part in parts if isinstance(part, dict)]
    return [policy_file.absolute().parent / name for name in names if isinstance(name, str)]
