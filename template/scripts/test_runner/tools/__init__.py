# Kept by the template: copier update merges its changes into this file.
"""Test tools that do not write events: their output is read from the log.

`registry.py` lists the tools, a file here describes each, `base.py` is their interface, and
`output.py` splits a log into lines for them.
"""
