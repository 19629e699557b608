import numpy as np
from fabricated_study import FakeImages, FakeModel, fake_images

from jaxseg.analysis.feature_vectors import LAYERS, chosen_runs, collect, draw_patches, pooled
from jaxseg.analysis.scores import read_results


def test_patches_come_from_inside_the_images_in_equal_shares():
    tests = {name: fake_images(name) for name in ("tissue_a", "tissue_b")}
    for images in tests.values():
        np.clip(images.pixels, 1, 255, out=images.pixels)
        for i, (height, width) in enumerate(images.sizes):
            images.pixels[i, height:], images.pixels[i, :, width:] = 0, 0
    patches = draw_patches(tests, 64, 31)
    assert patches.pixels.shape == (31, 64, 64, 3)
    assert patches.pixels.min() >= 1  # no padding
    assert [int((patches.tested_on == name).sum()) for name in tests] == [16, 15]
    np.testing.assert_array_equal(patches.pixels, draw_patches(tests, 64, 31).pixels)
    assert len(np.unique(patches.pixels.reshape(31, -1), axis=0)) > 20


def test_small_images_are_continued_by_reflection():
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(1, 4, 5, 3)
    images = FakeImages(pixels, np.zeros((1, 4, 5), np.uint8), np.array([[4, 5]]), ("only",))
    patch = draw_patches({"small": images}, 8, 1).pixels[0]
    np.testing.assert_array_equal(patch[:4, :5], pixels[0])
    np.testing.assert_array_equal(patch[4:, :5], pixels[0, ::-1])
    np.testing.assert_array_equal(patch[:4, 5:], pixels[0, :, :1:-1])


class CountingModel:
    def __init__(self):
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        base = images[:, ::2, ::2].astype(np.float32)
        return images, dict.fromkeys(LAYERS, base)

    def predict(self, images):
        return images


def test_pooling_is_the_mean_over_places_in_equal_batches():
    pixels = np.random.default_rng(0).integers(0, 255, (33, 8, 8, 3), dtype=np.uint8)
    model = CountingModel()
    features = pooled(model, pixels)
    assert model.batches == [25, 25]
    for name in LAYERS:
        expected = [[image[::2, ::2, c].astype(float).mean() for c in range(3)] for image in pixels]
        np.testing.assert_allclose(features[name], expected)


def test_two_repeats_of_every_weights_at_the_largest_fraction(finished_study):
    results = read_results(finished_study.folder)
    runs = chosen_runs(results)
    assert len(runs) == 2 * 3 * 2
    assert {state.run.fraction for state in runs} == {1.0}
    assert {state.run.repeat for state in runs} == {0, 1}
    patches = draw_patches({"tissue_a": fake_images("tissue_a")}, 64, 10)
    said = []
    features = list(collect(runs[:3], patches, FakeModel, said.append))
    assert [(f.weights, f.repeat) for f in features] == [("random", 0), ("random", 1), ("imagenet", 0)]
    assert len(said) == 3
