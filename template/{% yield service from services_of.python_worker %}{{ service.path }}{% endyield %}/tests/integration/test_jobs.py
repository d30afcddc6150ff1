from collections.abc import Callable
from typing import Any

import pytest


def test_the_running_worker_counts_words(run_job: Callable[..., Any]) -> None:
    assert run_job("count_words", text="three short words") == 3


def test_the_error_of_a_failed_job_is_raised(run_job: Callable[..., Any]) -> None:
    with pytest.raises(Exception, match="TypeError"):
        run_job("count_words", words="no such argument")
