"""Implements pct gate: the decision about production."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pct_mlops.cli.options import ReportFile, empty_is_none, reading_options, tracking_uri
from pct_mlops.cli.streams import keep_stdout_free, show
from pct_mlops.config import Policy
from pct_mlops.errors import ConfigError, PctError

if TYPE_CHECKING:
    from pct_mlops.workflows.gating.outcome import Outcome
    from pct_mlops.workflows.gating.report_files import ReportFiles

DEFAULT_POLICY = "policy.yaml"
FILE = ReportFile()


@click.command()
@click.argument("candidate")
@click.option("--baseline", callback=empty_is_none, metavar="REF", help="Compare with this instead of production.")
@click.option("--policy", default=DEFAULT_POLICY, show_default=True, metavar="FILE", help="File with the rules.")
@click.option("--promote", is_flag=True, help="Move the production alias on PASS or BOOTSTRAP, and only then.")
@click.option("--override", is_flag=True, help="Promote on FAIL or INCONCLUSIVE too, never on ERROR; needs --reason.")
@click.option("--reason", default="", metavar="TEXT", help="Reason, kept in the history of production.")
@click.option("--into", callback=empty_is_none, metavar="NAME", help="Judge for model NAME; --promote copies it there.")
@click.option("--recompute", is_flag=True, help="Score both again where their tables are missing or do not fit.")
@click.option("--pin-fixed", is_flag=True, help="After a PASS, pin blockers that the candidate gets right.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Also write the report here; - is stdout.")
@click.option("--junit", "junit_file", type=FILE, metavar="FILE", help="Write JUnit XML, with a case for every check.")
@click.option("--markdown", "markdown_file", type=FILE, metavar="FILE", help="Write a summary of at most 64 KB.")
@click.option("--html", "html_file", type=FILE, metavar="FILE", help="Write one page to read, with up to 60 flips.")
@click.option(
    "--explorer-url",
    envvar="PCT_EXPLORER_URL",
    default="",
    metavar="URL",
    help="Link to this explorer (or PCT_EXPLORER_URL).",
)
@reading_options("What the files of other programs are predictions on.  [default: test]")
@tracking_uri
def gate(
    *,
    candidate: str,
    policy: str,
    pin_fixed: bool,
    json_file: Path | None,
    junit_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    explorer_url: str,
    **asked: Any,
) -> None:
    """Decide whether CANDIDATE may replace production.

    Exit code 0: yes (PASS, or BOOTSTRAP where nothing is in production), 1: no, 2: error, 3: inconclusive. With
    --override it is 0 once production has moved, and the verdict stays as it was. With code 2 nothing has moved, unless
    the error says so.

    Classes are compared by name. Where they differ, a rule's 'on' says which labels it is about: all, shared or new.
    With --recompute, production is scored on CANDIDATE's data, and is wrong on labels that it does not know.

    In JUnit, FAIL and INCONCLUSIVE are failures of that type. --pin-fixed adds examples to the policy's pinned CSV:
    those that production gets wrong, CANDIDATE gets right, and reviewers marked as blocker on any version.

    \b
    Examples:
      pct gate shoes@candidate --policy policy.yaml
      pct gate shoes/4 --promote --reason "weekly" --json report.json --junit junit.xml
      pct gate shoes/4 --override --reason "hotfix for night images, agreed with the shop"
      pct gate shoes-candidates@candidate --into shoes --promote
      pct gate shoes/4 --baseline shoes@previous --recompute
      pct gate shoes/4 --markdown summary.md --explorer-url https://explorer.example
      pct gate shoes/4 --promote --pin-fixed
      pct gate shoes/4 --json - | jq .verdict
      pct gate new.parquet --baseline old.parquet --html report.html
      pct gate new.csv --baseline old.jsonl --columns label=gold,prediction=said
    """
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.reports import checked_explorer
    from pct_mlops.workflows.gating.evaluate import evaluate_candidate
    from pct_mlops.workflows.gating.pinned_examples import pinned_file
    from pct_mlops.workflows.gating.report_files import ReportFiles
    from pct_mlops.workflows.runtime.atomic_files import is_stdout

    files = ReportFiles(json_file, junit_file, markdown_file, html_file)
    files.keep_off([candidate, policy, asked["baseline"]])
    options = ReadOptions.parse(asked.pop("columns"), asked.pop("classes"), asked.pop("split"))
    rules = _read_policy(policy, files)
    files.explorer = explorer = checked_explorer(explorer_url) if explorer_url else ""
    pin = pinned_file(rules.pinned, Path(policy)) if pin_fixed else None
    # Then a program reads standard output, and the text for people goes to standard error.
    if err := any(map(is_stdout, files.paths)):
        keep_stdout_free()
    outcome = evaluate_candidate(candidate, rules, pin=pin, files=files, reading=options, **asked)
    try:
        _show_outcome(outcome, explorer, err=err)
    except PctError as error:
        raise _with_outcome(error, outcome) from error
    click.get_current_context().exit(outcome.exit_code)


def _with_outcome(error: PctError, outcome: Outcome) -> PctError:
    """Return an error that repeats the outcome: production may have moved, and the other reports are written."""
    return error.reworded(" ".join([f"The verdict is {outcome.decision.verdict}.", *outcome.remarks, str(error)]))


def _show_outcome(outcome: Outcome, explorer: str, *, err: bool) -> None:
    from pct_mlops.reports import render_decision
    from pct_mlops.reports.terminal import clean

    show(render_decision(outcome.decision, outcome.comparison), err=err)
    for line in outcome.remarks:
        click.echo(clean(line), err=err)
    if explorer and outcome.pair is not None:
        click.echo(f"Every flip: {outcome.pair.address(explorer)}", err=err)


def _read_policy(path: str, files: ReportFiles) -> Policy:
    """Read the policy, and remove the reports of an earlier run from the places of `files`.

    Raise ConfigError if one of these places is a file that the policy names.
    """
    from pct_mlops.workflows.gating.report_files import named_files

    try:
        if path == DEFAULT_POLICY and not Path(path).exists():
            raise ConfigError(
                "There is no policy.yaml in this folder: give one with --policy, for example "
                "--policy projects/fashion_mnist/policy.yaml."
            )
        policy = Policy.read(path)
    except PctError:
        files.keep_off(named_files(Path(path)))
        files.clear()
        raise
    files.keep_off([Path(path).absolute().parent / name for name in policy.file_names])
    files.clear()
    return policy
