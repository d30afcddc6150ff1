"""What scripts/test-runner.py and scripts/stack.py are made of.

Kept by the template: copier update merges its changes into these files.
"""
