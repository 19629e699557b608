import dataclasses

import pytest

from jaxseg.analysis.recommendation import Gain, Recommendation
from jaxseg.analysis.sentences import answer, caution, points, signed, what_helps, what_intervals_cover

BASE = Recommendation("a", 0.1, "x", "x", 0.8, runner_up="y", over_runner_up=Gain(0.021, 0.004, 0.039))


def test_points_have_a_true_minus_and_no_negative_zero():
    assert points(Gain(-0.0121, -0.03, -0.0001)) == "−1.2 points [−3.0, 0.0]"
    assert [signed(value) for value in (0.021, -0.0004, -0.01)] == ["+2.1", "0.0", "−1.0"]
    assert points(Gain()) == "not measured"
    assert points(Gain(0.113)) == "+11.3 points [no interval]"


def test_what_intervals_cover_follows_from_repeats_and_patients():
    assert what_intervals_cover([(5, 20), (3, 20)]).endswith("and new trainings on the same pool of training images.")
    assert what_intervals_cover([(1, 20)]).endswith("new patients (or images), for these trainings only.")
    assert what_intervals_cover([(5, 1)]).endswith("new trainings, for this patient only.")
    assert what_intervals_cover([(1, 1)]).endswith("there is no interval.")
    both = what_intervals_cover([(1, 20), (5, 20)])
    assert both.startswith("The interval covers new patients")
    assert "With one repeat" in both


def test_answers():
    assert answer(BASE, "random") == "Start from x: +2.1 points [0.4, 3.9] over the next best, y."
    tied = dataclasses.replace(BASE, answer="tied", tied_with=("y", "z"), tie="equivalent")
    assert answer(tied, "x") == "Tied: x is equivalent to y and z, within 1 Dice point."
    shown = Gain(0.021, 0.004, 0.039, 5, 20)
    unclear = dataclasses.replace(tied, tie="cannot tell", missing=("w",), over_runner_up=shown)
    assert (
        answer(unclear, "x") == "Tied: x has the highest mean, but is not shown to beat y and z (no finished run of w)."
    )
    against = dataclasses.replace(unclear, missing=(), over_reference=shown)
    assert answer(against, "z").endswith("to beat y and z; against z by itself: +2.1 points [0.4, 3.9].")
    assert answer(Recommendation("a", 0.1), "x") == "No run has finished here yet."
    assert answer(Recommendation("a", 0.1, "unfinished"), "x").startswith("No answer yet: the study is unfinished")


@pytest.mark.parametrize(
    ("repeats", "patients", "ending"),
    [
        (1, 80, "to beat y, which one training of each cannot show."),
        (5, 5, "to beat y, which 5 test patients (or images) cannot show."),
        (5, 1, "to beat y, which one test patient (or image) cannot show."),
        (5, 6, "to beat y."),
    ],
)
def test_a_study_that_could_not_have_shown_it_says_so(repeats, patients, ending):
    gain = Gain(0.06, 0.02, 0.1, repeats, patients)
    tied = dataclasses.replace(BASE, answer="tied", tied_with=("y",), tie="cannot tell", over_runner_up=gain)
    assert answer(tied, "x").endswith(ending)


def test_one_kind_of_weights_is_no_answer():
    alone = Recommendation("a", 0.1, "x", "x", 0.8)
    assert answer(alone, "x") == "Nothing to choose from: x alone has been studied here."
    others = dataclasses.replace(alone, missing=("y", "z"))
    assert answer(others, "x").endswith("x alone has been studied here (no finished run of y, z).")


def test_models_that_have_learned_nothing_are_told():
    told = caution(dataclasses.replace(BASE, trivial=0.85))
    assert told.startswith(
        "No model has learned the task here (Dice 0.800, and calling all pixels foreground, or none, gives"
    )
    assert caution(dataclasses.replace(BASE, trivial=0.79)) == caution(BASE) == ""
    assert caution(Recommendation("a", 0.1, trivial=0.9)) == ""


@pytest.mark.parametrize(
    ("match", "more"), [("steps", "More images"), ("epochs", "More images and thus more training steps")]
)
def test_what_helps_says_which_step_was_measured_and_what_took_more_steps_too(match, more):
    step = {"from_fraction": 0.1, "to_fraction": 1.0, "more_images": Gain(0.1, 0.05, 0.15, 5, 20)}
    over = {"images_over_choice": Gain(0.079, 0.02, 0.13, 5, 20), "chosen_over": "y"}
    gained = dataclasses.replace(BASE, choice=Gain(0.021, 0.004, 0.039), **over, **step)
    assert what_helps(gained, match) == [
        f"{more}, from 10 % to 100 % of the images: +10.0 points [5.0, 15.0].",
        f"{more} gave more here than the choice of weights, x over y.",
    ]
    assert "the last step up to here" in what_helps(dataclasses.replace(gained, fraction=1.0), match)[0]
