"""Two branches that each add a service, put together as docs/add-a-service.md says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from ..conftest import ROOT
from .conftest import NOW, Generate


def test_the_recipe_gives_both_services_their_own_port(
    generate: Generate, merge: Callable[..., tuple[int, str]]
) -> None:
    project = generate(services="engine:custom", database="none")
    project.git("switch", "--quiet", "--create", "billing")
    merge(project, "add-service", "billing:custom", f"--ref={NOW}")
    project.commit("Add billing")
    added = project.git("rev-parse", "HEAD").strip()
    project.append("services/billing/app.py", "# mine\n")
    project.commit("mine")
    project.git("switch", "--quiet", "main")
    merge(project, "add-service", "search:custom", f"--ref={NOW}")
    project.commit("Add search")
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "merge", "billing"]
    assert subprocess.run(command, cwd=project.root, capture_output=True).returncode == 1

    page = (ROOT / "docs/add-a-service.md").read_text()
    [recipe] = re.findall(r"    git merge --abort.*?cherry-pick[^\n]*", page, re.DOTALL)
    for line in recipe.splitlines():
        words = line.partition(" #")[0].replace("ADDED", added).split()
        if words[0] == "make":
            merge(project, "add-service", "billing:custom", f"--ref={NOW}")
        else:
            project.git(*" ".join(words[1:]).replace('"', "").replace("Add billing", "Add").split())

    ports = project.ports()
    assert {"ENGINE_PORT", "SEARCH_PORT", "BILLING_PORT"} == ports.keys()
    assert len(set(ports.values())) == 3
    assert project.read("services/billing/app.py").endswith("# mine\n")
    assert project.status() == []
