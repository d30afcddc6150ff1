"""What scripts/test-runner.py is made of."""
