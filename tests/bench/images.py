"""The size of a project's images."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from .common import Bench, run


def section(bench: Bench) -> str:
    """Build the images of a project and measure their size."""
    project = bench.project()
    images = {path.parent.name: path for path in sorted(project.glob("services/*/Dockerfile"))}
    answers = (project / ".copier-answers.yml").read_text()
    registry = re.search(r"^registry: (.*)$", answers, re.MULTILINE)
    assert registry
    tags = {name: f"{registry[1]}/{project.name}-{name}:bench" for name in images}
    rows = []
    try:
        bench.say("make build")
        run("make", "build", "VERSION=bench", cwd=project)
        for name, tag in tags.items():
            base = base_of(images[name])
            rows.append(f"| {name} | `{base}` | {(size(tag) - size(base)) / 1e6:.2f} MB |")
    finally:
        subprocess.run(["docker", "image", "rm", "--force", *tags.values()], capture_output=True)
    line = "\n"
    return f"""\
## Images

The size that the service and its dependencies add to the base image.

| service | base image | added |
| --- | --- | --- |
{line.join(rows)}
"""


def base_of(dockerfile: Path) -> str:
    """Return the external image that a Dockerfile's last stage is based on."""
    stages: dict[str, str] = {}
    image = ""
    for line in dockerfile.read_text().splitlines():
        if found := re.fullmatch(r"FROM (\S+)(?: AS (\S+))?", line, re.IGNORECASE):
            image = stages.get(found[1], found[1])
            stages[found[2] or ""] = image
    return image


def size(image: str) -> int:
    """Return the size of an image in bytes."""
    done = subprocess.run(
        ["docker", "image", "inspect", image], check=True, capture_output=True, text=True
    )
    return int(json.loads(done.stdout)[0]["Size"])
