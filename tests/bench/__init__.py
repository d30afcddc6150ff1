"""Measure the template and its projects: `nox -s bench` writes docs/benchmarks.md."""
