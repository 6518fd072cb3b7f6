"""Each option of the original research code has its place here, row by row: names that are listed, recipe keys."""

from __future__ import annotations

import pytest

from pct_mlops.cli import main
from pct_mlops.config import PctError, Recipe

LOSSES = ["none", "kl", "l2", "ldi", "elodi", "cna", "bct", "naive", "ldi+cna", "renyi", "rce", "fa", "rp", "mixture"]
RESNETS = ["18", "34", "50", "101", "152"]
MODELS = [
    "alexnet",
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    *(f"resnet{depth}" for depth in RESNETS),
    *(f"aux_resnet{depth}" for depth in RESNETS),
    *(f"mb_resnet{depth}" for depth in RESNETS),
    *(f"resnet{depth}_stodepth" for depth in RESNETS),
    *("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"),
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
    *("googlenet", "inception_v3", "mobilenet_v2", "squeezenet1_0", "squeezenet1_1", "swin_t"),
    *(f"mnasnet{width}" for width in ("0_5", "0_75", "1_0", "1_3")),
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    *("small_resnet18", "small_resnet20", "small_resnet34"),
]
# What the original called it -> how it is said here, as an override of a recipe.
KEYS = {
    "auxiliary outputs at evaluation": "model.aux_eval=max",
    "model_kwargs": "model.kwargs={zero_init_residual: true}",
    "dropout": "model.dropout=0.2",
    "feat_dim": "model.embedding_dim=128",
    "L2-normalised classifier with temperature": "model={name: resnet18, classifier: cosine, temperature: 0.05}",
    "pretrained": "model.weights=DEFAULT",
    "pretrained path, retrain": "model.init=model_best.pth.tar",
    "train linear only": "model={train: head, init: model_best.pth.tar}",
    "re-initialised linear": "model.new_head=true",
    "start-epoch": "optim.start_epoch=1",
    "lr": "optim.lr=0.1",
    "lr_step": "optim={schedule: step, step_epochs: 30, step_gamma: 0.1}",
    "cosine": "optim.schedule=cosine",
    "momentum": "optim.momentum=0.9",
    "weight decay": "optim.weight_decay=1e-4",
    "epochs": "optim.epochs=90",
    "batch size": "optim.global_batch_size=256",
    "workers": "data.num_workers=4",
    "seed of the model": "seed.model=4331",
    "seed of the data": "seed.data=1",
    "seed of the sampler": "seed.sampler=1",
    "auto-scale lr by batch": "optim.reference_batch=256",
    "save-init-checkpoint": "engine.save_init=true",
    "epochs_per_save": "engine.epochs_per_save=5",
    "image list files": "data={name: image_list, root: lists}",
    "ImageFolder": "data={name: image_folder, root: images}",
    "CIFAR": "data.name=cifar100",
    "ten-crop validation": "data.ten_crop=true",
    "kd_model_path, several with weights": "teacher.refs=[{ref: a.pth.tar, weight: 2, arch: resnet18}, {ref: shoes/3}]",
    "kd_model_output": "teacher={kind: stored, table: train.parquet}",
    "kd_likelihood_source": "objective={loss: kl, focus: {name: likelihood, table: weights.csv}}",
    "ce_likelihood": "objective.ce_weights=weights.csv",
    "kd_alpha": "objective={loss: kl, mix: 0.9}",
    "bct_loss_weight, bct_eval_alpha": "objective={loss: bct, weight: 1.0, distance: {name: bct, alpha: 0.5}}",
    "single fc": "objective={loss: bct, distance: {name: bct, single_head: true}}",
    "logits memory bank": "teacher={kind: self_ema, momentum: 0.9}",
    "label smoothing": "objective.label_smoothing=0.1",
    "class weights": "objective.class_weights=balanced",
    "binary cross-entropy": "objective.cross_entropy=binary",
    "mixup": "data.augment.mixup=0.2",
    "cutmix": "data.augment.cutmix=1.0",
}


def listed(kind, capsys):
    assert main(["list", kind]) == 0
    return {line.split()[0] for line in capsys.readouterr().out.splitlines()}


def test_every_loss_is_listed(capsys):
    assert set(LOSSES) <= listed("losses", capsys)


def test_every_architecture_is_listed(capsys):
    assert set(MODELS) - listed("models", capsys) == set()


@pytest.mark.parametrize("option", KEYS)
def test_every_option_has_a_key(option, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model_name: shoes\n")
    key, _, value = KEYS[option].partition("=")
    before, after = Recipe.read(recipe), Recipe.read(recipe, [KEYS[option]])
    assert after.model_dump() != before.model_dump() or value in ("0.1", "0.9", "cosine"), f"{key} changes nothing"


def _flags(model, path=()):
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if hasattr(type(value), "model_fields"):
            yield from _flags(value, (*path, name))
        elif field.annotation is bool:
            yield ".".join((*path, name))


def test_every_flag_can_be_switched_on_and_off(tmp_path):
    """The original had flags that were on whatever was typed."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model_name: shoes\ndata: {views: 2}\n")
    flags = list(_flags(Recipe.read(recipe)))
    assert len(flags) >= 8
    for flag in flags:
        for text, expected in (("true", True), ("false", False)):
            value = Recipe.read(recipe, [f"{flag}={text}"])
            for part in flag.split("."):
                value = getattr(value, part)
            assert value is expected, flag


def test_an_option_that_does_not_exist_is_named(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model_name: shoes\n")
    with pytest.raises(PctError, match=r"unknown key 'optim\.lr_step' \(did you mean"):
        Recipe.read(recipe, ["optim.lr_step=30"])
