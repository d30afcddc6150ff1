"""Tests of the rendered files, each alone and all together."""
