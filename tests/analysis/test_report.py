import math

import pandas as pd

from jaxseg.analysis import report
from jaxseg.analysis.findings import find
from jaxseg.analysis.scores import read_results
from jaxseg.config import Study


def test_weights_stand_in_the_order_of_the_study_also_class_by_class():
    study = Study("s", "Two classes", "glands", ("a",), ("random", "imagenet"), (1.0,), 1, test_datasets=("b",))
    rows = [
        {"trained_on": "a", "tested_on": tested_on, "class": kind, "weights": weights}
        for weights in ("imagenet", "random")
        for kind in ("lumen", "gland")
        for tested_on in ("a", "b")
    ]
    own = report._own(pd.DataFrame(rows), study, "trained_on", "class")
    order = [("gland", "random"), ("gland", "imagenet"), ("lumen", "random"), ("lumen", "imagenet")]
    assert [(row["class"], row["weights"]) for row in own] == order
    assert {row["tested_on"] for row in own} == {"a"}


def test_the_scores_shown_are_those_of_own_test_images_the_whole_before_its_parts(finished_study):
    rows = report._final(find(read_results(finished_study.folder), {}))
    assert len(rows) == 2 * 3 * 3 * 3  # datasets, fractions, weights; all images and two subsets
    assert {(row["trained_on"] == row["tested_on"], row["budget"]) for row in rows} == {(True, 80)}
    first = [(row["fraction"], row["subset"], row["weights"]) for row in rows[:9]]
    parts = ("all", "test_far", "test_near")
    assert first == [(0.1, part, weights) for part in parts for weights in finished_study.study.weights]


def test_numbers_are_written_as_they_are_read():
    assert [report.p_value(p) for p in (0.0004, 0.001, 0.0456, 1.0, math.nan)] == ["< .001", ".001", ".046", "1", "–"]
    row = {"low": -0.0123, "high": 0.025, "low_90": 0.5, "high_90": 0.75}
    assert report.span_of_points(row) == "−1.2 … +2.5"
    assert report.span({"low": 0.5, "high": 0.7504}) == "0.500 – 0.750"
    assert report.span_of_points(dict.fromkeys(row, math.nan)) == report.span(dict.fromkeys(row, math.nan)) == "–"
    assert [report.percent(share) for share in (0.1, 1.0, 0.125)] == ["10 %", "100 %", "12.5 %"]
