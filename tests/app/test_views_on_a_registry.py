"""The explorer over a registry alone: pickers, defaults, images, and every state in which there is nothing to show."""

from __future__ import annotations

from pct_mlops.explorer.queries import flip_causes, pairs
from pct_mlops.predictions import Predictions


def open_on(explore, shelf, *arguments, **query):
    return explore("--tracking-uri", shelf.uri, *arguments, **query)


def test_production_against_candidate_is_the_default_and_stands_in_the_address(explore, shelf):
    app = open_on(explore, shelf, "--model", "pets")

    assert not app.exception
    assert (app.selectbox(key="old").value, app.selectbox(key="new").value) == ("2", "3")
    assert app.selectbox(key="old").options[2] == "2 · production"
    assert dict(app.query_params) == {"model": "pets", "old": "2", "new": "3"}


def test_when_the_candidate_is_production_the_version_before_it_is_old(explore, shelf):
    app = open_on(explore, shelf, model="settled")

    assert (app.selectbox(key="old").value, app.selectbox(key="new").value) == ("1", "2")


def test_images_come_from_the_registry(explore, shelf, html_of):
    app = open_on(explore, shelf, view="examples", model="pets")

    assert html_of(app).count("data:image/png;base64,") > 0


def test_the_recorded_verdict_shows_only_for_the_baseline_it_was_given_on(explore, shelf):
    app = open_on(explore, shelf, model="pets", old="2", new="3")
    assert "FAIL" in app.error[0].value

    app = open_on(explore, shelf, model="pets", old="1", new="3")
    assert not app.error
    assert "no policy was given" in app.info[0].value


def test_what_retraining_alone_flips_stands_beside_the_rate(explore, shelf, files):
    from pct_mlops.registry import Floor, Registry, store_floor

    digest = Predictions.load(files[1]).info.digest
    floor = Floor(digest, 5, 0.0123, 0.001, 0.02, (0.0123,), "recipe", True, 2, "2026-01-01T00:00:00+00:00", "run")
    store_floor(Registry(shelf.uri), "settled", floor)
    app = open_on(explore, shelf, model="settled")
    assert any("retraining alone flips 1.23%" in caption.value.replace("\\", "") for caption in app.caption)

    app = open_on(explore, shelf, model="pets")
    assert not any("retraining alone" in caption.value for caption in app.caption), "measured for another model"


def keep_floor(shelf, folder, name, old, members):
    """A floor of version 1 with a run of its own, and how many of its members are right on each example."""
    from pct_mlops.predictions.member_counts import save_counts
    from pct_mlops.registry import FLOOR_FOLDER, MEMBERS_FILE, Floor, Registry, store_floor

    run = shelf.client.create_run(shelf.experiment).info.run_id
    if members:
        save_counts(old, members, folder / MEMBERS_FILE)
        shelf.client.log_artifact(run, str(folder / MEMBERS_FILE), FLOOR_FOLDER)
    floor = Floor(old.info.digest, 2, 0.01, None, 0.02, (0.01,), "recipe", True, 1, "2026-01-01T00:00:00+00:00", run)
    store_floor(Registry(shelf.uri), name, floor)
    # The page looks for a floor every few seconds only.
    for cached in (flip_causes.retrainings_of, flip_causes.cause_words, pairs.floor_of):
        cached.clear()


def captions(app):
    return " ".join(caption.value.replace("\\", "") for caption in app.caption)


def test_noise_is_told_from_systematic_flips(explore, shelf, files, tmp_path, truth, make_table):
    old, new = map(Predictions.load, files)
    shelf.add("noisy", old, "production")
    shelf.add("noisy", new, "candidate")
    hint = "'pct floor noisy/1' tells which negative flips are noise"
    assert hint in captions(open_on(explore, shelf, model="noisy"))
    app = open_on(explore, shelf, view="examples", model="noisy", cause="noise")
    assert "The link asks for cause" in app.warning[0].value.replace("\\", "")

    flips = [i for i in range(len(truth.ids)) if truth.old[i] == truth.labels[i] != truth.new[i]]
    wrong = truth.labels.copy()
    wrong[flips[:7]] = truth.new[flips[:7]]
    members = [make_table(truth.ids, truth.labels, answers, 5) for answers in (truth.labels, wrong)]
    keep_floor(shelf, tmp_path, "noisy", old, members)
    text = captions(open_on(explore, shelf, model="noisy"))
    assert f"Of {len(flips)} negative flips 7 are noise (at least one of 2 retrainings is wrong there too)" in text
    assert hint not in text

    for cause, number in (("noise", 7), ("systematic", len(flips) - 7)):
        app = open_on(explore, shelf, view="examples", model="noisy", cause=cause)
        assert not app.exception
        assert any(f"**{number}** found" in item.value for item in app.markdown)
        assert app.query_params["cause"] == cause
    app = open_on(explore, shelf, view="examples", model="noisy", sort="flip_risk")
    assert not app.exception

    keep_floor(shelf, tmp_path, "noisy", old, [])
    assert "run 'pct floor' again" in captions(open_on(explore, shelf, model="noisy"))


def test_choosing_another_model_starts_with_its_own_versions(explore, shelf):
    app = open_on(explore, shelf, model="pets", old="1", new="4")

    app.selectbox(key="model").select("settled").run()

    assert not app.exception
    assert dict(app.query_params) == {"model": "settled", "old": "1", "new": "2"}


def test_versions_stay_chosen_on_the_next_view(explore, shelf):
    app = open_on(explore, shelf, model="pets", old="1", new="4")

    app.switch_page("views/classes.py").run()

    assert (app.selectbox(key="old").value, app.selectbox(key="new").value) == ("1", "4")


def test_references_on_the_command_line_fix_the_pair(explore, shelf):
    app = open_on(explore, shelf, "pets@production", "pets/4")

    assert not app.exception
    assert not app.selectbox
    assert "pets version 2" in app.caption[0].value.replace("\\", "")


def test_one_version_says_that_two_are_needed(explore, shelf):
    app = open_on(explore, shelf, model="single")

    assert not app.exception
    assert "needs two" in app.info[0].value


def test_the_same_version_twice_asks_for_another(explore, shelf):
    app = open_on(explore, shelf, model="pets", old="3", new="3")

    assert not app.exception
    assert "same version" in app.info[0].value
    assert app.selectbox(key="old")


def test_an_empty_registry_says_how_to_begin(explore, make_shelf):
    app = open_on(explore, make_shelf())

    assert not app.exception
    assert "no models yet" in app.info[0].value
