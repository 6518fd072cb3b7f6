"""Which trainings a sweep consists of: names, controls, seeds, teachers, and what is refused. Nothing is trained."""

from __future__ import annotations

import pytest

from pct_mlops.config import PctError, Recipe
from pct_mlops.losses import PRESETS, build_objective
from pct_mlops.losses.focuses import AllExamples, OldCorrect, Shuffled
from pct_mlops.workflows.studies.plan import (
    FIRST_SEED,
    chosen_losses,
    digest,
    num_seeds,
    plan_members,
    plan_methods,
    weighed,
    with_contents,
)
from pct_mlops.workflows.training.preset_sections import with_preset

RECIPE = Recipe(model_name="digits", objective={"label_smoothing": 0.1}, seed={"model": 5, "data": 7, "sampler": 6})
OLD = "models:/digits/1"


def methods(losses, recipe=RECIPE, *, warm_start=False, controls=False):
    return plan_methods(recipe, chosen_losses(losses, list(PRESETS)), warm_start=warm_start, controls=controls)


def members(losses, recipe=RECIPE, seeds=1, **options):
    planned = methods(losses, recipe, **options)
    return plan_members(recipe, planned, seeds, purpose="sweep", old_uri=OLD)


def with_parts(**sections):
    """The recipe with single keys of sections changed, checked as a file would be."""
    data = RECIPE.model_dump()
    return Recipe.model_validate({**data, **{name: {**data[name], **keys} for name, keys in sections.items()}})


def test_the_head_alone_is_trained_where_the_loss_brings_the_other_weights():
    assert (
        with_preset(with_parts(objective={"loss": "update"}, model={"train": "head"})).model.starts_from == "production"
    )
    with pytest.raises(PctError, match=r"model\.train=head freezes all other weights: give them with model\.init or"):
        with_preset(with_parts(model={"train": "head"}))


def test_names():
    assert chosen_losses(" none, kl,,none ", list(PRESETS)) == ("none", "kl")
    assert chosen_losses("all", list(PRESETS)) == tuple(PRESETS)


@pytest.mark.parametrize("text", [None, "", " , "])
def test_no_name_is_refused(text):
    with pytest.raises(PctError, match="--losses names no loss"):
        chosen_losses(text, list(PRESETS))


def test_an_unknown_name_is_refused_with_the_closest():
    with pytest.raises(PctError, match="Unknown loss 'ldl': choose one of ldi"):
        chosen_losses("none,ldl", list(PRESETS))


def test_numbers_of_seeds():
    assert (num_seeds("3"), num_seeds(2, least=2)) == (3, 2)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "", "1001", "²"])
def test_impossible_numbers_of_seeds_are_refused(text):
    with pytest.raises(PctError, match="--seeds should be a whole number from 1 to 1,000"):
        num_seeds(text)
    with pytest.raises(PctError, match="from 2 to"):
        num_seeds("1", least=2)


def test_controls_follow_each_focal_loss():
    assert [method.name for method in methods("none,naive,kl,ldi,cna", controls=True)] == [
        *("none", "naive", "naive, no focus", "naive, shuffled focus"),
        *("kl", "kl, no focus", "kl, shuffled focus", "ldi", "cna", "cna, no focus", "cna, shuffled focus"),
    ]
    assert [method.name for method in methods("kl,none", warm_start=True)] == [
        *("kl", "kl, warm start", "none", "none, warm start")
    ]


def test_the_controls_of_a_start_from_production():
    assert [method.name for method in methods("none,update,ldi", controls=True)] == [
        *("none", "none, 1.5 x epochs", "update", "update, cold start", "ldi")
    ]
    assert [method.name for method in methods("none,update,ldi", warm_start=True)] == [
        *("none", "none, warm start", "update", "ldi", "ldi, warm start")
    ]
    assert [method.name for method in methods("none,ldi", controls=True)] == ["none", "ldi"]
    none, longer, update, cold, ldi = members("none,update,ldi", controls=True)
    assert [one.recipe.model.starts_from for one in (none, longer, update, cold, ldi)] == [None, None, OLD, None, None]
    assert (longer.recipe.optim.epochs, update.recipe.optim.epochs) == (6, RECIPE.optim.epochs) == (6, 4)
    assert (update.recipe.objective, update.recipe.teacher) == (cold.recipe.objective, cold.recipe.teacher)


@pytest.mark.parametrize("given", [{"init": "digits/3"}, {"init": "random"}, {"weights": "DEFAULT"}])
def test_a_start_that_the_recipe_names_replaces_the_one_that_a_preset_brings(given):
    (member,) = members("update", with_parts(model=given))
    assert member.recipe.model == with_parts(model=given).model


@pytest.mark.parametrize("loss", ["naive", "kl", "l2"])
def test_controls_are_what_they_say(loss):
    itself, even, shuffled = (weighed(method, 0.75) for method in methods(loss, controls=True))
    focus, distance = build_objective(itself.objective).focus, build_objective(itself.objective).distance
    assert isinstance(focus, OldCorrect)
    built = build_objective(even.objective)
    assert isinstance(built.focus, AllExamples)
    assert built.focus.base == focus.base + 0.75 * focus.scale, "the weight that the focus gives in the mean"
    assert type(built.distance) is type(distance)
    built = build_objective(shuffled.objective)
    assert isinstance(built.focus, Shuffled)
    assert isinstance(built.focus.of, OldCorrect)
    assert (built.focus.base, built.focus.scale) == (focus.base, focus.scale)
    assert (built.weight, built.mix) == (
        build_objective(itself.objective).weight,
        build_objective(itself.objective).mix,
    )


def test_a_condition_on_the_new_model_has_no_equal_total_weight():
    recipe = RECIPE.model_copy(
        update={"objective": RECIPE.objective.model_copy(update={"loss": "kl", "focus": {"name": "new_incorrect"}})}
    )
    assert [method.control for method in methods("kl", recipe, controls=True)] == ["", "shuffled focus"]


def test_the_recipes_numbers_are_those_of_its_own_loss_only():
    own = {"loss": "kl", "distance": {"temperature": 4.0}, "label_smoothing": 0.1}
    recipe = RECIPE.model_copy(update={"objective": type(RECIPE.objective)(**own)})
    kl, ldi = methods("kl,ldi", recipe)
    assert build_objective(kl.objective).distance.temperature == 4.0
    assert ldi.objective.distance is None
    assert (kl.objective.label_smoothing, ldi.objective.label_smoothing) == (0.1, 0.1)
    wrong = type(RECIPE.objective)(loss="ldi", distance={"margn": 1})
    with pytest.raises(PctError, match="margn"):
        methods("none,ldi", recipe.model_copy(update={"objective": wrong}))


def test_seeds_change_the_model_and_the_order_and_never_the_data():
    planned = members("none,kl", seeds=3)
    assert [member.title for member in planned] == [
        f"{m}, seed {FIRST_SEED + i}" for m in ("none", "kl") for i in range(3)
    ]
    for member in planned:
        seed = member.recipe.seed
        assert (seed.model, seed.sampler, seed.data) == (member.seed, member.seed, 7)
        assert member.recipe.data == RECIPE.data
        assert member.recipe.optim == RECIPE.optim
    assert len({member.key for member in planned}) == 6
    assert [member.key for member in members("none,kl", seeds=3)] == [member.key for member in planned]


def test_the_teacher_is_production_by_its_number():
    none, kl = members("none,kl")
    assert none.recipe.teacher.ref is None, "a loss without teacher is the same whatever production is"
    assert kl.recipe.teacher.ref == OLD
    warm = members("none", warm_start=True)[1]
    assert (warm.recipe.model.init, warm.recipe.objective.loss) == (OLD, "none")


def test_a_preset_that_brings_teachers_keeps_them():
    recipe = RECIPE.model_copy(update={"teacher": RECIPE.teacher.model_copy(update={"ref": "digits/3"})})
    for one in (RECIPE, recipe):
        (member,) = members("elodi", one)
        assert (member.recipe.teacher.ref, member.recipe.teacher.num_members) == (None, 8)
        (member,) = members("mixture", one)
        assert [part.ref for part in member.recipe.teacher.refs] == [OLD]
        assert (member.recipe.teacher.ref, member.recipe.teacher.num_members) == (None, 1)
    (member,) = members("ldi", recipe)
    assert member.recipe.teacher.ref == "digits/3"


@pytest.mark.parametrize(
    ("given", "refs", "num_members", "kind"),
    [
        ({"refs": [{"ref": "digits/4", "weight": 2.0}]}, [("digits/4", 2.0)], 0, "models"),
        ({"refs": [{"ref": "production"}], "num_members": 3}, [(OLD, 1.0)], 3, "models"),
        ({"kind": "self_ema"}, [], 0, "self_ema"),
    ],
)
def test_teachers_that_the_recipe_names_replace_those_that_a_preset_brings(given, refs, num_members, kind):
    (member,) = members("elodi", with_parts(teacher=given))
    teacher = member.recipe.teacher
    assert [(part.ref, part.weight) for part in teacher.refs] == refs
    assert (teacher.kind, teacher.ref, teacher.num_members or 0) == (kind, None, num_members)


@pytest.mark.parametrize("loss", ["elodi", "mixture", "ldi", "none", "update", "update+mixture"])
@pytest.mark.parametrize("given", [{}, {"ref": "digits/3"}, {"num_members": 0}, {"refs": [{"ref": "production"}]}])
def test_a_training_changes_nothing_about_a_planned_teacher(loss, given):
    """It looks at what the preset brings once more, when the number of production is in the recipe already."""
    (member,) = members(loss, with_parts(teacher=given))
    again = with_preset(member.recipe)
    assert (again.teacher, again.model) == (member.recipe.teacher, member.recipe.model)


def test_a_floor_keeps_the_teacher_that_the_recipe_names():
    recipe = with_parts(teacher={"ref": "digits/3"}, objective={"loss": "elodi"})
    (member,) = plan_members(recipe, methods("elodi", recipe), 1, purpose="floor", old_uri=OLD, ref_is_old=False)
    assert (member.recipe.teacher.ref, member.recipe.teacher.num_members) == ("digits/3", None)


def test_a_warm_start_begins_with_the_old_weights_and_not_with_published_ones():
    warm = members("none", with_parts(model={"name": "resnet18", "weights": "DEFAULT"}), warm_start=True)[1]
    assert (warm.recipe.model.init, warm.recipe.model.weights) == (OLD, None)
    Recipe.model_validate(warm.recipe.model_dump())


@pytest.mark.parametrize(
    "objective",
    [
        {"class_weights": "balanced"},
        {"ce_weights": "absent.csv"},
        {"loss": "kl", "focus": {"name": "likelihood", "table": "absent.csv"}},
    ],
)
def test_weights_that_data_or_tables_hold_are_not_needed_for_a_plan(objective):
    recipe = with_parts(objective=objective)
    planned = members("none,kl", recipe, controls=True)
    for member in planned:
        for key in ("class_weights", "ce_weights"):
            assert getattr(member.recipe.objective, key) == getattr(recipe.objective, key)
    if "focus" in objective:
        assert [member.method.name for member in planned] == ["none", "kl"]
        assert planned[1].recipe.objective.focus == objective["focus"]


def test_a_digest_is_about_results_and_not_about_how_they_come():
    engine = RECIPE.engine.model_copy(update={"checkpoint_steps": 5, "eval_batch_size": 7})
    assert digest(RECIPE) == digest(RECIPE.model_copy(update={"engine": engine}))
    how = with_parts(engine={"epochs_per_save": 2, "save_init": True}, data={"num_workers": 5, "memory_cap_gb": 0})
    assert digest(RECIPE) == digest(how)
    assert digest(RECIPE, seeds=False) == digest(how, seeds=False)
    other = RECIPE.model_copy(update={"seed": RECIPE.seed.model_copy(update={"model": 9})})
    assert digest(RECIPE) != digest(other)
    assert digest(RECIPE, seeds=False) == digest(other, seeds=False)
    split = RECIPE.model_copy(update={"seed": RECIPE.seed.model_copy(update={"data": 9})})
    assert digest(RECIPE, seeds=False) != digest(split, seeds=False)


def test_a_key_is_about_contents_too():
    (member,) = members("kl")
    keys = {with_contents(member, *given).key for given in (["a", "b"], ["a", "c"], ["b", "a"], ["a"])} | {member.key}
    assert len(keys) == 5
    assert all(len(key) == 64 for key in keys)
    assert with_contents(member, "a").key == with_contents(member, "a").key


def test_the_checkpoint_folder_is_left_as_given(tmp_path):
    """Each training makes a folder of its own in it, and members of one teacher are found there by all."""
    recipe = with_parts(engine={"checkpoint_dir": tmp_path})
    assert {member.recipe.engine.checkpoint_dir for member in members("none", recipe, seeds=2)} == {tmp_path}
    assert members("none")[0].recipe.engine.checkpoint_dir is None


def test_what_belongs_to_a_warm_start_does_not_reach_controls_and_teachers():
    from pct_mlops.workflows.training.ensemble_members import member_recipe

    recipe = with_parts(objective={"loss": "update", "nfr_target": 0.01}, model={"init": "digits/3", "train": "head"})
    planned = members("none,update", recipe, controls=True)
    targets = {member.method.name: member.recipe.objective.nfr_target for member in planned}
    assert targets == {"none": None, "none, 1.5 x epochs": None, "update": 0.01, "update, cold start": None}
    cold = planned[-1].recipe.model
    assert (cold.starts_from, cold.train) == (None, "all")
    assert member_recipe(recipe, 1).objective.nfr_target is None


@pytest.mark.parametrize(("mode", "expected"), [(None, "auto"), ("same", "same"), ("grow", "grow")])
def test_a_mode_that_the_recipe_names_stays(mode, expected):
    model = {"name": "small_resnet8", **({"init_mode": mode} if mode else {})}
    recipe = Recipe.model_validate({"model_name": "digits", "objective": {"loss": "update"}, "model": model})
    assert (with_preset(recipe).model.init, with_preset(recipe).model.init_mode) == ("production", expected)
