"""Wait for a condition, instead of sleeping for a fixed time."""

import inspect
from collections.abc import Callable
from contextlib import suppress

from tenacity import RetryError, Retrying, stop_after_delay, wait_exponential
from tenacity.retry import retry_if_exception_type, retry_if_not_result


def wait_for[T](condition: Callable[[], T], timeout: float = 5, *, what: str = "") -> T:
    """Call a condition until it returns a true value, and return that value.

    An exception counts as a false value, so a condition may open a connection or assert.

    Args:
        condition: is called at once, then every few milliseconds, then every 0.25 s.
        timeout: in seconds.
        what: describes the condition in the error; by default, the error shows its source code.

    Raises:
        AssertionError: the time is over; the text has the condition and its last value or error.

    Example:
        job = wait_for(lambda: finished(client.get(f"/api/jobs/{id}")), what="the end of the job")
    """
    __tracebackhide__ = True
    attempts = Retrying(
        stop=stop_after_delay(timeout),
        wait=wait_exponential(multiplier=0.01, max=0.25),
        retry=retry_if_exception_type(Exception) | retry_if_not_result(bool),
    )
    try:
        return attempts(condition)
    except RetryError as failure:
        last = failure.last_attempt
        error = last.exception()
        outcome = f"error was {error!r}" if error else f"value was {last.result()!r}"
        raise AssertionError(
            f"waited {timeout:g} s for {what or _source(condition)}: the last {outcome}"
        ) from error


def _source(condition: Callable[[], object]) -> str:
    with suppress(OSError, TypeError):
        return inspect.getsource(condition).strip()
    return repr(condition)
