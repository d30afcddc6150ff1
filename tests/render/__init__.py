"""Tests of what the template renders: each file by itself, and the files with one another."""
