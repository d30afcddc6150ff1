# Kept by the template: copier update merges its changes into this file.
"""The code of scripts/test-runner.py, stack.py, test-watch.py and changed-services.py."""
