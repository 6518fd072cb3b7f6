"""Implements pct doctor, which shows what is in force and whether it works."""

from __future__ import annotations

from pathlib import Path

import click

from pct_mlops.cli.options import ReportFile, tracking_uri


@click.command()
@click.option("--read-only", is_flag=True, help="Do not try to write to the registry and the artifact store.")
@click.option(
    "--json", "json_file", type=ReportFile(), metavar="FILE", help="Write the findings here too; - is stdout."
)
@tracking_uri
def doctor(read_only: bool, json_file: Path | None, tracking_uri: str | None) -> None:
    """Check this installation and its registry.

    Prints versions, the tracking store and the registry (without passwords), the user, drivers, devices, shared memory,
    folders and proxies: a line each, marked ok, warning or problem, with what to do. Exit code 0: all works that pct
    needs, 2: there is a problem.

    On a server it makes a registered model and a small file, and deletes them at once. Of local files it only checks
    the rights. It makes no database.

    \b
    Examples:
      pct doctor
      pct doctor --tracking-uri https://mlflow.example --read-only
      pct doctor --json - | jq '.findings[] | select(.level == "problem")'
    """
    from pct_mlops.reports.terminal import clean
    from pct_mlops.workflows.doctor import examine, is_fit
    from pct_mlops.workflows.runtime.atomic_files import is_stdout, write_json

    err = json_file is not None and is_stdout(json_file)
    findings = []
    for finding in examine(tracking_uri, write=not read_only):
        findings.append(finding)
        click.echo(f"{finding.level:<8} {finding.name:<17} {clean(' '.join(finding.text.split()))}", err=err)
    fit = is_fit(findings)
    if json_file is not None:
        found = [{"name": item.name, "level": item.level, "text": item.text} for item in findings]
        write_json(json_file, {"ok": fit, "findings": found})
    click.get_current_context().exit(0 if fit else 2)
