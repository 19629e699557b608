"""Datasets: official files become prepared data, prepared data becomes stacks, stacks are split."""

from jaxseg.datasets.catalogue import describe
from jaxseg.datasets.checks import summary
from jaxseg.datasets.loading import Dataset, damaged, instances, load, open_dataset, open_once
from jaxseg.datasets.overlap import shared_with_others
from jaxseg.datasets.prepared import is_prepared, prepared_folder, read_card
from jaxseg.datasets.preparing import prepare, prepare_folder
from jaxseg.datasets.split import split

__all__ = [
    "Dataset",
    "damaged",
    "describe",
    "instances",
    "is_prepared",
    "load",
    "open_dataset",
    "open_once",
    "prepare",
    "prepare_folder",
    "prepared_folder",
    "read_card",
    "shared_with_others",
    "split",
    "summary",
]
