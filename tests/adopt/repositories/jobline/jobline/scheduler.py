"""Deletes finished jobs every hour."""
import time

from jobline import db

while True:
    print("deleted", db.delete_old(days=7), flush=True)
    time.sleep(3600)
