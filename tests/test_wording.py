"""Numbers and names in messages."""

import pytest

from jaxseg.wording import counted, listed


@pytest.mark.parametrize(
    ("number", "words", "told"),
    [
        (0, ("run",), "0 runs"),
        (1, ("run",), "1 run"),
        (2, ("run",), "2 runs"),
        (1, ("image is", "images are"), "1 image is"),
        (3, ("image is", "images are"), "3 images are"),
    ],
)
def test_a_noun_goes_with_its_number(number: int, words: tuple[str, ...], told: str) -> None:
    assert counted(number, *words) == told


def test_of_many_names_the_first_are_listed() -> None:
    assert listed("abc") == "a, b, c"
    assert listed("abcdefgh") == "a, b, c, d, e and 3 more"
