"""What a person can type, frozen: scripts and CI pipelines of others depend on it."""

from __future__ import annotations

import re

import click
import pytest

from pct_mlops import __version__
from pct_mlops.cli import main
from pct_mlops.cli.main import SECTIONS, pct

SURFACE = """
pct --version --debug
advise [NAME]
  --recipe FILE
  --all
  --json FILE
  --markdown FILE
  --set KEY=VALUE repeatable
  --tracking-uri URI
attach MODEL FILE
  --columns PAIRS
  --classes NAMES
  --split NAME
  --thumbnails FILE
  --texts FILE
  --replace
  --tracking-uri URI
compare OLD NEW
  --split test|val
  --json FILE
  --columns PAIRS
  --classes NAMES
  --tracking-uri URI
data check RECIPE
  --strict
  --all
  --set KEY=VALUE repeatable
demo
  --folder DIR
  --set KEY=VALUE repeatable
doctor
  --read-only
  --json FILE
  --tracking-uri URI
ensemble OUTPUT INPUTS...
  --register
  --weights LIST
  --split test|val
  --columns PAIRS
  --classes NAMES
  --set KEY=VALUE repeatable
  --tracking-uri URI
explore [OLD] [NEW]
  --model NAME
  --policy FILE
  --images PATH
  --texts FILE
  --read-only
  --port INTEGER RANGE
  --headless
  --columns PAIRS
  --classes NAMES
  --split NAME
  --tracking-uri URI
floor [RECIPE]
  --seeds N
  --num-processes N
  --set KEY=VALUE repeatable
  --tracking-uri URI
gate CANDIDATE
  --baseline REF
  --policy FILE
  --promote
  --override
  --reason TEXT
  --into NAME
  --recompute
  --pin-fixed
  --json FILE
  --junit FILE
  --markdown FILE
  --html FILE
  --explorer-url URL
  --columns PAIRS
  --classes NAMES
  --split NAME
  --tracking-uri URI
history NAME
  --versions
  --tracking-uri URI
import FILE OUTPUT
  --ids FILE
  --columns PAIRS
  --classes NAMES
  --split NAME
  --model-name NAME
  --dataset NAME
interpolate OLD NEW
  --steps INTEGER RANGE
  --grid LIST
  --tolerance FLOAT RANGE
  --batches INTEGER RANGE
  --register
  --plot FILE
  --json FILE
  --set KEY=VALUE repeatable
  --tracking-uri URI
list losses|models|datasets|metrics|distances|focuses
policy check [FILE]
  --schema
policy try POLICY
  --like OLD required
  --candidates N
  --churn RATE
  --nfr LIST
  --accuracy-change LIST
  --seed N
  --json FILE
  --markdown FILE
  --plot FILE
  --columns PAIRS
  --classes NAMES
  --split NAME
  --tracking-uri URI
review MODEL
  --accept
  --reject
  --by NAME
  --reason TEXT
  --samples FILE
  --mark label_error|accepted_loss|blocker
  --baseline REF
  --expires DATE
  --undo ID
  --list
  --tracking-uri URI
risk MODEL
  --members FILE repeatable
  --by members|margin
  --against NEW
  --output FILE
  --split test|val
  --columns PAIRS
  --classes NAMES
  --tracking-uri URI
rollback NAME
  --reason TEXT required
  --tracking-uri URI
score MODEL
  --split test|val|train
  --output PATH
  --recipe FILE
  --data FILE
  --columns PAIRS
  --classes NAMES
  --scores logits|probabilities
  --allow-code
  --set KEY=VALUE repeatable
  --tracking-uri URI
sweep [RECIPE]
  --losses NAMES
  --methods FILE
  --seeds N
  --warm-start
  --controls
  --minutes N
  --output DIR
  --num-processes N
  --set KEY=VALUE repeatable
  --tracking-uri URI
train [RECIPE]
  --loss NAME
  --arch NAME
  --epochs N
  --model-name NAME
  --num-processes N
  --teachers N
  --resume
  --set KEY=VALUE repeatable
  --tracking-uri URI
tune [RECIPE]
  --try KEY=A,B repeatable
  --max-accuracy-loss POINTS
  --nfr-target RATE
  --seeds N
  --output DIR
  --num-processes N
  --set KEY=VALUE repeatable
  --tracking-uri URI
update-predictions STORED NEW
  --output FILE required
  --strategy mb|mbme|cr
  --cost-ratio X
  --smoothing FLOAT
  --stored-val FILE
  --new-val FILE
  --split test|train
  --json FILE
  --columns PAIRS
  --classes NAMES
  --tracking-uri URI
verify NAME
  --repair
  --adopt
  --reason TEXT
  --tracking-uri URI
"""


def surface():
    lines = ["pct " + " ".join(_option(item) for item in pct.params)]
    for name, command in _commands():
        arguments = [_argument(item) for item in command.params if isinstance(item, click.Argument)]
        lines.append(" ".join([name, *arguments]))
        lines += [f"  {_option(item)}" for item in command.params if isinstance(item, click.Option)]
    return "\n".join(lines)


def _commands():
    """Verbs, and those under a verb by both words."""
    for name, command in sorted(pct.commands.items()):
        if isinstance(command, click.Group):
            yield from ((f"{name} {part}", item) for part, item in sorted(command.commands.items()))
        else:
            yield name, command


def _argument(item):
    name = item.name.upper() if not isinstance(item.type, click.Choice) else "|".join(item.type.choices)
    return (name if item.required else f"[{name}]") + ("..." if item.nargs == -1 else "")


def _option(item):
    value = ""
    if not item.is_flag:
        choices = "|".join(item.type.choices) if isinstance(item.type, click.Choice) else ""
        value = " " + (choices or item.make_metavar(click.Context(pct)))
    marks = "".join([" required" if item.required else "", " repeatable" if item.multiple else ""])
    return ", ".join(item.opts) + value + marks


def test_the_surface_is_frozen():
    assert surface() == SURFACE.strip()


@pytest.mark.parametrize("name", sorted(pct.commands))
def test_help_of_every_verb_says_what_it_does_and_shows_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text
    assert f"\n    pct {name}" in text, "an example that can be copied"
    assert all(option.help or option.name == "port" for option in _options(name)), "an option without a word of help"
    assert len(text.splitlines()) < 60


def _options(name):
    return [item for item in pct.commands[name].params if isinstance(item, click.Option) and not _is_choice(item)]


def _is_choice(item):
    return isinstance(item.type, click.Choice)


def test_help_of_the_whole_lists_verbs_and_exit_codes(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in pct.commands)
    assert "0 passed or done, 1 refused by the gate, 2 error, 3 inconclusive" in " ".join(text.split())


def test_version(capsys):
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_no_verb_shows_the_help(capsys):
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "Usage: pct" in captured.out + captured.err


def test_the_help_lists_every_verb_by_job_on_one_screen(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    listed = [command.name for commands in SECTIONS.values() for command in commands]
    assert sorted(listed) == sorted(pct.commands)
    places = [re.search(rf"^{title}:$", text, re.MULTILINE).start() for title in SECTIONS]
    assert places == sorted(places)
    assert all(re.search(rf"^  {name} +\w.*\.$", text, re.MULTILINE) for name in listed), "none is cut short"
    assert len(text.splitlines()) <= 55


def test_no_summary_of_a_verb_is_cut_at_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith("...") and "[ARGS]" not in line] == []
