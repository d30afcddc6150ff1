# Kept by the template: copier update merges its changes into this file.
"""The code of scripts/dev.py: the development environment of each checkout of this project."""
