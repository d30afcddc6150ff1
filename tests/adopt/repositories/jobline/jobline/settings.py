import os

BROKER_URL = os.environ.get("JOBLINE_BROKER", "redis://localhost:6379/0")
DB = {
    "host": os.environ.get("JOBLINE_DB_HOST", "localhost"),
    "user": os.environ.get("JOBLINE_DB_USER", "jobline"),
    "password": os.environ.get("JOBLINE_DB_PASSWORD", "jobline"),
    "database": os.environ.get("JOBLINE_DB_NAME", "jobline"),
}
WEB_PORT = int(os.environ.get("JOBLINE_WEB_PORT", "8888"))
