import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from fabricated_study import STUDY, FakeModel, fabricate, fake_images
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxseg.analysis.captions import learning_reading
from jaxseg.analysis.embedding import Embedding
from jaxseg.analysis.examples import Example, examples_of
from jaxseg.analysis.feature_vectors import LAYERS
from jaxseg.analysis.figures.budget_curves import budget_curves
from jaxseg.analysis.figures.learning_curves import _thinned, learning_curves
from jaxseg.analysis.figures.out_of_domain import out_of_domain_matrix
from jaxseg.analysis.figures.overlays import overlays
from jaxseg.analysis.figures.paired_differences import paired_differences
from jaxseg.analysis.figures.style import COLOURS, GREY, broken, curve, looks, save
from jaxseg.analysis.figures.training_curves import training_curves
from jaxseg.analysis.figures.umap_panels import umap_panels
from jaxseg.analysis.findings import find
from jaxseg.analysis.provenance import images_per_fraction
from jaxseg.analysis.scores import read_results


@pytest.fixture(scope="module")
def findings(finished_study):
    return find(read_results(finished_study.folder), {})


@pytest.fixture(scope="module")
def long_names(tmp_path_factory):
    """Names, weights and fractions that leave little room."""
    study = dataclasses.replace(
        STUDY,
        datasets=(
            "colon_glands_of_the_university_ii",
            "breastnucleioftheotheruniversity_stained_and_scanned_anew_by_us",
        ),
        weights=("random", "imagenet", "barlow_twins", "moco", "dino", "ssl_pathology_of_another_hospital"),
        fractions=(0.2, 0.3, 1.0),
        repeats=1,
        recipe=dataclasses.replace(STUDY.recipe, budgets=(40, 80)),
    )
    return find(read_results(fabricate(tmp_path_factory.mktemp("long"), study, images=4).folder), {})


def fake_embeddings(study):
    rng = np.random.default_rng(0)
    weights = np.repeat(study.weights, 20)
    tested_on = np.resize(study.tested_on, len(weights))
    return [
        Embedding(d, layer, rng.normal(size=(len(weights), 2)), weights, tested_on, 25)
        for d in study.datasets
        for layer in LAYERS
    ]


DRAWINGS = {
    "learning": lambda f: learning_curves(f.results.study, f.final, images_per_fraction(f.results)),
    "budgets": lambda f: budget_curves(f.results.study, f.budgets),
    "domain": lambda f: out_of_domain_matrix(f.results.study, f.out_of_domain),
    "differences": lambda f: paired_differences(f.results.study, f.comparisons),
    "training": lambda f: training_curves(f.results),
    "umap": lambda f: umap_panels(f.results.study, fake_embeddings(f.results.study)),
    "overlays": lambda f: overlays(
        examples_of(f.results, f.results.study.datasets[0], fake_images("tissue_a"), FakeModel, str)
    ),
}


def texts(figure):
    """(text, box) of everything written in the figure, as drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    for axis in figure.axes:
        if not axis.get_visible():
            continue
        labels = [axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts]
        for side, at in ((axis.xaxis, 0), (axis.yaxis, 1)):
            low, high = sorted(side.get_view_interval())
            labels += [t for t in side.get_ticklabels() if low <= t.get_position()[at] <= high]
        found += labels
    for legend in figure.legends:
        found += legend.get_texts()
    boxes = [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in found if t.get_visible()]
    return [(text, box) for text, box in boxes if text.strip()]


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("made", ["findings", "long_names"])
def test_no_text_lies_on_another_or_leaves_the_page(made, name, request):
    made = request.getfixturevalue(made)
    figure = DRAWINGS[name](made)
    drawn = texts(figure)
    page = figure.bbox
    assert drawn
    for text, box in drawn:
        inside = box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1
        assert inside, f"{text!r} leaves the page"
    for (one, first), (other, second) in itertools.combinations(drawn, 2):
        # slanted: their boxes may touch
        rotated = name == "domain" and {one.replace("\n", ""), other.replace("\n", "")} <= set(
            made.results.study.datasets
        )
        assert rotated or not first.shrunk(0.9, 0.9).overlaps(second.shrunk(0.9, 0.9)), f"{one!r} lies on {other!r}"


@pytest.mark.parametrize(("classes", "told"), [(1, True), (3, False)])
def test_everything_foreground_is_drawn_beside_scores_of_its_kind_alone(findings, classes, told):
    study = findings.results.study
    recipe = dataclasses.replace(study.recipe, model=dataclasses.replace(study.recipe.model, classes=classes))
    study = dataclasses.replace(study, recipe=recipe)
    for figure in (learning_curves(study, findings.final, {}), budget_curves(study, findings.budgets)):
        assert ("everything foreground" in [text for text, _ in texts(figure)]) == told
        dotted = [line for axis in figure.axes for line in axis.lines if line.get_linestyle() == ":"]
        assert bool(dotted) == told
    assert ("dotted line" in learning_reading("epochs", classes)) == told


@pytest.mark.parametrize("name", ["learning", "domain"])
def test_saved_twice_the_bytes_are_the_same(findings, tmp_path, name):
    for folder in ("one", "two"):
        save(DRAWINGS[name](findings), tmp_path / folder, name)
    for ending in ("png", "pdf"):
        one, two = (tmp_path / folder / f"{name}.{ending}" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "one" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert b"CreationDate" not in (tmp_path / "one" / f"{name}.pdf").read_bytes()


def test_lines_of_the_learning_curve_are_the_means(findings):
    axis = DRAWINGS["learning"](findings).axes[1]
    colour = looks(findings.results.study.weights)["pathology"].colour
    line = next(line for line in axis.get_lines() if line.get_color() == colour)
    rows = findings.final.query("trained_on == tested_on == 'tissue_b' and weights == 'pathology' and subset == 'all'")
    np.testing.assert_allclose(line.get_xdata(), [0.1, 0.3, 1.0])
    np.testing.assert_allclose(line.get_ydata(), rows.sort_values("fraction").dice_mean)
    baseline = next(line for line in axis.get_lines() if line.get_linestyle() == ":")
    assert baseline.get_ydata()[0] == rows.all_foreground_dice.iloc[0]


def test_lines_of_the_budget_curve_are_the_means(findings):
    axis = DRAWINGS["budgets"](findings).axes[4]  # of the second dataset at the second fraction
    colour = looks(findings.results.study.weights)["pathology"].colour
    line = next(line for line in axis.get_lines() if line.get_color() == colour)
    rows = findings.summary.query(
        "trained_on == tested_on == 'tissue_b' and weights == 'pathology' and subset == 'all' and fraction == 0.3"
    )
    np.testing.assert_allclose(line.get_xdata(), [20, 40, 80])
    np.testing.assert_allclose(line.get_ydata(), rows.sort_values("budget").dice_mean)


def test_differences_are_drawn_in_points_with_both_intervals(findings):
    lines = DRAWINGS["differences"](findings).axes[1].get_lines()
    rows = findings.comparisons.query("family == 'reference' and trained_on == 'tissue_b'")
    assert len(rows) == 6  # by weights within fractions, as they are drawn
    rows = rows.sort_values("fraction", kind="stable")
    for columns, width in ((["low", "high"], 1.2), (["low_90", "high_90"], 3.2)):
        drawn = [line.get_xdata() for line in lines if line.get_linewidth() == width and len(line.get_xdata()) == 2]
        np.testing.assert_allclose(drawn, 100 * rows[columns])
    points = [line.get_xdata()[0] for line in lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(points, 100 * rows["difference"])


def test_outlines_are_those_of_the_annotation_and_of_each_prediction():
    left, top = np.zeros((2, 12, 16), bool)
    left[:, :5], top[:3] = True, True
    example = Example("i", "hardest image", np.zeros((12, 16, 3), np.uint8), left, {"random": top}, {"random": 0.5})
    alone, predicted = overlays([example]).axes
    extents = [
        [each.get_paths()[0].get_extents().extents.tolist() for each in a.collections] for a in (alone, predicted)
    ]
    annotation, prediction = [-0.5, -0.5, 4.5, 11.5], [-0.5, -0.5, 15.5, 2.5]
    assert extents == [[annotation], [annotation, prediction]]


def test_matrix_shows_mean_and_sd(findings):
    axis = DRAWINGS["domain"](findings).axes[2]
    shown = [text.get_text() for text in axis.texts]
    table = findings.out_of_domain.query("weights == 'pathology' and fraction == 1.0")
    row = table.query("trained_on == 'tissue_b' and tested_on == 'tissue_a'").iloc[0]
    assert shown[2] == f"{row.dice_mean:.3f}\n±{row.dice_sd:.3f}"


def test_colours_of_the_matrix_are_of_what_it_shows(findings):
    """Not of datasets that single runs were scored on besides the study's."""
    further = findings.out_of_domain.assign(tested_on="elsewhere", dice_mean=0.01)
    both = pd.concat([findings.out_of_domain, further])
    bars = [out_of_domain_matrix(findings.results.study, table).axes[-1] for table in (findings.out_of_domain, both)]
    assert bars[0].get_ylim() == bars[1].get_ylim()


def test_looks_are_one_per_weights_and_random_is_grey():
    names = ("random", "a", "b", "c", "d")
    found = looks(names)
    assert found["random"].colour == GREY
    assert [found[name].colour for name in names[1:]] == list(COLOURS[:4])
    assert len({look.marker for look in found.values()}) == 5


def test_no_two_of_many_weights_look_alike():
    found = looks(("random", *(f"w{n}" for n in range(40))))
    assert len({(look.colour, look.marker) for look in found.values()}) == 41
    assert len({found[f"w{n}"].colour for n in range(9)}) == 9


def test_labels_that_would_lie_on_others_are_left_out():
    fractions = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 1.0)
    labels = [f"{100 * f:g} %\nn = {800 * f:g}" for f in fractions]
    assert [bool(label) for label in _thinned(fractions, labels)] == [True, False, False, False, True, False, True]
    assert _thinned((0.1, 0.5, 1.0), labels[:3]) == labels[:3]
    assert _thinned((1.0,), labels[:1]) == labels[:1]


def test_names_stay_clear_of_the_colour_bar(long_names):
    figure = DRAWINGS["domain"](long_names)
    figure.draw_without_rendering()
    *matrices, bar = figure.axes
    beside = bar.get_tightbbox()
    assert not any(beside.overlaps(axis.title.get_window_extent()) for axis in matrices)


def test_long_names_are_broken_where_they_can_be():
    assert broken("colon_glands_of_the_university, 10 %", 2.3, 9) == "colon_glands_of_the_\nuniversity, 10 %"
    assert broken("tissue_a", 2.3, 9) == "tissue_a"
    assert broken("a" * 12, 0.8, 9) == "a" * 10 + "\n" + "a" * 2


@pytest.mark.parametrize(("points", "bars"), [(1, 1), (2, 0)])
def test_a_band_over_a_single_point_would_not_be_seen(points, bars):
    axis = Figure().subplots()
    rows = pd.DataFrame({"budget": [40, 80], "dice_mean": [0.7, 0.8], "dice_sd": [0.1, np.nan]})[:points]
    curve(axis, rows, "budget", next(iter(looks(STUDY.weights).values())))
    assert len(axis.containers) == bars


def test_no_band_reaches_beyond_what_a_score_can_be():
    axis = Figure().subplots()
    rows = pd.DataFrame({"budget": [40, 80], "dice_mean": [0.1, 0.9], "dice_sd": [0.3, 0.3]})
    curve(axis, rows, "budget", next(iter(looks(STUDY.weights).values())))
    heights = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, 1)


def test_patches_of_many_test_datasets_have_markers_of_their_own():
    study = dataclasses.replace(STUDY, test_datasets=tuple(f"site_{number}" for number in range(8)))
    (legend,) = umap_panels(study, fake_embeddings(study)).legends
    markers = [line.get_marker() for line in legend.get_lines() if str(line.get_label()).startswith("patch of")]
    assert len(markers) == len(set(markers)) == 10
