"""Files of a judgement: written aside before production moves, put in their places afterwards.

What can fail, fails before the move, so that a full disk never leaves a promotion without its report; and a file is
never older than the run that should have written it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pct_mlops.config import PctError, Policy
from pct_mlops.gate import decide

if TYPE_CHECKING:
    from pct_mlops.pipeline.judgement import Judgement


@dataclass
class Outputs:
    """Where to write the report as JSON, JUnit XML and Markdown (None: not), and the explorer that these link to."""

    json_file: Path | None = None
    junit_file: Path | None = None
    markdown_file: Path | None = None
    explorer: str = ""
    _staged: list[tuple[Path | str, Path]] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """The files that are asked for."""
        return [path for path in (self.json_file, self.junit_file, self.markdown_file) if path is not None]

    def keep_off(self, inputs: Sequence[str | Path]) -> None:
        """PctError when a file is asked for twice, or is one of `inputs`, which are read."""
        places = [path.resolve() for path in self.paths]
        if len(set(places)) < len(places):
            raise PctError("--json, --junit and --markdown name the same file: give each its own.")
        for path in self.paths:
            if any(Path(name).exists() and path.exists() and path.samefile(name) for name in inputs):
                raise PctError(f"{path} is read for the judgement and would be written over: choose another place.")

    def clear(self) -> None:
        """Remove what an earlier run left."""
        for path in self.paths:
            if not _is_special(path):
                with _said(path):
                    path.resolve().unlink(missing_ok=True)

    def stage(self, judgement: Judgement, more: Mapping[Path, str] | None = None) -> None:
        """Write everything aside, and `more` files with their texts; PctError when a place cannot be written."""
        self.discard()
        for path, text in [*self._documents(judgement), *(more or {}).items()]:
            self._stage(path, text)

    def _stage(self, path: Path, text: str) -> None:
        if _is_special(path):
            self._staged.append((text, path))
            return
        # A link stays a link.
        target = path.resolve()
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        with _said(path):
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            target.parent.mkdir(parents=True, exist_ok=True)
            self._staged.append((aside, target))
            with aside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())

    def commit(self) -> None:
        """Put what was staged in its place, all that can be; PctError names the first that could not."""
        staged, self._staged = self._staged, []
        problems = []
        for content, path in staged:
            try:
                with _said(path):
                    if isinstance(content, Path):
                        os.replace(content, path)
                    else:
                        path.write_text(content, encoding="utf-8")
            except PctError as error:
                problems.append(error)
                if isinstance(content, Path):
                    content.unlink(missing_ok=True)
        if problems:
            raise problems[0]

    def discard(self) -> None:
        """Forget what was staged."""
        staged, self._staged = self._staged, []
        for content, _ in staged:
            if isinstance(content, Path):
                content.unlink(missing_ok=True)

    def refuse(self, policy: Policy, sentence: str) -> None:
        """Write the ERROR of a judgement that could not even begin, as far as that can be written."""
        from pct_mlops.pipeline.judgement import Judgement

        decision = decide(policy, None, problem=sentence)
        self.discard()
        for path, text in self._documents(Judgement.of(decision, None, {}, candidate="", baseline=None)):
            with suppress(PctError):
                self._stage(path, text)
        with suppress(PctError):
            self.commit()

    def _documents(self, judgement: Judgement) -> Iterator[tuple[Path, str]]:
        from pct_mlops.reports import to_junit, to_markdown

        decision, promotion = judgement.decision, judgement.promotion
        if self.json_file is not None:
            yield self.json_file, json.dumps(judgement.report, indent=2, allow_nan=False) + "\n"
        if self.junit_file is not None:
            properties = {"exit_code": str(judgement.exit_code)}
            if promotion is not None and promotion.override:
                properties["override"] = promotion.reason
            now = datetime.now(timezone.utc)
            yield self.junit_file, to_junit(decision, now, host=socket.gethostname(), properties=properties)
        if self.markdown_file is not None:
            yield (
                self.markdown_file,
                to_markdown(
                    decision,
                    judgement.comparison,
                    pair=judgement.pair,
                    explorer=self.explorer,
                    remarks=judgement.remarks,
                ),
            )


def files_of(policy: Policy, policy_file: Path) -> list[Path]:
    """The files that a policy names."""
    parts = (policy.pinned, policy.slices, policy.costs)
    return [policy_file.absolute().parent / part.file for part in parts if part is not None and hasattr(part, "file")]


def _is_special(path: Path) -> bool:
    """Pipes and devices, such as /dev/stdout, are written to and never replaced."""
    return str(path.absolute()).startswith("/dev/") or (path.exists() and not path.is_file() and not path.is_dir())


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PctError(
            f"{path} cannot be written ({error.strerror}): choose another place, and judge again."
        ) from error
