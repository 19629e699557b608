import dataclasses

import numpy as np
import pytest

from jaxseg.analysis.cells import Cell, Condition, cells_of
from jaxseg.analysis.comparisons import compare
from jaxseg.analysis.recommendation import Gain, Recommendation, recommend, recommendation_table, verdict_of
from jaxseg.analysis.scores import read_results


@pytest.fixture(scope="module")
def fabricated(finished_study):
    results = read_results(finished_study.folder)
    cells = cells_of(results.scores)
    return results.study, cells, compare(results.study, cells)


def at(recommendations, dataset, fraction):
    return next(r for r in recommendations if (r.trained_on, r.fraction) == (dataset, fraction))


def test_the_known_best_weights_win_where_images_are_few(fabricated):
    found = at(recommend(*fabricated, {}), "tissue_a", 0.1)
    assert (found.answer, found.leader, found.tied_with) == ("pathology", "pathology", ())
    assert found.over_reference.low < 0.088 < found.over_reference.high
    assert found.over_reference.sure


def test_equal_weights_are_tied(fabricated):
    study, cells, _ = fabricated
    double = dict(cells)
    for condition, cell in cells.items():
        if condition.weights == "pathology":
            double[condition._replace(weights="imagenet")] = dataclasses.replace(cell, scores=cell.scores + 1e-4)
    found = at(recommend(study, double, compare(study, double), {}), "tissue_a", 0.1)
    assert (found.answer, found.leader, found.tied_with) == ("tied", "imagenet", ("pathology",))
    assert found.tie == "equivalent"


@pytest.mark.parametrize(
    ("p", "p_sign_flip", "tied_with"),
    [(0.04, 0.01, ()), (0.06, 0.01, ("imagenet",)), (0.04, 0.06, ("imagenet",)), (np.nan, 0.01, ("imagenet",))],
)
def test_the_best_is_named_if_it_beats_each_other_one_without_correction(fabricated, p, p_sign_flip, tied_with):
    """All must succeed, so that correcting for their number would only lose power."""
    study, cells, comparisons = fabricated
    table = comparisons.copy()
    close = table.eval("fraction == 0.1 and weights == 'pathology' and against == 'imagenet'")
    table.loc[close, ["p", "p_sign_flip", "verdict"]] = p, p_sign_flip, "cannot tell"
    found = at(recommend(study, cells, table, {}), "tissue_a", 0.1)
    assert (found.leader, found.tied_with) == ("pathology", tied_with)
    assert found.answer == ("tied" if tied_with else "pathology")
    table.loc[close, "difference"] *= -1  # over more repeats than all share, the other one may be ahead
    assert at(recommend(study, cells, table, {}), "tissue_a", 0.1).tied_with == ("imagenet",)


def test_gains_are_those_of_the_means(fabricated):
    cells = fabricated[1]
    found = at(recommend(*fabricated, {}), "tissue_b", 0.3)

    def mean(fraction, budget):
        return np.mean(cells[Condition("tissue_b", found.leader, fraction, budget, "tissue_b")].scores)

    assert (found.from_fraction, found.to_fraction) == (0.3, 1.0)
    assert found.more_images.value == pytest.approx(mean(1.0, 80) - mean(0.3, 80))
    assert (found.from_budget, found.to_budget) == (40, 80)
    assert found.longer.value == pytest.approx(mean(0.3, 80) - mean(0.3, 40))
    assert found.images_over_choice.value == pytest.approx(found.more_images.value - found.choice.value)
    assert found.longer_over_choice.value == pytest.approx(found.longer.value - found.choice.value)
    last = at(recommend(*fabricated, {}), "tissue_b", 1.0)
    assert (last.from_fraction, last.to_fraction) == (0.3, 1.0)


def test_what_helps_more_needs_certainty():
    sure, unsure = Gain(0.05, 0.03, 0.07, 5, 20), Gain(0.08, -0.01, 0.2, 5, 20)
    base = Recommendation("a", 0.5, more_images=unsure, images_over_choice=sure, longer=sure, longer_over_choice=sure)
    assert base.helps_more == "longer training"
    assert dataclasses.replace(base, longer_over_choice=unsure).helps_more == "nothing shown"
    assert dataclasses.replace(base, longer=Gain(0.004, 0.003, 0.005, 5, 20)).helps_more == "nothing shown"
    assert dataclasses.replace(base, longer=dataclasses.replace(sure, patients=2)).helps_more == "nothing shown"
    assert dataclasses.replace(base, longer=dataclasses.replace(sure, repeats=1)).helps_more == "nothing shown"
    assert dataclasses.replace(base, longer_over_choice=Gain()).helps_more == "nothing shown"


def test_no_more_can_be_won_than_there_is():
    cell = Cell(np.array([[0.9, 0.5], [0.1, -0.3]]), (0, 1), ("a", "b"), np.array([0, 1]))
    assert Gain.of(cell) == Gain(cell.mean, -1.0, 1.0, 2, 2)
    assert Gain.of(cell, 2.0) == Gain(cell.mean, -2.0, 2.0, 2, 2), "of one gain over another"


def test_a_gain_as_large_as_that_of_the_weights_is_not_called_larger(fabricated):
    """Twice the same gain of six points, by more images and by the weights: which of them came out ahead is luck."""
    study, cells, _ = fabricated
    alike, rng = dict(cells), np.random.default_rng(0)
    for weights, fraction, gain in (("random", 0.3, 0.0), ("pathology", 0.3, 0.06), ("pathology", 1.0, 0.121)):
        condition = Condition("tissue_a", weights, fraction, 80, "tissue_a")
        scores = 0.8 + gain + rng.normal(0, 0.005, (5, 1)) + rng.normal(0, 0.02, (5, 20))
        alike[condition] = dataclasses.replace(cells[condition], scores=scores)
    found = at(recommend(study, alike, compare(study, alike), {}), "tissue_a", 0.3)
    assert (found.leader, found.chosen_over) == ("pathology", "random")
    assert found.more_images.sure
    assert found.images_over_choice.value == pytest.approx(found.more_images.value - found.choice.value)
    assert found.helps_more == "nothing shown"


def test_more_images_do_not_help_more_where_fewer_taught_nothing():
    large, small = Gain(0.5, 0.4, 0.6, 5, 20), Gain(0.05, 0.03, 0.07, 5, 20)
    step = {"more_images": large, "images_over_choice": large, "longer": small, "longer_over_choice": small}
    base = Recommendation("a", 0.5, from_dice=0.3, trivial=0.4, **step)
    assert base.helps_more == "longer training"
    assert dataclasses.replace(base, from_dice=0.41).helps_more == "more images"
    assert dataclasses.replace(base, trivial=float("nan")).helps_more == "more images"


def test_the_answer_and_the_table_show_the_same_intervals(fabricated):
    """Whichever way the pair was planned: here the leader is also the weights that others are compared with."""
    study, cells, _ = fabricated
    for weights in (study.weights, study.weights[::-1]):
        turned = dataclasses.replace(study, weights=weights)
        comparisons = compare(turned, cells)
        found = at(recommend(turned, cells, comparisons, {}), "tissue_a", 0.1)
        rows = comparisons.query("family == 'all pairs' and trained_on == 'tissue_a' and fraction == 0.1")
        both = [found.leader, found.runner_up]
        (row,) = rows[rows.weights.isin(both) & rows.against.isin(both)].to_dict("records")
        bounds = (row["low"], row["high"]) if row["weights"] == found.leader else (-row["high"], -row["low"])
        assert (found.over_runner_up.low, found.over_runner_up.high) == pytest.approx(bounds, abs=1e-12)


def test_the_smaller_fraction_and_the_trivial_answer_are_known(fabricated):
    cells = fabricated[1]
    recommendations = recommend(*fabricated, {"tissue_b": 0.4})
    for fraction, lower in ((0.3, 0.3), (1.0, 0.3)):
        found = at(recommendations, "tissue_b", fraction)
        assert found.trivial == 0.4
        assert found.from_dice == cells[Condition("tissue_b", found.leader, lower, 80, "tissue_b")].mean
    assert np.isnan(at(recommendations, "tissue_a", 1.0).trivial)


def test_where_the_reference_leads_the_choice_is_measured_against_the_worst(fabricated):
    study, cells, _ = fabricated
    worse = {"random": 0.0, "imagenet": -0.05, "pathology": -0.4}
    shifted = {k: dataclasses.replace(c, scores=c.scores + worse[k.weights]) for k, c in cells.items()}
    found = at(recommend(study, shifted, compare(study, shifted), {}), "tissue_a", 0.1)
    leader, worst = (
        shifted[Condition("tissue_a", name, 0.1, 80, "tissue_a")].scores for name in ("random", "pathology")
    )
    assert found.leader == "random"
    assert np.isnan(found.over_reference.value)
    assert found.choice.value == pytest.approx(np.mean(leader - worst))
    assert found.more_images.sure
    assert found.more_images.value > found.over_runner_up.value
    assert found.helps_more == "nothing shown"


@pytest.mark.parametrize(("patients", "sure"), [(2, False), (3, True)])
def test_a_gain_is_sure_from_three_patients_on(fabricated, patients, sure):
    study, cells, _ = fabricated
    few = {k: dataclasses.replace(c, patients=np.arange(len(c.images)) % patients) for k, c in cells.items()}
    found = at(recommend(study, few, compare(study, few), {}), "tissue_a", 0.1)
    assert found.over_reference.low > 0
    assert (found.over_reference.patients, found.over_reference.sure) == (patients, sure)


def test_with_one_weights_there_is_no_choice_to_exceed(fabricated):
    study, cells, _ = fabricated
    alone = dataclasses.replace(study, weights=("random",))
    found = at(recommend(alone, cells, compare(alone, cells), {}), "tissue_a", 0.1)
    assert found.more_images.sure
    assert found.helps_more == "nothing shown"


def test_missing_weights_are_named(fabricated):
    study, cells, _ = fabricated
    fewer = {k: v for k, v in cells.items() if (k.weights, k.fraction) != ("imagenet", 0.1)}
    found = at(recommend(study, fewer, compare(study, fewer), {}), "tissue_a", 0.1)
    assert found.missing == ("imagenet",)
    assert found.answer == "pathology"
    nothing = recommend(study, {}, compare(study, {}), {})
    assert {r.answer for r in nothing} == {"no data"}


def repeats_of(cell, *repeats):
    """The cell with some of its five repeats alone."""
    return dataclasses.replace(cell, scores=cell.scores[list(repeats)], repeats=repeats)


def with_repeats(cells, **repeats):
    """Cells of tissue_a at 0.1: those of the named weights cut to these repeats."""
    return {
        k: repeats_of(c, *repeats[k.weights])
        if (k.trained_on, k.fraction) == ("tissue_a", 0.1) and k.weights in repeats
        else c
        for k, c in cells.items()
    }


def test_weights_are_ranked_on_the_repeats_that_all_share(fabricated):
    """Of the best weights only unlucky repeats have finished, which were unlucky for all."""
    study, cells, _ = fabricated
    luck = np.array([0.0, 0.0, 0.0, -0.2, -0.2])[:, None]
    unlucky = {k: dataclasses.replace(c, scores=c.scores + luck) for k, c in cells.items()}
    uneven = with_repeats(unlucky, pathology=(3, 4))
    where = [Condition("tissue_a", name, 0.1, 80, "tissue_a") for name in ("pathology", "random")]
    assert uneven[where[0]].mean < uneven[where[1]].mean
    found = at(recommend(study, uneven, compare(study, uneven), {}), "tissue_a", 0.1)
    best, reference = (unlucky[condition].scores[3:] for condition in where)
    assert (found.leader, found.answer) == ("pathology", "tied")  # two trainings show the order, and prove nothing
    assert found.dice == pytest.approx(np.mean(best))
    assert found.over_reference.value == pytest.approx(np.mean(best - reference))


def test_without_a_shared_repeat_there_is_no_answer(fabricated):
    study, cells, _ = fabricated
    apart = with_repeats(cells, pathology=(0, 1), random=(2, 3))
    found = at(recommend(study, apart, compare(study, apart), {}), "tissue_a", 0.1)
    assert (found.answer, found.leader, found.tied_with) == ("unfinished", "", ())


def test_a_leader_that_is_worse_over_more_repeats_is_no_answer(fabricated):
    """Over repeat 0, the only one of imagenet, random is best; over all five it is worse than pathology."""
    study, cells, _ = fabricated
    luck = np.array([0.17, 0.0, 0.0, 0.0, 0.0])[:, None]
    lucky = {
        k: dataclasses.replace(c, scores=c.scores - 0.05 + luck) if k.weights == "random" else c
        for k, c in cells.items()
    }
    uneven = with_repeats(lucky, imagenet=(0,))
    comparisons = compare(study, uneven)
    where = "family == 'all pairs' and trained_on == 'tissue_a' and fraction == 0.1"
    comparisons.loc[comparisons.eval(f"{where} and weights == 'pathology' and against == 'random'"), "verdict"] = (
        "better"
    )
    assert verdict_of(comparisons.query(where), "random", "pathology") == "worse"
    found = at(recommend(study, uneven, comparisons, {}), "tissue_a", 0.1)
    assert (found.answer, found.tied_with) == ("unfinished", ())


def test_table(fabricated):
    table = recommendation_table(recommend(*fabricated, {}))
    assert len(table) == 6
    assert {"answer", "leader", "over_reference_low", "more_images", "helps_more"} <= set(table.columns)
