"""Implements pct policy: checks a policy file and explains it."""

from __future__ import annotations

import textwrap

import click

from pct_mlops.config import Policy
from pct_mlops.errors import ConfigError


@click.group()
def policy() -> None:
    """Look at a policy before it decides anything.

    \b
    Example:
      pct policy check projects/fashion_mnist/policy.yaml
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
