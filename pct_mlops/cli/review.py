"""Implements pct review: people's decisions about a candidate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pct_mlops.cli.options import empty_is_none, tracking_uri
from pct_mlops.cli.streams import show as print_table
from pct_mlops.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from pct_mlops.gate.reviews import Mark, Review, ReviewKind

# The values of gate.reviews.Mark, whose import costs more time than `pct --help` takes.
MARKS = ("label_error", "accepted_loss", "blocker")


@click.command()
@click.argument("model")
@click.option("--accept", is_flag=True, help="Record that MODEL may replace the baseline.")
@click.option("--reject", is_flag=True, help="Record that it may not, whatever the numbers say.")
@click.option("--by", callback=empty_is_none, metavar="NAME", help="Reviewer's name.  [default: the logged-in user]")
@click.option("--reason", callback=empty_is_none, metavar="TEXT", help="Reason, kept with the version.")
@click.option(
    "--samples",
    callback=empty_is_none,
    metavar="FILE",
    help="File of example ids, one a line, or a CSV.",
)
@click.option(
    "--mark",
    callback=empty_is_none,
    metavar="|".join(MARKS),
    help="Mark for these examples. Without it: accepted_loss with --accept, blocker with --reject.",
)
@click.option("--baseline", callback=empty_is_none, metavar="REF", help="What it was compared with, if not production.")
@click.option("--expires", callback=empty_is_none, metavar="DATE", help="Last day on which the record counts, in UTC.")
@click.option("--undo", callback=empty_is_none, metavar="ID", help="Take back the record of this id.")
@click.option("--list", "show", is_flag=True, help="Show all records, as without any option.")
@tracking_uri
def review(
    *,
    model: str,
    accept: bool,
    reject: bool,
    by: str | None,
    reason: str | None,
    samples: str | None,
    mark: str | None,
    baseline: str | None,
    expires: str | None,
    undo: str | None,
    show: bool,
    tracking_uri: str | None,
) -> None:
    """Record a review of MODEL, or show its reviews.

    A decision holds for one baseline, which is production unless --baseline names another. Records are only ever added.
    --undo adds one as well.

    \b
    Examples:
      pct review fashion-mnist@candidate --accept --reason "looked at all 40 flips"
      pct review fashion-mnist/4 --reject --reason "night images" --samples night.csv
      pct review fashion-mnist/4 --mark label_error --samples wrong.txt --reason "labels of batch 7"
      pct review fashion-mnist/4 --undo 3f2a9c01de --reason "labels were right after all"
    """
    from pct_mlops.workflows.gating import write_reviews

    decision = _decision(accept, reject)
    said = {"--accept or --reject": decision, "--samples": samples, "--mark": mark, "--expires": expires}
    given = [name for name, value in {**said, "--baseline": baseline}.items() if value]
    beside = [name for name, value in {"--undo": undo, "--by": by, "--reason": reason}.items() if value]
    if not given and not beside:
        _show(model, tracking_uri)
        return
    if show or (undo and given):
        raise ConfigError(f"{'--list' if show else '--undo'} stands alone: leave out {(given or beside)[0]}.")
    if not undo:
        _check(decision, samples, mark)
    if reason is None:
        raise ConfigError("A review requires a reason: give one with --reason TEXT.")
    who = by or _user()
    if undo:
        taken = write_reviews.undo_review(model, undo, by=who, reason=reason, tracking_uri=tracking_uri)
        click.echo(f"Recorded as {taken.id}: {undo} does not count any more.")
        return
    request = write_reviews.ReviewRequest(
        by=who,
        reason=reason,
        decision=decision,
        samples=write_reviews.read_sample_ids(Path(samples)) if samples else (),
        mark=_mark(mark) if mark else None,
        expires=write_reviews.expiry(expires) if expires else None,
    )
    for made in write_reviews.record_review(model, request, baseline=baseline, tracking_uri=tracking_uri):
        click.echo(f"Recorded as {made.id}: {_what(made)} by {made.by}{_against(made)}.")


def _decision(accept: bool, reject: bool) -> ReviewKind | None:
    from pct_mlops.gate.reviews import ReviewKind

    if accept and reject:
        raise ConfigError("--accept and --reject exclude each other: leave one of them out.")
    return ReviewKind.ACCEPT if accept else ReviewKind.REJECT if reject else None


def _check(decision: ReviewKind | None, samples: str | None, mark: str | None) -> None:
    if mark and not samples:
        raise ConfigError("--mark needs the ids of the examples: give them with --samples FILE.")
    if decision is None and not samples:
        raise ConfigError("Say what you decided: --accept, --reject, or --mark with --samples.")


def _mark(text: str) -> Mark:
    from pct_mlops.gate.reviews import Mark

    try:
        return Mark(text)
    except ValueError as error:
        raise ConfigError(f"--mark {text} is none of {', '.join(MARKS)}: use one of these.") from error


def _user() -> str:
    from pct_mlops.registry import user

    return user()


def _show(model: str, tracking_uri: str | None) -> None:
    from datetime import datetime, timezone

    from rich.table import Table
    from rich.text import Text

    from pct_mlops.gate.reviews import in_force
    from pct_mlops.registry import Registry, reviews
    from pct_mlops.reports.terminal import clean

    registry = Registry(tracking_uri)
    version = registry.resolve(model)
    found = reviews(registry, version)
    if not found:
        click.echo(f"Nobody has reviewed {version.uri} yet: 'pct review {model} --accept --reason TEXT' adds a review.")
        return
    table = Table("id", "when (UTC)", "what", "against", "by", "reason", box=None, pad_edge=False, header_style="dim")
    now = datetime.now(timezone.utc)
    counted = {item.id for item in in_force(found, now=now)}
    for item in found:
        against = "-" if item.baseline is None else str(item.baseline)
        when = item.when[:16].replace("T", " ")
        cells = (item.id, when, _what(item) + _ended(item, counted, now), against, item.by, item.reason)
        table.add_row(*(Text(clean(cell)) for cell in cells))
    print_table(table)


def _what(review: Review) -> str:
    if review.mark is not None:
        return f"{review.mark} on {len(review.samples):,} examples"
    return f"undo {review.undoes}" if review.undoes else str(review.kind)


def _against(review: Review) -> str:
    if review.baseline is None:
        return ", with nothing in production"
    return f", against version {review.baseline}"


def _ended(review: Review, counted: set[str], now: datetime) -> str:
    from datetime import datetime

    until = "" if review.expires is None else review.expires[:16].replace("T", " ")
    if review.expires is not None and datetime.fromisoformat(review.expires) <= now:
        return f" (expired {until})"
    if review.id not in counted:
        return " (undone)"
    return f" (until {until})" if until else ""
