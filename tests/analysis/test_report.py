import pandas as pd

from jaxseg.analysis import report
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
