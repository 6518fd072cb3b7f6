"""When a PASS over two files is legitimate, worked out a second time: from the files, row by row, with numpy and scipy.

Shares no code with the program. Bounds are not computed but tested: an upper bound lies inside a limit exactly where
the test of "the true value is the limit" rejects at the same level, which needs no quantile and no root.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from scipy.optimize import minimize_scalar
from scipy.stats import binom, gamma, norm

KEYS = {"evaluation", "baseline", "confidence", "rules", "pinned", "slices", "costs", "reviews"}
RULE_KEYS = {"metric", "max", "min", "bound", "min_support", "classes", "slice"}
UNKNOWN = -1.0
# What a metric needs, by the name of its arrays in Seen.
NEEDS = {
    "ece_old": [("confidence", "old")],
    "ece_new": [("confidence", "new")],
    "nll_old": [("target", "old")],
    "nll_new": [("target", "new")],
    "type_1_flips": [("target", "old"), ("target", "new")],
    "type_2_flips": [("target", "old"), ("target", "new")],
    "fractional_nfr": [("confidence", "new"), ("target", "new")],
}
FIXED = {"sample_id", "label", "prediction", "confidence", "label_confidence", "logits", "features"}
NONE = "(none)"


class NoPassError(Exception):
    """Why there must be no PASS."""


def need(condition: Any, why: str) -> None:
    if not condition:
        raise NoPassError(why)


def number(value: Any) -> float:
    need(not isinstance(value, bool) and value is not None and not isinstance(value, list | dict), "no number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        found = math.nan
    need(math.isfinite(found), "no number")
    return found


def why_no_pass(folder: Path) -> str:
    """Of new.parquet against old.parquet under policy.yaml; empty where a PASS is legitimate."""
    try:
        seen = Seen(folder)
        try:
            policy = yaml.safe_load((folder / "policy.yaml").read_text(encoding="utf-8"))
        except (ValueError, yaml.YAMLError, AttributeError, TypeError):
            raise NoPassError("no YAML") from None
        _policy(policy, seen, folder)
    except NoPassError as error:
        return str(error)
    return ""


class Seen:
    """Both tables as arrays, joined by id; NoPassError for rows that cannot be."""

    def __init__(self, folder: Path) -> None:
        tables = []
        for name in ("old", "new"):
            try:
                tables.append(_readable(folder / f"{name}.parquet"))
            except Exception:  # whatever a damaged file runs into
                raise NoPassError("unreadable") from None
        self.classes = _class_names(tables[1])
        need(self.classes == _class_names(tables[0]), "other classes")
        sides = [_sound(rows, len(self.classes)) for rows in tables]
        old, new = sides
        need(old.keys() == new.keys() and all(old[key][0] == new[key][0] for key in old), "other examples")
        self.ids = sorted(new)
        column = {side: np.array([rows[key] for key in self.ids]) for side, rows in (("old", old), ("new", new))}
        self.label = column["new"][:, 0].astype(int)
        self.answer = {side: column[side][:, 1].astype(int) for side in column}
        self.confidence = {side: column[side][:, 2] for side in column}
        self.target = {side: column[side][:, 3] for side in column}
        self.columns: dict[str, dict[str, str]] = {}
        for rows in tables:
            for name in set(rows.column_names) - {"sample_id", "label", "prediction", "logits", "features"}:
                if rows.schema.field(name).type == "string":
                    pairs = zip(rows["sample_id"].to_pylist(), rows[name].to_pylist(), strict=True)
                    self.columns[name] = {key: NONE if value is None else value for key, value in pairs}

    def where(self, column: str, value: str) -> np.ndarray:
        return np.array([self.columns[column].get(key, NONE) == value for key in self.ids])


def _readable(path: Path) -> Any:
    """The table without those columns of slices that cannot be read: damage there matters to a rule on them alone."""
    names = pq.read_schema(path).names
    for name in set(names) - FIXED:
        try:
            pq.read_table(path, columns=[name])
        except Exception:  # whatever a damaged file runs into
            names.remove(name)
    return pq.read_table(path, columns=names)


def _class_names(rows: Any) -> list[str]:
    meta = rows.schema.metadata or {}
    try:
        names = json.loads(meta[b"pct.class_names"])
    except (KeyError, ValueError):
        raise NoPassError("no class names") from None
    need(meta.get(b"pct.split") == b"test", "not the test split")
    need(isinstance(names, list) and names and all(isinstance(name, str) for name in names), "no class names")
    return names


def _sound(rows: Any, num_classes: int) -> dict[str, tuple[Any, ...]]:
    names = ("sample_id", "label", "prediction")
    need(set(names) <= set(rows.column_names), "a column is missing")
    ids, *values = (rows[name].to_pylist() for name in names)
    # Not every model gives confidences; a rule on what needs them cannot hold then.
    for name in ("confidence", "label_confidence"):
        values.append(rows[name].to_pylist() if name in rows.column_names else [UNKNOWN] * len(ids))
    need(len(set(ids)) == len(ids) > 0 and all(isinstance(item, str) and item for item in ids), "ids")
    need(all(type(item) is int and 0 <= item < num_classes for part in values[:2] for item in part), "classes")
    known = [part for part in values[2:] if part[:1] != [UNKNOWN]]
    need(all(isinstance(item, float) and 0 <= item <= 1 for part in known for item in part), "confidences")
    if "logits" in rows.column_names and (rows.schema.metadata or {}).get(b"pct.predictions_stated") != b"true":
        for answer, scores in zip(values[1], rows["logits"].to_pylist(), strict=True):
            need(scores is not None and all(item is not None and math.isfinite(item) for item in scores), "logits")
            need(len(scores) == num_classes and scores[answer] == max(scores), "logits say something else")
    return dict(zip(ids, zip(*values, strict=True), strict=True))


def _policy(policy: Any, seen: Seen, folder: Path) -> None:
    need(isinstance(policy, dict) and set(policy) <= KEYS, "keys")
    need(None not in policy.values(), "an empty key")
    need(policy.get("evaluation", "test") == "test", "evaluation")
    need(isinstance(policy.get("baseline", "production"), str) and policy.get("baseline") != "", "baseline")
    alpha = 1 - number(policy.get("confidence", 0.95))
    need(0 < alpha < 0.5, "confidence")
    rules = policy.get("rules")
    need(isinstance(rules, list) and rules, "no rules")
    _joined(policy, seen, folder)
    costs = _costs(policy, seen)
    for rule in rules:
        _rule(rule, seen, alpha, costs)
    need(any(rule["metric"] not in ("accuracy_old", "ece_old", "nll_old") for rule in rules), "of the baseline alone")
    if "pinned" in policy:
        ids = [row["sample_id"] for row in _csv(policy["pinned"], folder)]
        lost = (seen.answer["old"] == seen.label) & (seen.answer["new"] != seen.label)
        need(set(ids) <= set(seen.ids), "a pinned example is missing")
        need(not set(ids) & set(np.array(seen.ids)[lost]), "a pinned example flips")
    reviews = policy.get("reviews", {})
    need(isinstance(reviews, dict) and set(reviews) <= {"require_acceptance", "count_apart"}, "reviews")
    # Files have no reviewers: nobody has accepted anything, and nothing is set apart.
    need(reviews.get("require_acceptance", False) is False, "nobody accepted")
    apart = reviews.get("count_apart", [])
    need(isinstance(apart, list) and set(apart) <= {"label_error", "accepted_loss"}, "count_apart")


def _csv(section: Any, folder: Path) -> list[dict[str, str]]:
    need(isinstance(section, dict) and set(section) == {"file"} and isinstance(section["file"], str), "file")
    path = folder / section["file"]
    need(path.suffix == ".csv" and path.is_file(), "no such file")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    need(all(row.get("sample_id") for row in rows), "ids of a file")
    return rows


def _joined(policy: dict[str, Any], seen: Seen, folder: Path) -> None:
    if "slices" in policy:
        rows = _csv(policy["slices"], folder)
        for name in set(rows[0]) - {"sample_id"}:
            seen.columns[name] = {row["sample_id"]: row[name] or NONE for row in rows}


def _costs(policy: dict[str, Any], seen: Seen) -> np.ndarray | None:
    given = policy.get("costs")
    if given is None:
        return None
    need(isinstance(given, dict) and given, "costs")
    weights = dict.fromkeys(seen.classes, 1.0)
    for name, cost in given.items():
        need(not isinstance(name, bool) and str(name) in weights and number(cost) >= 0, "costs")
        weights[str(name)] = number(cost)
    return np.array([weights[seen.classes[label]] for label in seen.label])


def _text(value: Any) -> str:
    need(isinstance(value, str | int | float) and not isinstance(value, bool) and value != "", "no name")
    return str(value)


def _rule(rule: Any, seen: Seen, alpha: float, costs: np.ndarray | None) -> None:
    need(isinstance(rule, dict) and set(rule) <= RULE_KEYS, "keys of a rule")
    need(None not in rule.values(), "an empty key of a rule")
    need(("max" in rule) != ("min" in rule) and isinstance(rule.get("metric"), str), "limit")
    side = "max" if "max" in rule else "min"
    bound = rule.get("bound", "upper" if side == "max" else "lower")
    need(bound in ("point", "upper" if side == "max" else "lower"), "bound")
    least = number(rule.get("min_support", 1))
    need(least >= 1 and least == int(least), "min_support")
    limit = number(rule[side])
    _check_limit(rule["metric"], side, limit)
    needed = (getattr(seen, name)[of] for name, of in NEEDS.get(rule["metric"], []))
    need(not any((values == UNKNOWN).any() for values in needed), "not available")
    judged = 0
    parts, by_name = _scopes(rule, seen)
    for mask, is_none in parts:
        if mask.sum() < least:
            need(not by_name, "too few examples of what is named")
            continue
        judged += not is_none
        _one(rule["metric"], side, limit, seen, mask, 0.0 if bound == "point" else alpha, costs)
    need(judged, "nothing is judged")


def _check_limit(metric: str, side: str, limit: float) -> None:
    low = -1.0 if metric == "accuracy_change" else 0.0
    high = math.inf if metric in ("relative_nfr", "nll_old", "nll_new") else 1.0
    need(low <= limit <= high, "limit out of range")
    need(limit != (high if side == "max" else low), "a limit that lets anything pass")
    flips = ("nfr", "nfi", "nfr_mc", "type_1_flips", "type_2_flips")
    need(side == "max" or not (metric in flips or metric.endswith("_nfr")), "asks for flips")


def _scopes(rule: dict[str, Any], seen: Seen) -> tuple[list[tuple[np.ndarray, bool]], bool]:
    """(which rows, whether these are the ones without a value), and whether all were named."""
    whole = np.ones(len(seen.ids), bool)
    found, by_name = [(whole, False)], True
    if "slice" in rule:
        asked = rule["slice"]
        need(isinstance(asked, dict) and {"column"} <= set(asked) <= {"column", "value"}, "slice")
        column = _text(asked["column"])
        need(column in seen.columns, "no such column")
        present = {seen.columns[column].get(key, NONE) for key in seen.ids}
        if "value" in asked:
            need(_text(asked["value"]) in present, "no such value")
            found = [(seen.where(column, _text(asked["value"])), False)]
        else:
            found, by_name = [(seen.where(column, value), value == NONE) for value in present], False
    classes = rule.get("classes", "all" if rule["metric"] == "class_nfr" else None)
    if classes is not None:
        by_name = by_name and classes != "all"
        need(classes == "all" or (isinstance(classes, list) and classes), "classes")
        names = seen.classes if classes == "all" else [_text(name) for name in classes]
        need(len(set(names)) == len(names) and set(names) <= set(seen.classes), "no such class")
        found = [(mask & (seen.label == seen.classes.index(name)), none) for mask, none in found for name in names]
    return found, by_name


def _one(
    metric: str, side: str, limit: float, seen: Seen, mask: np.ndarray, alpha: float, costs: np.ndarray | None
) -> None:
    """alpha 0: the observed value decides."""
    label, old, new = seen.label[mask], seen.answer["old"][mask], seen.answer["new"][mask]
    was, now = old == label, new == label
    lost, gained, every = was & ~now, now & ~was, np.ones(len(label), bool)
    fall = (seen.target["old"] - seen.target["new"])[mask]
    shares = {
        "accuracy_old": (was, every),
        "accuracy_new": (now, every),
        "nfr": (lost, every),
        "class_nfr": (lost, every),
        "pfr": (gained, every),
        "nfi": (lost, ~now),
        "pfi": (gained, now),
        "btc": (was & now, was),
        "bec_new": (~was & ~now, ~now),
        "bec_old": (~was & ~now, ~was),
        "churn": (old != new, every),
        "nfr_mc": (~now & (old != new), every),
        "type_1_flips": (lost & (fall < 0.1 + 1e-6), every),
        "type_2_flips": (lost & (fall > 0.5 - 1e-6), every),
    }
    if metric in shares:
        part, whole = (int(item.sum()) for item in shares[metric])
        need(whole > 0, "undefined")
        value = part / whole
        # How likely so few (so many) are where the true share is the limit.
        chance = binom.cdf(part, whole, limit) if side == "max" else binom.sf(part - 1, whole, limit)
        holds = chance <= alpha * (1 + 1e-9)
    elif metric == "accuracy_change":
        value = (gained.sum() - lost.sum()) / len(label)
        score = _score(int(gained.sum()), int(lost.sum()), len(label), limit)
        holds = alpha > 0 and (-score if side == "max" else score) >= norm.isf(alpha) - 1e-6
    elif metric == "weighted_nfr":
        need(costs is not None, "no costs")
        weight = costs[mask]
        need(weight.sum() > 0, "undefined")
        value = (weight * lost).sum() / weight.sum()
        need(side == "max", "asks for flips")
        # Fay and Feuer: one more flip of the greatest cost, and a gamma distribution of the same mean and variance.
        mean = (value * weight.sum() + weight.max()) / weight.sum()
        variance = ((weight**2 * lost).sum() + weight.max() ** 2) / weight.sum() ** 2
        holds = limit >= 1 or gamma.sf(limit, mean**2 / variance, scale=variance / mean) <= alpha * (1 + 1e-9)
    else:
        need(alpha == 0, "no bounds")
        value, holds = _mean(metric, seen, mask, lost, was, now), False
    inside = value <= limit if side == "max" else value >= limit
    need(inside if alpha == 0 else holds, f"{metric} is outside")


def _mean(metric: str, seen: Seen, mask: np.ndarray, lost: np.ndarray, was: np.ndarray, now: np.ndarray) -> float:
    side = metric[-3:]
    if metric == "relative_nfr":
        need(was.any() and not now.all(), "undefined")
        return lost.mean() / (was.mean() * (1 - now.mean()))
    if metric == "fractional_nfr":
        return (lost * (seen.confidence["new"] - seen.target["new"])[mask]).mean()
    if metric in ("nll_old", "nll_new"):
        need((seen.target[side][mask] > 0).all(), "undefined")
        return float(-np.log(seen.target[side][mask]).mean())
    need(metric in ("ece_old", "ece_new"), "unknown metric")
    right, confidence = (was if side == "old" else now), seen.confidence[side][mask]
    place = np.ceil(confidence * 15)
    return sum(abs(right[place == k].sum() - confidence[place == k].sum()) for k in np.unique(place)) / len(right)


def _score(gained: int, lost: int, num: int, change: float) -> float:
    """Tango's standardised distance of the observed change from `change`, by numerical maximum likelihood."""
    low, high = max(0.0, -change) + 1e-12, (1 - change) / 2 - 1e-12

    def loss(share: float) -> float:
        parts = ((lost, share), (gained, share + change), (num - gained - lost, 1 - 2 * share - change))
        return -sum(count * math.log(max(part, 1e-300)) for count, part in parts if count)

    share = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    variance = num * (2 * share + change * (1 - change))
    return (gained - lost - num * change) / math.sqrt(variance)
