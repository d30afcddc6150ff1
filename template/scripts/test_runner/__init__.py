# Kept by the template: copier update merges its changes into this file.
"""What the scripts beside this folder are made of."""
