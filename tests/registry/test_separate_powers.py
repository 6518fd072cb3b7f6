"""People train into `shoes-candidates`, and only CI may edit `shoes`: on a real server with users."""

from __future__ import annotations

import pytest
from moving_store import locks
from servers import mlflow_server

from pct_mlops.cli import main
from pct_mlops.errors import PctError, RegistryForbiddenError
from pct_mlops.gate.reviews import Review, ReviewKind
from pct_mlops.registry import Registry, add_review, history, promote, release, reviews, verify

ADMIN, PASSWORD = "admin", "a password of twelve"


@pytest.fixture
def server(tmp_path, plain, monkeypatch):
    """Its address; whoever is named by the function `login` speaks to it from then on."""
    ini = tmp_path / "auth.ini"
    ini.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{tmp_path / 'users.db'}\n"
        f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\nauth_cache_ttl_seconds = 60\n"
    )
    settings = {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test"}
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    with mlflow_server(tmp_path, options=("--app-name", "basic-auth"), **settings) as address:
        yield address


@pytest.mark.thorough
def test_who_may_not_edit_the_model_cannot_move_it_and_ci_can(server, monkeypatch, capsys):
    from mlflow.server import get_app_client

    def login(name):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        return Registry(server)

    # What projects/ci/SEPARATION.md says: two accounts, and the model of production belongs to CI.
    login(ADMIN)
    users = get_app_client("basic-auth", tracking_uri=server)
    for name in ("ada", "ci"):
        users.create_user(name, PASSWORD)
    ci = login("ci")
    ci.client.create_registered_model("shoes")
    ada = login("ada")
    ada.client.create_registered_model("shoes-candidates")
    experiment = ada.client.create_experiment("training")
    model_id = ada.client.create_logged_model(experiment, name="m").model_id
    for _ in range(2):
        ada.client.create_model_version("shoes-candidates", f"models:/{model_id}", model_id=model_id)
    first, second = (ada.get("shoes-candidates", number) for number in (1, 2))
    review = Review(ReviewKind.ACCEPT, by="ada", reason="looked at all flips", when="", baseline=None)
    add_review(ada, first, review)

    login("ci")
    one = release(ci, first, "shoes")
    assert (one.name, one.version, one.source) == ("shoes", 1, "models:/shoes-candidates/1")
    assert release(ci, first, "shoes") == one, "copied once"
    assert [item.reason for item in reviews(ci, one)] == ["looked at all flips"]
    made = promote(ci, one, None, verdict="BOOTSTRAP", policy_digest="")
    assert made.who == "ci"
    two = release(ci, second, "shoes")
    promote(ci, two, one, verdict="PASS", policy_digest="")

    login("ada")
    before = state_of(ada)
    refusal = "The tracking server does not let ada move production of shoes: that takes the permission EDIT"
    for attempt in (
        lambda: promote(ada, one, two, verdict="PASS", policy_digest=""),
        lambda: release(ada, ada.get("shoes-candidates", 2), "shoes") and release(ada, three(ada, model_id), "shoes"),
    ):
        with pytest.raises(PctError, match=refusal):
            attempt()
    for words in (("rollback", "shoes", "--reason", "mine was better"), ("verify", "shoes", "--repair")):
        assert main([*words, "--tracking-uri", server]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.splitlines()) == 1, said.err
        assert said.err.startswith(f"Error: {refusal}")
    with pytest.raises(RegistryForbiddenError, match=r"does not allow this \(403, recording the review"):
        add_review(ada, two, review)
    assert state_of(ada) == before
    assert locks(ada) == []
    assert main(["verify", "shoes", "--tracking-uri", server]) == 0

    ci = login("ci")
    assert verify(ci, "shoes").is_right
    assert main(["rollback", "shoes", "--reason", "night images", "--tracking-uri", server]) == 0
    assert [(move.to_version, move.who) for move in history(ci, "shoes")] == [(1, "ci"), (2, "ci"), (1, "ci")]


def three(registry, model_id):
    registry.client.create_model_version("shoes-candidates", f"models:/{model_id}", model_id=model_id)
    return registry.get("shoes-candidates", 3)


def state_of(registry):
    return registry.registered("shoes").aliases, registry.registered("shoes").tags, registry.versions("shoes")
