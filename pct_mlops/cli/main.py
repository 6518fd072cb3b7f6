"""Defines the `pct` command, and turns errors into one line and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import gc
import itertools
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import click

from pct_mlops.cli import (
    advise,
    attach,
    data,
    doctor,
    explore,
    gate,
    listing,
    policy,
    production,
    review,
    risk,
    streams,
    sweeps,
    tables,
    training,
    updates,
)
from pct_mlops.errors import ConfigError, PctError, is_disk_full
from pct_mlops.workflows.runtime.distributed import (
    inside_launcher,
    is_main_process,
    leave_group,
    say_once,
    wait_briefly,
)

ERROR, INTERRUPTED = 2, 130
# These verbs end within seconds. Garbage collection would take a third of that time: while mlflow is imported, and at
# the end.
SHORT_VERBS = {
    "advise",
    "attach",
    "compare",
    "gate",
    "history",
    "list",
    "policy",
    "review",
    "risk",
    "rollback",
    "verify",
}

# Title in the help -> verbs.
SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Train": (advise.advise, training.train, sweeps.sweep, sweeps.tune, sweeps.floor, updates.interpolate),
    "Predict": (training.score, attach.attach, updates.import_result, tables.ensemble, updates.update_predictions),
    "Decide": (tables.compare, risk.risk, gate.gate, policy.policy, review.review),
    "Production": (production.history, production.verify, production.rollback),
    "Look": (explore.explore, data.data, listing.list_names, doctor.doctor, explore.demo),
}


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from pct_mlops import __version__

        click.echo(f"pct, version {__version__}")
        context.exit()


class Sections(click.Group):
    """A group whose help lists its verbs by job."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section with its verbs, all in columns of one width."""
        width = max(map(len, self.commands))
        space = formatter.width - formatter.current_indent - width - 6
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{item.name:{width}}", item.get_short_help_str(space)) for item in commands])


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.option("--debug", is_flag=True, help="Show the traceback and the code of an error.")
def pct(debug: bool) -> None:
    """Train classifiers that flip less, refuse those that flip too much, and look at what flipped.

    \b
    A first baseline, a candidate trained against it, and the decision:
      pct train projects/fashion_mnist/recipe.yaml --loss none
      pct gate fashion-mnist@candidate --policy projects/fashion_mnist/policy.yaml --promote
      pct train projects/fashion_mnist/recipe.yaml --loss update
      pct gate fashion-mnist@candidate --policy projects/fashion_mnist/policy.yaml --promote

    A model is name@alias, name/3, models:/name@alias or a file of predictions. MLflow's registry is mlflow.db here,
    or what MLFLOW_TRACKING_URI names.

    Exit codes: 0 passed or done, 1 refused by the gate, 2 error, 3 inconclusive.
    """


for _command in itertools.chain.from_iterable(SECTIONS.values()):
    pct.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `pct ARGUMENTS` and return its exit code. Show a traceback only with --debug.

    Without `arguments`, run those of the process. This may end the process instead of returning.
    """
    if arguments is not None:
        return _run(list(arguments))
    streams.open_streams()
    wait_briefly()
    given = sys.argv[1:]
    short = bool(SHORT_VERBS.intersection(given[:1]))
    if short:
        gc.disable()
    code = _run(given)
    launched = inside_launcher()
    if launched and code not in (ERROR, INTERRUPTED):
        # A failing process does not leave in order, because the others may be waiting for it.
        leave_group()
    if short or launched:
        # After a training over several processes, gloo's threads outlive the group, because torch keeps it. A thread
        # that needs the interpreter during its shutdown would abort a process that has finished well.
        _leave(code)
    return code


def _leave(code: int) -> NoReturn:
    """Run the registered exit functions, flush the streams, and end the process without freeing its modules."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # The exit code is the result, even if the last lines cannot be written.
        with contextlib.suppress(OSError, PctError):
            stream.flush()
    os._exit(code)


def _run(given: list[str]) -> int:
    # Accept --debug in any place, so that a user can add it to the end of the command that failed.
    debug = "--debug" in given
    words = [word for word in given if word != "--debug"]
    try:
        _check_words(words)
        # A verb reads its own words from `obj` when it starts itself again in other processes.
        with streams.library_lines() if is_main_process() else contextlib.nullcontext():
            code = pct.main(args=words, prog_name="pct", standalone_mode=False, obj=given)
    except click.ClickException as error:
        error.show()
        return ERROR
    except PctError as error:
        if debug:
            traceback.print_exc()
            click.echo(f"Error code: {error.code}", err=True)
        else:
            # Under torchrun all processes may fail alike, or only one of them.
            say_once(f"Error: {_plain(str(error))}", partial(click.echo, err=True))
        return ERROR
    except (KeyboardInterrupt, click.Abort):
        again = "Run the same command to go on from there ('pct train' needs --resume)."
        click.echo(f"Interrupted. What was complete is kept. {again}", err=True)
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        else:
            say_once(_unforeseen(error), partial(click.echo, err=True), expected=is_disk_full(error))
        return ERROR
    return code if isinstance(code, int) else 0


def _unforeseen(error: Exception) -> str:
    """Return the sentence for an exception that no part of the program has turned into a PctError."""
    if is_disk_full(error):
        # Of a copy, the second file is the one that is written.
        file = str(error.filename2 or error.filename or "") if isinstance(error, OSError) else ""
        where = "there" if file else f"in this folder and in {tempfile.gettempdir()}"
        return _plain(
            f"Error: {file or 'A file'} cannot be written, because its disk is full: free some space {where}, and run "
            "the same command again."
        )
    what = f"{type(error).__name__}: {_plain((str(error).splitlines() or [''])[0])}"
    return f"Error: unexpected {what}; run it again with --debug to see where."


def _check_words(words: Sequence[str]) -> None:
    """Raise ConfigError for a word that is not UTF-8, because no report, table or registry could store it."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"'{word}' is not UTF-8: write it in UTF-8, and rename such files.") from None


def _plain(text: str) -> str:
    """Return an error's text on one line, with only printable characters.

    Parts of it may come from a server, a file or another person.
    """
    from pct_mlops.reports.terminal import clean

    return clean(" ".join(text.splitlines()))
