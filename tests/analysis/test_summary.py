import numpy as np
import pytest

from jaxseg.analysis.baseline import all_foreground, to_beat, without_foreground
from jaxseg.analysis.cells import cells_of
from jaxseg.analysis.scores import read_results
from jaxseg.analysis.summary import at_final_budget, budgets, out_of_domain, summarise, uneven_repeats
from jaxseg.evaluation.metrics import count


@pytest.fixture(scope="module")
def results(finished_study):
    return read_results(finished_study.folder)


@pytest.fixture(scope="module")
def baseline(results):
    return all_foreground(results.scores)


@pytest.fixture(scope="module")
def summary(results, baseline):
    return summarise(results.scores, cells_of(results.scores), baseline)


def only(table, **wanted):
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


WHERE = {"trained_on": "tissue_a", "weights": "imagenet", "fraction": 0.3, "budget": 40, "tested_on": "tissue_b"}


def test_mean_and_sd_over_repeats_against_a_loop(results, summary):
    rows = [r for r in results.scores.to_dict("records") if all(r[k] == v for k, v in WHERE.items())]
    means, pooled, pooled_jaccard = [], [], []
    for repeat in range(5):
        own = [r for r in rows if r["repeat"] == repeat]
        means.append(sum(r["dice"] for r in own) / len(own))
        hit, extra, missed = (sum(r[n] for r in own) for n in ("true_positive", "false_positive", "false_negative"))
        pooled.append(2 * hit / (2 * hit + extra + missed))
        pooled_jaccard.append(hit / (hit + extra + missed))
    found = only(summary, **WHERE, subset="all")
    assert found.dice_mean == pytest.approx(np.mean(means))
    assert found.dice_sd == pytest.approx(np.sqrt(sum((m - np.mean(means)) ** 2 for m in means) / 4))
    assert found.pooled_dice_mean == pytest.approx(np.mean(pooled))
    assert found.pooled_jaccard_mean == pytest.approx(np.mean(pooled_jaccard))
    assert found.jaccard_mean == pytest.approx(np.mean([r["jaccard"] for r in rows]))
    assert (found.repeats, found.images) == (5, 20)
    assert found.low < found.dice_mean < found.high


def test_intervals_of_scores_hold_scores_alone(results, baseline):
    """Of two trainings, one that found all and one that found nothing."""
    scores = results.scores.query("repeat < 2").assign(dice=lambda table: table["repeat"].astype(float))
    bounds = summarise(scores, cells_of(scores), baseline).query("subset == 'all'")
    assert (bounds.low == 0).all()
    assert (bounds.high == 1).all()


def test_subsets_have_rows_of_their_own(results, summary):
    parts = [only(summary, **WHERE, subset=name) for name in ("test_near", "test_far")]
    whole = only(summary, **WHERE, subset="all")
    assert sum(part.images for part in parts) == 20
    weighted = sum(part.images * part.dice_mean for part in parts) / 20
    assert weighted == pytest.approx(whole.dice_mean)
    assert all(np.isnan(part.low) for part in parts)


def test_all_foreground_by_painting_masks(results, baseline):
    images = results.scores[results.scores.tested_on == "tissue_a"].drop_duplicates("image")
    dice, jaccard = [], []
    for _, image in images.iterrows():
        mask = np.zeros(10_000, bool)
        mask[: image.true_positive + image.false_negative] = True
        painted = np.ones(10_000, bool)
        dice.append(2 * (mask & painted).sum() / (mask.sum() + painted.sum()))
        jaccard.append((mask & painted).sum() / (mask | painted).sum())
    found = only(baseline, tested_on="tissue_a", subset="all")
    assert found.dice == pytest.approx(np.mean(dice))
    assert found.jaccard == pytest.approx(np.mean(jaccard))
    assert found.foreground == pytest.approx((images.true_positive + images.false_negative).sum() / 200_000)
    assert found.pooled_dice == pytest.approx(2 * found.foreground / (1 + found.foreground))
    assert found.pooled_jaccard == pytest.approx(found.foreground)


def test_the_score_to_beat_is_that_over_all_images_and_none_with_several_classes(baseline):
    wholes = {name: only(baseline, tested_on=name, subset="all").dice for name in ("tissue_a", "tissue_b")}
    assert to_beat(baseline, 1) == wholes
    assert to_beat(baseline, 3) == {}


def test_images_without_foreground_by_painting_masks(results):
    """Fourteen of twenty images without any: finding nothing gets .7, which everything foreground is far below."""
    bare = (results.scores.tested_on == "tissue_a") & (results.scores.image < "image_14")
    counts = {"true_positive": 0, "false_negative": 0, "true_negative": 10_000 - results.scores.false_positive}
    scores = results.scores.assign(**{name: results.scores[name].mask(bare, value) for name, value in counts.items()})
    masks = np.zeros((20, 100, 100), bool)
    masks[14:, :30] = True
    answers = [np.mean([count(np.full_like(mask, whole), mask).dice for mask in masks]) for whole in (True, False)]
    table = all_foreground(scores)
    assert only(table, tested_on="tissue_a", subset="all").without_foreground == 14
    assert only(table, tested_on="tissue_b", subset="all").without_foreground == 0
    assert answers[0] < to_beat(table, 1)["tissue_a"] == pytest.approx(answers[1]) == 0.7
    (note,) = without_foreground(table, 1)
    assert note.startswith("No foreground in 14 of the 20 test images of tissue_a.")
    assert note.endswith("a mean Dice of 0.700.")
    assert without_foreground(table, 3) == []


def test_the_all_foreground_answer_stands_beside_the_scores(summary, baseline):
    found = only(summary, **WHERE, subset="test_far")
    answer = only(baseline, tested_on="tissue_b", subset="test_far").dice
    assert found.all_foreground_dice == answer
    assert found.gain == pytest.approx(found.dice_mean - answer)


def test_a_mean_over_classes_is_not_set_against_foreground_of_any_class(results, baseline):
    table = summarise(results.scores, cells_of(results.scores), baseline, classes=3)
    assert table.gain.isna().all()
    assert table.all_foreground_dice.notna().all()


def test_out_of_domain_table(results, summary):
    table = out_of_domain(summary, results.study)
    assert len(table) == 3 * 3 * 2 * 2
    own = only(table, trained_on="tissue_a", tested_on="tissue_a", weights="random", fraction=1.0)
    away = only(table, trained_on="tissue_a", tested_on="tissue_b", weights="random", fraction=1.0)
    assert own.lost == 0
    assert away.lost == pytest.approx(own.dice_mean - away.dice_mean)


def test_budget_table(results, summary):
    table = budgets(summary)
    rows = table[(table.trained_on == "tissue_b") & (table.fraction == 1.0) & (table.weights == "random")]
    assert list(rows.budget) == [20, 40, 80]
    assert np.isnan(rows.gain_over_last_budget.iloc[0])
    np.testing.assert_allclose(rows.gain_over_last_budget.iloc[1:], np.diff(rows.dice_mean))


def test_a_note_names_where_weights_have_finished_different_repeats(results):
    cells = cells_of(results.scores)
    assert uneven_repeats(results.study, cells) == ()
    fewer = results.scores.query(
        "not (weights == 'random' and trained_on == 'tissue_b' and fraction == 0.3 and repeat == 4)"
    )
    (note,) = uneven_repeats(results.study, cells_of(fewer))
    assert "different repeats here: tissue_b at 30 %." in note
    absent = results.scores.query("weights != 'random'")
    assert uneven_repeats(results.study, cells_of(absent)) == ()


def test_final_budget_differs_by_fraction_when_steps_are_matched(small_study):
    made = small_study(match="steps")
    results = read_results(made.folder)
    baseline = all_foreground(results.scores)
    table = summarise(results.scores, cells_of(results.scores), baseline)
    last = at_final_budget(table, results.study)
    assert dict(zip(last.fraction, last.budget, strict=True)) == {0.5: 160, 1.0: 80}
