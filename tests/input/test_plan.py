"""The plan against its definition: every image once an epoch, inside the borders, a function of the position."""

import numpy as np
import pytest

from jaxseg.input.placement import Placement
from jaxseg.input.plan import CropPlan, steps_of

SIZES = np.array([[100, 130], [64, 64], [40, 200], [90, 70], [300, 65]])


def make_plan(images: tuple[int, ...] = (0, 1, 3, 4), batch: int = 3, **changes: object) -> CropPlan:
    options = {"crop": 64, "rotate": True, "stream": ("glas", 0)} | changes
    return CropPlan(np.array(images), SIZES, batch, **options)  # type: ignore[arg-type]


def test_every_epoch_shows_every_image_once_across_batches() -> None:
    plan = make_plan()
    shown = np.concatenate([plan.placement(position).image for position in range(8)])  # 24 crops, 6 epochs
    for epoch in shown.reshape(6, 4):
        assert sorted(epoch) == [0, 1, 3, 4]
    assert len({tuple(epoch) for epoch in shown.reshape(6, 4)}) > 1


def test_every_stream_has_orders_of_its_own() -> None:
    first, other, same = (
        np.concatenate([make_plan(stream=("glas", repeat)).placement(position).image for position in range(8)])
        for repeat in (0, 1, 0)
    )
    assert (first != other).any()
    assert (first == same).all()


def test_a_batch_larger_than_an_epoch() -> None:
    plan = make_plan(images=(2, 3), batch=7)
    shown = np.concatenate([plan.placement(position).image for position in range(2)])
    assert all(sorted(pair) == [2, 3] for pair in shown.reshape(7, 2))


def test_upright_crops_lie_on_whole_pixels_within_the_image() -> None:
    plan = make_plan(rotate=False, batch=64)
    placed = plan.placement(0)
    corner = placed.centre - 31.5
    assert (corner == np.round(corner)).all()
    assert (corner >= 0).all()
    assert (corner + 64 <= SIZES[placed.image]).all()
    assert set(np.unique(placed.matrix)) == {-1.0, 0.0, 1.0}


def test_places_reach_both_borders() -> None:
    plan = make_plan(images=(0,), rotate=False, batch=2000)
    corner = plan.placement(0).centre - 31.5
    assert corner.min(0).tolist() == [0, 0]
    assert corner.max(0).tolist() == [36, 66]


def test_an_image_smaller_than_a_crop_lies_in_its_middle() -> None:
    rows, columns = make_plan(images=(2,)).placement(0).centre.T  # 40 pixels high, 200 wide
    assert (rows == 19.5).all()
    assert ((columns >= 31.5) & (columns <= 200 - 32.5)).all()


def test_an_image_is_cut_at_another_place_in_every_batch() -> None:
    plan = make_plan(images=(0,), batch=1)
    assert len({(each.centre.tobytes(), each.matrix.tobytes()) for each in map(plan.placement, range(20))}) == 20


def test_matrices_are_rotations_with_flips() -> None:
    matrix = make_plan(batch=512).placement(0).matrix.astype(np.float64)
    assert np.allclose(matrix @ matrix.transpose(0, 2, 1), np.eye(2), atol=1e-6)
    assert 0.4 < (np.linalg.det(matrix) > 0).mean() < 0.6
    angles = np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])
    assert (np.histogram(angles, 8, (-np.pi, np.pi))[0] > 30).all()


def test_the_iterator_resumes_where_it_was() -> None:
    plan = make_plan()
    iterator = plan.iterate()
    for _ in range(5):
        next(iterator)
    state = iterator.get_state()
    expected = next(iterator)
    resumed = make_plan().iterate(state["next_index"])
    for found, wanted in zip(next(resumed), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_nothing_is_drawn_beyond_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    placement = CropPlan.placement

    def noted(plan: CropPlan, position: int) -> Placement:
        drawn.append(position)
        return placement(plan, position)

    monkeypatch.setattr(CropPlan, "placement", noted)
    assert len(list(make_plan().iterate(3, end=8))) == 5
    assert sorted(set(drawn)) == [3, 4, 5, 6, 7]


def test_streams_differ_by_name() -> None:
    first, second = make_plan().placement(0), make_plan(stream=("glas", 1)).placement(0)
    assert not np.array_equal(first.centre, second.centre)


@pytest.mark.parametrize(("epochs", "images", "batch", "steps"), [(1, 68, 16, 5), (4000, 7, 16, 1750), (3, 5, 5, 3)])
def test_steps_of(epochs: int, images: int, batch: int, steps: int) -> None:
    assert steps_of(epochs, images, batch) == steps
