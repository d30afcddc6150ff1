"""Measure the template and what it makes: `nox -s bench`, which writes docs/benchmarks.md."""
