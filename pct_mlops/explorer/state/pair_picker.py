"""Draws the menus of the model and the two versions. What a link names and the registry lacks is an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pct_mlops.config.commands import train_command
from pct_mlops.errors import PctError
from pct_mlops.explorer.markup import plain
from pct_mlops.explorer.queries import baselines, pairs
from pct_mlops.explorer.queries.pairs import Pair, VersionTable
from pct_mlops.explorer.state.options import Options
from pct_mlops.explorer.state.url import NOTICES, forget, notice, remember, restore_choice

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from pct_mlops.registry import Version

_ALIASES = "aliases:"


class NothingToShow(PctError):
    """An error for too few models or versions to compare. It is shown as a hint, and says what to do."""


class UnknownInLink(PctError):
    """An error for a model or version that the link names and the registry lacks.

    The menus above it show what the link asks for, and offer what there is. Nothing else is drawn: a verdict on other
    versions would be taken for the one that the link is about.
    """


def pick_pair(options: Options) -> Pair:
    """Draw the menus and return the pair that is picked there.

    Raises:
        NothingToShow: There are too few models or versions, or the same version is picked twice.
        UnknownInLink: The link names a model or version that the registry does not have.
    """
    names = pairs.models(options.tracking_uri)
    if not names:
        raise NothingToShow(
            f"The registry has no models yet: train a first one with {train_command()}, "
            "or open two prediction files with 'pct explore OLD NEW'."
        )
    left, middle, right = st.columns([2, 1.4, 1.4])
    with left:
        name = _pick_model(names, options.model or names[0])
    other = _other_model(names)
    pair = _pick_versions(options, name, None if other == name else other, (middle, right))
    if pair.old == pair.new:
        raise NothingToShow("Old and new are the same version: choose two different ones above.")
    return pair


def _pick_model(names: Sequence[str], first: str) -> str:
    """Draw the menu of models and return the chosen one. `first` is the one that is opened at first."""
    name = restore_choice("model", first)
    st.selectbox(
        "Model",
        _offered(names, name),
        format_func=lambda text: text if text in names else f"{text[:80]} · unknown",
        key="model",
        on_change=forget,
        args=("old", "new", "new_model"),
        help="A registered model: one classifier with all its versions.",
    )
    if name not in names:
        raise UnknownInLink(f"The registry has no model '{name[:80]}': choose one of its models above.")
    return name


def _other_model(names: Sequence[str]) -> str | None:
    """Return the model of the new version where it is another one than that of the old version, else None.

    Only a link names one. A menu is drawn where the registry lacks it.
    """
    name = restore_choice("new_model", "")
    if name and name not in names:
        st.selectbox(
            "Model of the new version",
            _offered(names, name),
            format_func=lambda text: text if text in names else f"{text[:80]} · unknown",
            key="new_model",
            on_change=forget,
            args=("new",),
        )
        raise UnknownInLink(
            f"The registry has no model '{name[:80]}', of which the link asks for a new version: choose one above."
        )
    return name or None


def _pick_versions(options: Options, name: str, other: str | None, places: Sequence[DeltaGenerator]) -> Pair:
    """Draw the menus of both versions and return the pair. New versions are those of `other`, where it is given."""
    uri = options.tracking_uri
    olds = pairs.versions(uri, name)
    news = pairs.versions(uri, other) if other else olds
    if not (olds and news) or (not other and len(olds) < 2):
        remember(model=name, new_model=other)
        raise NothingToShow(
            f"Model {name} has {len(olds)} version{'' if len(olds) == 1 else 's'}: a comparison needs two, so train "
            f"another one with {train_command('cna')}."
        )
    old_default, new_default = default_versions(olds) if not other else (_standing(olds), _newest(news))
    with places[0]:
        old = _pick_version("old", olds, old_default, "The version in production, or an earlier one.")
    with places[1]:
        new = _pick_version("new", news, new_default, "The version that would replace the old one.", other)
    if unknown := [*_unknown("old", old, olds, name), *_unknown("new", new, news, other or name)]:
        raise UnknownInLink(f"{' '.join(unknown)} Choose two versions above to see a comparison.")
    remember(model=name, old=old, new=new, new_model=other)
    _watch(name, olds)
    return Pair(
        VersionTable(uri, name, int(old)),
        VersionTable(uri, other or name, int(new)),
        f"{name} version {old}",
        f"{other} version {new}" if other else f"version {new}",
        options.images,
    )


def _unknown(key: str, version: str, found: Sequence[Version], name: str) -> list[str]:
    """Return a sentence where `version` is not among those found."""
    if version in {str(item.version) for item in found}:
        return []
    return [f"The {key} version asked for, '{version[:80]}', is none of model {name}."]


def _watch(name: str, found: Sequence[Version]) -> None:
    """Say when an alias moved since the page was opened. The page goes on to show the same versions."""
    now = {alias: version.version for version in found for alias in version.aliases}
    before = st.session_state.setdefault(_ALIASES + name, now)
    moved = [
        f"{alias} moved from version {before[alias]} to {now.get(alias, 'none')}"
        for alias in ("production", "candidate")
        if alias in before and before[alias] != now.get(alias)
    ]
    if not moved:
        st.session_state[_ALIASES + name] = now
        return
    notice(f"While this page was open, {' and '.join(moved)}. It still shows the same versions.")
    st.session_state[NOTICES].button(
        "Show the current versions", icon=":material/update:", on_click=_show_current, args=(name,)
    )


def _show_current(name: str) -> None:
    # What is known of the baseline may be some seconds older than what the notice says.
    baselines.forget_baselines()
    forget("old", "new", _ALIASES + name)


def _standing(found: Sequence[Version]) -> int:
    return next((version.version for version in found if "production" in version.aliases), _newest(found))


def _newest(found: Sequence[Version]) -> int:
    return max(version.version for version in found)


def _pick_version(key: str, found: Sequence[Version], default: int, hint: str, other: str | None = None) -> str:
    titles = {str(version.version): " · ".join([str(version.version), *version.aliases]) for version in found}
    wanted = restore_choice(key, str(default))
    st.selectbox(
        f"{key.capitalize()} version" + (f" of {plain(other)}" if other else ""),
        _offered(titles, wanted),
        format_func=lambda text: titles.get(text, f"{text[:80]} · unknown"),
        key=key,
        help=hint,
    )
    return wanted


def _offered(known: Collection[str], wanted: str) -> list[str]:
    """Return the choices of a menu. A choice that is not known stands first, so that the menu shows it."""
    return list(known) if wanted in known else [wanted, *known]


def default_versions(found: Sequence[Version]) -> tuple[int, int]:
    """Return the version numbers (old, new) that are compared at first: production and candidate.

    Without a candidate, new is the newest version. If new is itself in production, old is the previous production.
    `found` holds at least two versions.
    """
    at = {alias: version.version for version in found for alias in version.aliases}
    numbers = sorted((version.version for version in found), reverse=True)
    new = at.get("candidate", numbers[0])
    for old in (at.get("production"), at.get("previous")):
        if old is not None and old != new:
            return old, new
    return next((n for n in numbers if n < new), None) or next(n for n in numbers if n != new), new
