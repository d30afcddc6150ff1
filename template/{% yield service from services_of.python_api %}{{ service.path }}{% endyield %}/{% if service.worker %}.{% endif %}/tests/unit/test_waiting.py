import pytest

from tests.waiting import wait_for


def test_the_first_true_value_is_returned() -> None:
    values = iter([None, 0, "", "ready", "later"])

    assert wait_for(lambda: next(values)) == "ready"


def test_an_error_counts_as_a_false_value() -> None:
    answers = iter([ConnectionError("refused"), "ready"])

    def answer() -> object:
        value = next(answers)
        if isinstance(value, Exception):
            raise value
        return value

    assert wait_for(answer) == "ready"


def test_a_timeout_shows_the_description_and_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.1 s for the moon: the last value was 0"):
        wait_for(lambda: 0, timeout=0.1, what="the moon")


def test_a_timeout_shows_the_condition_and_the_last_error() -> None:
    with pytest.raises(AssertionError, match=r"1 / 0.*ZeroDivisionError"):
        wait_for(lambda: 1 / 0, timeout=0.1)
