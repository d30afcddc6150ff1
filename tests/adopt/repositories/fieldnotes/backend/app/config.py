import os

POSTGRES = {
    "host": os.environ.get("POSTGRES_SERVER", "localhost"),
    "port": int(os.environ.get("POSTGRES_PORT", "5432")),
    "user": os.environ.get("POSTGRES_USER", "notes"),
    "password": os.environ.get("POSTGRES_PASSWORD", "notes"),
    "database": os.environ.get("POSTGRES_DB", "notes"),
}
API_PREFIX = "/api/v1"
