from jobline import tasks


def test_wordcount():
    assert tasks.run("wordcount", {"text": "a B b"}) == ("done", {"a": 1, "b": 2})


def test_primes():
    assert tasks.run("primes", {"below": 20}) == ("done", [2, 3, 5, 7, 11, 13, 17, 19])


def test_unknown_task():
    assert tasks.run("nope", {}) == ("failed", "no task 'nope'")


def test_error_is_the_result():
    state, result = tasks.run("primes", {"below": "x"})
    assert state == "failed"
    assert result.startswith("TypeError")
