from __future__ import annotations

import pytest
import torch
from scipy.special import chdtrc

from pct_mlops.config import AugmentConfig
from pct_mlops.data.views import apply_batch, apply_one, cut, draw_views, generator, pad


def p_value_of_uniform(values: torch.Tensor, count: int) -> float:
    """Chi-square test that values 0 .. count - 1 are equally likely."""
    observed = torch.bincount(values, minlength=count).double()
    expected = len(values) / count
    return float(chdtrc(count - 1, float(((observed - expected) ** 2 / expected).sum())))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 13)])
@pytest.mark.parametrize(
    "augment",
    [
        AugmentConfig(),
        AugmentConfig(padding=1, flip=False),
        AugmentConfig(padding=0),
        AugmentConfig(crop="none"),
        AugmentConfig(crop="none", flip=False),
    ],
)
def test_a_batch_at_once_equals_one_by_one(augment: AugmentConfig, shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (40, *shape), dtype=torch.uint8)
    params = draw_views(augment, 40, generator(3), *shape[1:])
    batch = apply_batch(images, params)
    singles = [apply_one(image, params.row(row), params.padding) for row, image in enumerate(images)]
    assert batch.dtype == torch.uint8
    assert torch.equal(batch, torch.stack(singles))
    assert torch.equal(batch, images) == (not augment.flip and not params.padding)


def test_a_view_by_hand() -> None:
    image = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)
    params = draw_views(AugmentConfig(padding=1, flip=True), 1, generator(0), 3, 3)
    params.box[:] = torch.tensor([[0, 2, 3, 3]])
    params.flip[:] = True
    assert apply_batch(image, params)[0, 0].tolist() == [[0, 0, 0], [0, 3, 2], [0, 6, 5]]


def test_cut_takes_rows_of_images_padded_before() -> None:
    images = torch.randint(0, 256, (9, 3, 6, 6), dtype=torch.uint8)
    rows = torch.tensor([8, 0, 0, 5])
    params = draw_views(AugmentConfig(padding=2), 4, generator(1), 6, 6)
    assert torch.equal(cut(pad(images, 2), rows, params), apply_batch(images[rows], params))


def test_pad_offsets_are_uniform_and_independent_and_half_are_mirrored() -> None:
    params = draw_views(AugmentConfig(padding=4), 40_000, generator(11), 28, 28)
    assert p_value_of_uniform(params.top, 9) > 1e-3
    assert p_value_of_uniform(params.left, 9) > 1e-3
    assert p_value_of_uniform(params.top * 18 + params.left * 2 + params.flip, 9 * 9 * 2) > 1e-3
    assert abs(float(params.flip.float().mean()) - 0.5) < 0.01


def test_without_padding_or_flip_nothing_moves() -> None:
    params = draw_views(AugmentConfig(crop="none", flip=False), 100, generator(1), 8, 8)
    assert not params.top.any()
    assert not params.left.any()
    assert not params.flip.any()


def test_random_resized_boxes_lie_inside_with_the_promised_area_and_ratio() -> None:
    params = draw_views(AugmentConfig(crop="random_resized"), 20_000, generator(5), 224, 224)
    top, left, height, width = params.box.T
    assert int(top.min()) >= 0
    assert int(left.min()) >= 0
    assert int((top + height).max()) <= 224
    assert int((left + width).max()) <= 224
    area, ratio = (height * width) / 224**2, width / height
    assert 0.078 < float(area.min()) < 0.1
    assert float(area.max()) > 0.97
    assert 0.73 < float(ratio.min()) < 0.76
    assert 1.32 < float(ratio.max()) < 1.36
    # A box that does not fit is drawn again, so large boxes are rarer than small ones: torchvision's law.
    from torchvision.transforms.v2 import RandomResizedCrop

    crop = RandomResizedCrop(224)
    image = torch.zeros(1, 224, 224)
    areas = [params["height"] * params["width"] / 224**2 for params in (crop.make_params([image]) for _ in range(4000))]
    assert abs(float(area.mean()) - sum(areas) / 4000) < 0.015  # about 3 standard errors


def test_random_resized_falls_back_to_the_centre_of_a_long_image() -> None:
    params = draw_views(AugmentConfig(crop="random_resized", flip=False), 200, generator(5), 10, 1000)
    fallback = params.box[params.box[:, 2] == 10]
    assert len(fallback) > 0
    assert torch.equal(fallback, torch.tensor([[0, 493, 10, 13]]).expand(len(fallback), 4))


def test_random_resized_views_have_the_image_s_size_and_are_made_one_by_one() -> None:
    images = torch.randint(0, 256, (4, 3, 20, 16), dtype=torch.uint8)
    params = draw_views(AugmentConfig(crop="random_resized"), 4, generator(2), 20, 16)
    for row, image in enumerate(images):
        assert apply_one(image, params.row(row), params.padding, params.resized).shape == (3, 20, 16)
    with pytest.raises(ValueError, match="apply_one"):
        apply_batch(images, params)


def test_generators_depend_on_their_key_alone() -> None:
    first = torch.rand(5, generator=generator("views", 1, 2, 3))
    torch.rand(100)
    assert torch.equal(first, torch.rand(5, generator=generator("views", 1, 2, 3)))
    keys = [("views", 1, 2, 3), ("views", 1, 3, 2), ("views", 12, 3), ("order", 1, 2, 3), ("views", 0, 2, 3)]
    assert len({float(torch.rand(1, generator=generator(*key))) for key in keys}) == len(keys)
