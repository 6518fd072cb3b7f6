"""Reviews with a version: only ever added, whoever writes at the same moment, however many examples they name."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from moving_store import MODEL, Killed, Unreliable, killed_before, move

from pct_mlops.config import PctError
from pct_mlops.gate.reviews import Mark, Review, ReviewKind, review_state
from pct_mlops.registry import Registry, add_review, release, reviews
from pct_mlops.registry.review_records import MAX_TAG, REVIEW_TAG, SAMPLES_TAG

ACCEPT = Review(ReviewKind.ACCEPT, by="ada", reason="looked at all flips", when="", baseline=1)
MARK = Review(ReviewKind.MARK, by="bo", reason="labels of batch 7", when="", mark=Mark.LABEL_ERROR, samples=("a", "b"))
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


def test_what_was_written_is_read_in_its_order(started):
    version = started.get(MODEL, 2)
    assert reviews(started, version) == ()
    first, second = add_review(started, version, ACCEPT), add_review(started, version, MARK)
    assert reviews(started, version) == (first, second)
    assert first.id != second.id
    assert first.when < second.when
    assert datetime.fromisoformat(first.when).utcoffset().total_seconds() == 0
    assert (first.reason, first.baseline, second.samples) == (ACCEPT.reason, 1, ("a", "b"))
    undo = add_review(started, version, Review(ReviewKind.UNDO, "ada", "too early", "", undoes=first.id))
    found = reviews(started, version)
    assert found == (first, second, undo), "nothing is removed"
    left = review_state(found, baseline=1, now=NOW)
    assert left.decision is None
    assert left.samples(Mark.LABEL_ERROR) == ["a", "b"]
    assert reviews(started, started.get(MODEL, 1)) == ()


def test_long_lists_go_over_several_tags_and_odd_ids_come_back_as_they_were(started):
    version = started.get(MODEL, 2)
    ids = tuple(f"n0{number:08d}/é\"'\\ {number}\t" for number in range(5000))
    made = add_review(started, version, replace(MARK, samples=ids))
    tags = started.get(MODEL, 2).tags
    parts = [value for key, value in tags.items() if key.startswith(SAMPLES_TAG)]
    assert len(parts) >= 3
    assert max(len(part.encode()) for part in parts) <= MAX_TAG
    assert reviews(started, version) == (made,)
    assert made.samples == ids


def test_a_record_is_written_last_so_that_half_of_it_is_none(started):
    version = started.get(MODEL, 2)
    client = started.client
    broken = Registry(started.tracking_uri)
    broken.client = Unreliable(client, at=1, do=killed_before, writes=("set_model_version_tag",))
    with pytest.raises(Killed):
        add_review(broken, version, MARK)
    assert any(key.startswith(SAMPLES_TAG) for key in started.get(MODEL, 2).tags)
    assert reviews(started, version) == ()


def test_reviewers_at_the_same_moment_lose_nothing(started):
    version = started.get(MODEL, 2)
    said = [replace(ACCEPT, by=f"reviewer {number}", when="2030-01-01T00:00:00+00:00") for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda review: add_review(Registry(started.tracking_uri), version, review), said))
    found = reviews(started, version)
    assert sorted(review.by for review in found) == sorted(review.by for review in said)
    assert set(found) == set(made)


def test_what_says_nothing_is_refused(started):
    version = started.get(MODEL, 2)
    for review, says in (
        (replace(ACCEPT, reason=" "), "needs a reason"),
        (replace(MARK, samples=()), "belongs to examples"),
        (replace(ACCEPT, samples=("a",)), "belongs to examples"),
        (Review(ReviewKind.UNDO, "ada", "why", "", undoes="nothing"), "There is no review 'nothing' to undo"),
        (replace(ACCEPT, reason="x" * 70_000), "more than the registry keeps"),
        (replace(MARK, samples=("x" * 70_000,)), "more than the registry keeps"),
    ):
        with pytest.raises(PctError, match=says):
            add_review(started, version, review)
    assert reviews(started, version) == ()


def test_a_record_that_was_tampered_with_is_an_error_and_not_passed_over(started):
    """It may have been a rejection."""
    version, client = started.get(MODEL, 2), started.client
    made = add_review(started, version, MARK)
    part = f"{SAMPLES_TAG}{made.id}.0000"
    kept = started.get(MODEL, 2).tags
    record = json.loads(kept[REVIEW_TAG + made.id])
    changes = ({"expires": "soon"}, {"expires": "2027-01-01T00:00:00"}, {"by": 3}, {"baseline": "one"}, {"more": ""})
    altered = [json.dumps({**record, **change}) for change in changes]
    for key, value in (
        (part, None),
        (part, "[1]"),
        *((REVIEW_TAG + made.id, text) for text in ("{}", "no json", *altered)),
    ):
        if value is None:
            client.delete_model_version_tag(MODEL, "2", key)
        else:
            client.set_model_version_tag(MODEL, "2", key, value)
        with pytest.raises(
            PctError, match=f"The review in the tag {REVIEW_TAG}{made.id} of models:/shoes/2 cannot be read"
        ):
            reviews(started, version)
        client.set_model_version_tag(MODEL, "2", key, kept[key])
    assert reviews(started, version) == (made,)


def test_a_copy_carries_reviews_and_is_made_once(started):
    add_review(started, started.get(MODEL, 2), ACCEPT)
    source = started.get(MODEL, 2)
    copy = release(started, source, "sandals")
    assert (copy.name, copy.version, copy.source) == ("sandals", 1, f"models:/{MODEL}/2")
    assert reviews(started, copy) == reviews(started, source)
    assert started.model_id(copy) == started.model_id(source), "its files are those of the source"
    assert release(started, source, "sandals") == copy
    assert release(started, copy, "sandals") == copy
    assert release(started, started.get(MODEL, 1), "sandals").version == 2
    assert copy.aliases == ()
    assert release(started, source, MODEL) == source


def test_a_copy_is_reviewed_with_the_version_that_it_was_made_from(started):
    """What is taken back there, or said later, is about the copy too: it is the same model."""
    source = started.get(MODEL, 2)
    accepted = add_review(started, source, ACCEPT)
    copy = release(started, source, "sandals")
    archived = release(started, copy, "archive")
    undo = add_review(started, source, Review(ReviewKind.UNDO, "ada", "too early", "", undoes=accepted.id))
    rejected = add_review(started, source, replace(ACCEPT, kind=ReviewKind.REJECT, by="bo"))
    for version in (copy, archived):
        assert reviews(started, version) == (accepted, undo, rejected), "each once"
        assert review_state(reviews(started, version), baseline=1, now=NOW).decision == rejected
    own = add_review(started, copy, Review(ReviewKind.UNDO, "cy", "a mistake", "", undoes=rejected.id))
    assert reviews(started, copy)[-1] == own
    assert reviews(started, source) == (accepted, undo, rejected)
    assert reviews(started, source, into="sandals") == reviews(started, copy)
    assert reviews(started, source, into=MODEL) == reviews(started, source, into="nobody") == reviews(started, source)
    for other in ("sandals", "archive"):
        assert reviews(started, started.get(MODEL, 1), into=other) == ()


def test_a_source_that_is_gone_or_another_one_now_says_nothing_of_the_copy(started):
    client = started.client
    client.create_registered_model("shoes-candidates")
    for files in ("m", "n"):
        model_id = client.create_logged_model("0", name=files).model_id
        client.create_model_version("shoes-candidates", f"models:/{model_id}", model_id=model_id)
        anew = started.get("shoes-candidates", 1)
        if files == "m":
            made = add_review(started, anew, ACCEPT)
            copy = release(started, started.get("shoes-candidates", 1), "sandals")
            client.delete_registered_model("shoes-candidates")
            assert reviews(started, copy) == (made,), "what it was copied with"
            client.create_registered_model("shoes-candidates")
    add_review(started, anew, replace(ACCEPT, kind=ReviewKind.REJECT))
    assert copy.source == anew.uri
    assert reviews(started, copy) == (made,)
    assert [review.kind for review in reviews(started, anew, into="sandals")] == [ReviewKind.REJECT]


def test_two_who_release_at_once_make_one_copy(started):
    source = started.get(MODEL, 2)
    with ThreadPoolExecutor(3) as pool:
        copies = list(pool.map(lambda _: release(Registry(started.tracking_uri), source, "sandals"), range(3)))
    assert {copy.version for copy in copies} == {1}
    assert len(started.versions("sandals")) == 1
    move(started, 2, 1)
