"""Implements pct policy: explains a policy file, and tries it on simulated candidates."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import click

from pct_mlops.cli.options import ReportFile, reading_options, tracking_uri
from pct_mlops.cli.streams import keep_stdout_free, show
from pct_mlops.config import Policy
from pct_mlops.config.numbers import as_fraction
from pct_mlops.errors import ConfigError

FILE = ReportFile()


@click.group()
def policy() -> None:
    """Look at a policy before it decides anything.

    \b
    Examples:
      pct policy check projects/fashion_mnist/policy.yaml
      pct policy try projects/fashion_mnist/policy.yaml --like fashion-mnist@production
    """


@policy.command()
@click.argument("file", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of policy files instead, for an editor.")
def check(file: str | None, schema: bool) -> None:
    """Validate the policy FILE and say in words what it demands.

    It explains every rule, the labels that a rule is 'on', and the aliases. The files that it names are read too. Only
    the tables can tell whether its classes and columns exist. Where they do not, the gate decides ERROR. Exit code 0:
    the policy is valid, 2: it is not.

    \b
    Examples:
      pct policy check projects/fashion_mnist/policy.yaml
      pct policy check --schema > policy.schema.json
    """
    if schema:
        from pct_mlops.config.policy_schema import policy_schema_text

        click.echo(policy_schema_text(), nl=False)
        return
    if not file:
        raise ConfigError("There is nothing to check: name a policy file, or use --schema.")
    from pct_mlops.gate.explain import explain
    from pct_mlops.reports.terminal import clean

    read = Policy.read(file)
    click.echo(f"{clean(file)} is in order (digest {read.digest[:12]}).")
    for paragraph in explain(read):
        indent = "   " if paragraph[0].isdigit() else ""
        click.echo(textwrap.fill(clean(paragraph), 100, subsequent_indent=indent))


def _rates(context: click.Context, parameter: click.Parameter, value: str | None) -> list[float]:
    """Read a list of rates such as 0.5%,1% or 0.005,0.01 as fractions."""
    return [_number(parameter, word, as_fraction(word)) for word in (value or "").split(",") if value]


def _points(context: click.Context, parameter: click.Parameter, value: str | None) -> list[float]:
    """Read a list of changes in points such as 0,-0.5,+1 as fractions."""
    return [_number(parameter, word, word) / 100 for word in (value or "").split(",") if value]


def _number(parameter: click.Parameter, word: str, read: float | str) -> float:
    """Return a finite number. Raise ConfigError that says how to write the option."""
    try:
        number = float(read)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        name = parameter.opts[0]
        example = {"--accuracy-change": "0,-0.5,+1", "--churn": "1%"}.get(name, "0.5%,1%")
        raise ConfigError(f"{name} holds '{word.strip()}', which is not a number: write for example {name} {example}.")
    return number


def _rate(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read one rate such as 1% as a fraction. Return None for an empty text."""
    return _number(parameter, value, as_fraction(value)) if value else None


@policy.command("try")
@click.argument("policy")
@click.option("--like", required=True, metavar="OLD", help="The model in use: a version or a file of its predictions.")
@click.option("--candidates", type=int, default=200, show_default=True, metavar="N", help="Tries of each kind.")
@click.option("--churn", callback=_rate, metavar="RATE", help="NFR of one as good.  [default: of pct floor, or 1%]")
@click.option("--nfr", callback=_rates, metavar="LIST", help="True rates, as 0.5%,1%.  [default: around each limit]")
@click.option("--accuracy-change", callback=_points, metavar="LIST", help="True changes in points, as 0,-0.5,+1.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of the random numbers.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Also write the numbers here; - is stdout.")
@click.option("--markdown", "markdown_file", type=FILE, metavar="FILE", help="Also write it as Markdown.")
@click.option("--plot", type=FILE, metavar="FILE", help="Write the shares here as a web page.")
@reading_options("What the file of another program is predictions on.  [default: test]")
@tracking_uri
def try_(
    *,
    policy: str,
    like: str,
    json_file: Path | None,
    markdown_file: Path | None,
    plot: Path | None,
    columns: str | None,
    classes: str | None,
    split: str | None,
    **asked: Any,
) -> None:
    """Tell how often a policy passes, fails or hesitates, before anyone depends on it.

    No candidate is needed. They are simulated from the predictions of the model in use: as good as that model, and
    at half of each rule's limit, on it and at 1.5 times it. The gate's own rules judge each of them on a test set that
    is drawn again. Where OLD is a version with a floor (pct floor), equals flip as much as its retrainings do.

    The table has the shares of the verdicts with their 95% intervals. Parts of a policy that cannot be simulated are
    named: reviews, pinned examples, evidence, rules on confidences. Exit code 0, or 2 for an error.

    \b
    Examples:
      pct policy try policy.yaml --like fashion-mnist@production
      pct policy try policy.yaml --like old.parquet --nfr 0.5%,1%,1.5%,2%,3% --plot shares.html
      pct policy try policy.yaml --like old.csv --churn 2% --accuracy-change 0,-0.5,+1 --json trial.json
    """
    from pct_mlops.predictions import ReadOptions
    from pct_mlops.reports import render_trial, trial_markdown, trial_to_json
    from pct_mlops.workflows.gating.try_source import try_on_source
    from pct_mlops.workflows.runtime.atomic_files import is_stdout, keep_off, write_json, write_text

    files = [json_file, markdown_file, plot]
    keep_off(files, [policy, like])
    if err := any(is_stdout(file) for file in files if file is not None):
        keep_stdout_free()
    rules = Policy.read(policy)
    keep_off(files, [Path(policy).absolute().parent / name for name in rules.file_names])
    trial = try_on_source(rules, like, reading=ReadOptions.parse(columns, classes, split), **asked)
    if json_file is not None:
        write_json(json_file, trial_to_json(trial))
    if markdown_file is not None:
        write_text(markdown_file, trial_markdown(trial))
    if plot is not None:
        from pct_mlops.workflows.gating.trial_page import trial_page

        write_text(plot, trial_page(trial))
    show(render_trial(trial), err=err)
