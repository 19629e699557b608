import dataclasses

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from jaxseg.analysis.cells import Cell, Condition, cells_of, difference
from jaxseg.analysis.comparisons import Comparison, compare, holm_corrected, over_repeats, planned_pairs, verdict
from jaxseg.analysis.scores import read_results
from jaxseg.config import Recipe, Study
from jaxseg.seeds import generator


def holm_by_hand(p):
    order = np.argsort(p)
    adjusted, running = np.empty(len(p)), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = running
    return adjusted


def study_of(*weights, repeats=5):
    return Study("s", "t", "glands", ("a",), weights, (1.0,), repeats, Recipe(budgets=(10,)))


def cells_with(shifts, *, repeats=5, images=40, noise=0.02, luck=0.004):
    """Scores with known mean differences; images are equally hard for all weights."""
    cells = {}
    hard = generator("hard").normal(0.8, 0.05, images)
    for name, shift in shifts.items():
        rng = generator("cells", name)
        scores = hard + shift + rng.normal(0, luck, (repeats, 1)) + rng.normal(0, noise, (repeats, images))
        names = tuple(f"i{n}" for n in range(images))
        condition = Condition("a", name, 1.0, 10, "a")
        cells[condition] = Cell(scores, tuple(range(repeats)), names, np.arange(images))
    return cells


def row(table, weights, against, family="reference"):
    found = table[(table.family == family) & (table.weights == weights) & (table.against == against)]
    assert len(found) == 1
    return found.iloc[0]


def test_the_plan_comes_from_the_study_alone():
    study = study_of("random", "x", "y")
    assert planned_pairs(study, "reference") == [("x", "random"), ("y", "random")]
    assert planned_pairs(study, "all pairs") == [("x", "random"), ("y", "random"), ("y", "x")]


def test_verdicts_of_known_differences():
    shifts = {"random": 0.0, "good": 0.05, "bad": -0.05, "same": 0.0, "unclear": 0.006}
    study = study_of(*shifts)
    cells = cells_with(shifts, noise=0.01, luck=0.001)
    cells |= cells_with({"unclear": 0.006}, noise=0.02, luck=0.03)
    table = compare(study, cells)
    verdicts = {name: row(table, name, "random").verdict for name in shifts if name != "random"}
    assert verdicts == {"good": "better", "bad": "worse", "same": "equivalent", "unclear": "cannot tell"}


def test_numbers_of_one_comparison_against_scipy():
    cells = cells_with({"random": 0.0, "x": 0.03})
    one, other = cells[Condition("a", "x", 1.0, 10, "a")], cells[Condition("a", "random", 1.0, 10, "a")]
    found = row(compare(study_of("random", "x"), cells), "x", "random")
    assert found.difference == pytest.approx(np.mean(one.scores - other.scores))
    paired = stats.ttest_rel(one.scores.mean(1), other.scores.mean(1))
    assert (found.t, found.p_t) == pytest.approx((paired.statistic, paired.pvalue))
    assert found.low < found.low_90 < found.difference < found.high_90 < found.high
    assert (found.repeats, found.images, found.patients) == (5, 40, 40)
    assert found.least_p_repeats == 0.0625
    assert "never gives p < 0.0625" in found.note


def test_interval_of_a_difference_keeps_the_pairs():
    """Hard images are hard for both: the interval of the difference is far narrower than that of either mean."""
    cells = cells_with({"random": 0.0, "x": 0.0})
    found = row(compare(study_of("random", "x"), cells), "x", "random")
    unpaired = np.sqrt(2) * 0.05 / np.sqrt(40)
    assert (found.high - found.low) / 2 < unpaired


def test_holm_against_a_loop_and_missing_comparisons_count():
    shifts = {"random": 0.0, "x": 0.010, "y": 0.006, "gone": 0.0}
    cells = cells_with(shifts, luck=0.006)
    del cells[Condition("a", "gone", 1.0, 10, "a")]
    table = compare(study_of(*shifts), cells)
    rows = [row(table, name, "random") for name in ("x", "y", "gone")]
    raw = np.array([1.0 if np.isnan(r.p_t) else r.p_t for r in rows])
    expected = holm_by_hand(raw)
    assert rows[0].p_t_holm == pytest.approx(expected[0])
    assert rows[1].p_t_holm == pytest.approx(expected[1])
    assert rows[0].p_t_holm >= 2 * rows[0].p_t or rows[1].p_t_holm >= 3 * rows[1].p_t
    assert rows[2].verdict == "no data"
    assert np.isnan(rows[2].p_sign_flip_holm)


def test_holm_against_statsmodels():
    for count in (1, 2, 7):
        p = np.random.default_rng(count).uniform(0, 0.3, count)
        np.testing.assert_allclose(holm_corrected(p), multipletests(p, method="holm")[1])


def test_families_are_corrected_apart(finished_study):
    results = read_results(finished_study.folder)
    table = compare(results.study, cells_of(results.scores))
    assert len(table) == 2 * 3 * (2 + 3)
    for (_, _, _), family in table.groupby(["family", "trained_on", "fraction"]):
        np.testing.assert_allclose(family.p_sign_flip_holm, holm_by_hand(family.p_sign_flip.to_numpy()))


def test_two_repeats_say_how_weak_they_are():
    found = row(compare(study_of("random", "x"), cells_with({"random": 0.0, "x": 0.1}, repeats=2)), "x", "random")
    assert np.isfinite(found.p_t)
    assert "one degree of freedom" in found.note
    assert found.least_p_repeats == 0.5


def test_one_repeat_has_no_test_over_repeats():
    found = row(compare(study_of("random", "x"), cells_with({"random": 0.0, "x": 0.1}, repeats=1)), "x", "random")
    assert np.isnan(found.p_t)
    assert np.isnan(found.p_equivalence_t)
    assert found.p_sign_flip < 0.001
    assert found.low > 0
    assert np.isnan(found.p)
    assert found.verdict == "cannot tell"
    assert "one repeat" in found.note


@pytest.mark.parametrize(("patients", "told"), [(5, "cannot tell"), (6, "better")])
def test_a_large_difference_takes_patients_enough_for_the_sign_flip_test(patients, told):
    cells = cells_with({"random": 0.0, "x": 0.1}, images=patients)
    found = row(compare(study_of("random", "x"), cells), "x", "random")
    assert found.p < 0.001
    assert (found.p_sign_flip < 0.05, found.verdict) == (told == "better", told)


@pytest.mark.parametrize("test", ["p", "p_sign_flip", "p_equivalence"])
def test_verdicts_rest_on_corrected_p(test):
    sure = {f"{name}{end}": 0.01 for name in ("p", "p_sign_flip") for end in ("", "_holm")} | {"difference": 0.02}
    if test == "p_equivalence":
        sure = {"p_equivalence": 0.01, "p_equivalence_holm": 0.01}
    about = Comparison("reference", "a", 1.0, 10, "x", "random", **sure)
    assert verdict(about) == ("equivalent" if test == "p_equivalence" else "better")
    assert verdict(dataclasses.replace(about, **{f"{test}_holm": 0.06})) == "cannot tell"


def test_luck_of_trainings_makes_no_weights_better():
    """Five weights that are alike, three trainings, 80 images: one study in twenty may find a difference. A percentile
    bootstrap, not corrected for the number of comparisons, found one in a third of them.
    """
    names = ("random", "a", "b", "c", "d")
    rng, found = np.random.default_rng(0), 0
    for _ in range(60):
        luck, noise = rng.normal(0, 0.007, (5, 3, 1)), rng.normal(0, 0.03, (5, 3, 80))
        scores = dict(zip(names, 0.8 + luck + noise, strict=True))
        images = tuple(f"i{n}" for n in range(80))
        cells = {Condition("a", n, 1.0, 10, "a"): Cell(s, (0, 1, 2), images, np.arange(80)) for n, s in scores.items()}
        table = compare(study_of(*names, repeats=3), cells)
        found += table[table.family == "all pairs"].verdict.isin(["better", "worse"]).any()
    assert found <= 6


@pytest.mark.parametrize(
    ("repeats", "patients", "note"),
    [
        (1, 1, "one repeat and one patient or image: no interval; one repeat: no test"),
        (5, 1, "one patient or image: the interval holds for it only"),
        (1, 4, "one repeat: the interval holds for these two trainings only, no test"),
    ],
)
def test_what_an_interval_holds_for_is_noted(repeats, patients, note):
    cells = cells_with({"random": 0.0, "x": 0.1}, repeats=repeats, images=patients)
    found = row(compare(study_of("random", "x"), cells), "x", "random")
    assert note in found.note
    bounds = [found.low, found.high, found.low_90, found.high_90]
    assert np.isnan(bounds).tolist() == [repeats == patients == 1] * 4
    assert found.verdict == "cannot tell"


@pytest.mark.parametrize(
    ("repeats", "patients", "verdict"),
    [(5, 1, "cannot tell"), (5, 2, "cannot tell"), (5, 3, "equivalent"), (1, 3, "cannot tell"), (1, 80, "cannot tell")],
)
def test_equivalence_takes_three_patients_and_two_trainings(repeats, patients, verdict):
    cells = cells_with({"random": 0.0, "x": 0.0}, repeats=repeats, images=patients, noise=1e-4, luck=1e-4)
    found = row(compare(study_of("random", "x"), cells), "x", "random")
    assert found.verdict == verdict
    assert np.isnan(found.p_equivalence) == np.isnan(found.p_equivalence_holm) == (patients < 3 or repeats < 2)
    assert ("equivalence is not tested" in found.note) == (patients < 3)


def test_the_number_of_patients_is_noted_also_with_one_repeat():
    found = row(
        compare(study_of("random", "x"), cells_with({"random": 0.0, "x": 0.0}, repeats=1, images=4)), "x", "random"
    )
    assert "one repeat" in found.note
    assert "4 patients or images: the sign-flip p is never below 0.125" in found.note
    assert "signed-rank" not in found.note
    alone = compare(study_of("random", "x"), cells_with({"random": 0.0, "x": 0.0}, repeats=1, images=1))
    assert "1 patient or image: the sign-flip p is never below 1" in row(alone, "x", "random").note


@pytest.mark.parametrize(
    ("others", "patients", "least"), [(2, 6, "0.0625"), (2, 7, None), (4, 7, "0.0625"), (4, 8, None)]
)
def test_too_few_patients_for_so_many_comparisons_are_noted(others, patients, least):
    """Every weights 30 points better or worse on every patient, which is more than any real study can show."""
    names = [f"w{number}" for number in range(1, others + 1)]
    cells = cells_with({"random": 0.0} | dict.fromkeys(names, 0.3), images=patients)
    table = compare(study_of("random", *names), cells)
    found = table[table.family == "reference"]
    assert set(found.verdict) == {"better" if least is None else "cannot tell"}
    assert found.p_sign_flip_holm.min() == others * 2 ** (1 - patients)
    told = f"for {others} comparisons: the corrected sign-flip p is never below {least}"
    assert all((told in note) == (least is not None) for note in found.note)
    assert not any("corrected sign-flip" in note for note in found.note) or least


def test_equal_differences_leave_t_undefined():
    cell = Cell(np.full((3, 4), 0.1), (0, 1, 2), ("a", "b", "c", "d"), np.arange(4))
    assert all(np.isnan(value) for value in over_repeats(cell))


def test_equivalence_over_repeats_against_two_t_tests():
    values = np.array([0.001, -0.002, 0.003, 0.0, 0.002])
    cell = Cell(values[:, None], tuple(range(5)), ("a",), np.zeros(1, int))
    low = stats.ttest_1samp(values, -0.01, alternative="greater").pvalue
    high = stats.ttest_1samp(values, 0.01, alternative="less").pvalue
    assert over_repeats(cell)[2] == pytest.approx(max(low, high))


def test_only_repeats_that_both_have_are_paired():
    images = ("a", "b")
    one = Cell(np.array([[0.9, 0.8], [0.7, 0.6]]), (0, 2), images, np.arange(2))
    other = Cell(np.array([[0.5, 0.5], [0.1, 0.1]]), (2, 3), images, np.arange(2))
    paired = difference(one, other)
    assert paired is not None
    assert paired.repeats == (2,)
    np.testing.assert_allclose(paired.scores, [[0.2, 0.1]])
    assert difference(one, Cell(other.scores, (5, 6), images, other.patients)) is None
    assert difference(one, Cell(other.scores, (2, 3), ("a", "c"), other.patients)) is None, "of other images"


def test_a_single_weights_has_nothing_to_compare():
    assert compare(study_of("random"), cells_with({"random": 0.0})).empty
