"""The rules of scripts/doctor.py, and the readers of the files that they check."""
# Kept by the template: copier update merges its changes into this file.
