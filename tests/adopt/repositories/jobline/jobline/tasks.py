"""The tasks. A task is a function with a name; its arguments and result must be JSON."""

TASKS = {}


def task(function):
    TASKS[function.__name__] = function
    return function


@task
def wordcount(text):
    counts = {}
    for word in text.lower().split():
        counts[word] = counts.get(word, 0) + 1
    return counts


@task
def primes(below):
    sieve = [True] * below
    for n in range(2, int(below**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = [False] * len(sieve[n * n :: n])
    return [n for n in range(2, below) if sieve[n]]


def run(name, args):
    """Return (state, result)."""
    if name not in TASKS:
        return "failed", f"no task {name!r}"
    try:
        return "done", TASKS[name](**args)
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
