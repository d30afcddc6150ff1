"""Runs migrations/*.sql once each, in order."""
import time
from pathlib import Path

from jobline import db

FOLDER = Path(__file__).parent.parent / "migrations"


def pending(files, done):
    return sorted(f for f in files if f.endswith(".sql") and f not in done)


def main():
    for attempt in range(30):
        try:
            with db.cursor() as c:
                c.execute("CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY)")
            break
        except Exception as error:
            print("database is not ready:", error, flush=True)
            time.sleep(1)
    with db.cursor() as c:
        c.execute("SELECT name FROM migration")
        done = {name for (name,) in c.fetchall()}
        for name in pending([p.name for p in FOLDER.iterdir()], done):
            c.execute((FOLDER / name).read_text())
            c.execute("INSERT INTO migration VALUES (%s)", (name,))
            print("ran", name, flush=True)


if __name__ == "__main__":
    main()
