"""Small repositories for the tests of what adoption reads."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from extensions.discovery import Found
from extensions.override_files import override_files
from extensions.services import resolve


def write(root: Path, files: Mapping[str, str], *, git: bool = False) -> Path:
    """Write files, each without the indentation of its text; with `git`, git tracks them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    if git:
        subprocess.run(["git", "init", "--quiet", root], check=True)
        subprocess.run(["git", "-C", root, "add", "--all"], check=True)
    return root


def override_texts(found: Found) -> dict[str, str]:
    """Return the override files by path, with the answers that adoption proposes."""
    services = resolve(
        layout="multi", services=found.items, service_kind="custom", database=found.database,
        cache=found.cache, project_slug="shop", registry="ghcr.io/me",
    )  # fmt: skip
    return override_files(
        found, [asdict(service) for service in services], slug="shop",
        database=found.database, cache=found.cache,
    )  # fmt: skip


PYTHON = "FROM python:3.13-slim\nCOPY . .\nEXPOSE 8000\nCMD [uvicorn, app:app]\n"

#: A web application, its workers and its migrations, all from one image.
CELERY = {
    "docker-compose.yml": """
        x-app: &app
          build: {context: ., dockerfile: app/Dockerfile}
          env_file: .env
          environment: &env
            DATABASE_URL: postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@db/${POSTGRES_DB}
            BROKER: amqp://rabbit:5672
        services:
          web:
            <<: *app
            command: python manage.py runserver 0.0.0.0:8000
            ports: ["8000:8000"]
            volumes: ["./app:/code", "static:/static"]
            container_name: shop_web
            depends_on:
              db: {condition: service_healthy}
              migrate: {condition: service_completed_successfully}
          migrate: {<<: *app, command: python manage.py migrate}
          celery_worker: {<<: *app, command: celery -A shop worker}
          db:
            image: postgres:15
            env_file: .env
            volumes: ["./app/init.sql:/docker-entrypoint-initdb.d/init.sql"]
          redis: {image: "redis:7", command: redis-server --requirepass s3cret}
          rabbit: {image: "rabbitmq:4", ports: ["5672:5672"], volumes: ["mq:/var/lib/rabbitmq"]}
          adminer: {image: adminer, ports: ["8080:8080"]}
          nginx: {image: "nginx:1-alpine", volumes: ["static:/static"], depends_on: [web]}
        volumes: {static: , mq: }
        """,
    ".env.example": "POSTGRES_USER=shop\nPOSTGRES_PASSWORD=pw\nPOSTGRES_DB=shopdb\n",
    ".env": "POSTGRES_USER=real\nPOSTGRES_PASSWORD=real-secret\n",
    ".gitignore": ".env\n",
    "app/Dockerfile": PYTHON,
    "app/requirements.txt": "django\ncelery\n",
    "app/init.sql": "SELECT 1;\n",
}
