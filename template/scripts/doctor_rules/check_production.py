# Kept by the template: copier update merges its changes into this file.
"""Rules for production."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .check_dockerfiles import is_secret
from .compose import Environment
from .located_yaml import List, Map
from .model import Finding, external, rule
from .project import Project

external("compose-refused", "docker compose config refuses a compose file of production")

DEFAULT = re.compile(r"\$\{(\w+):?-([^{}]+)\}")
CREDENTIALS = re.compile(r"\w+://[^\s:/@$]+:([^\s:/@${}]+)@")


@rule("default-secret", "A secret of production has a default")
def default_secret(project: Project) -> Iterator[Finding]:
    """Report secrets that production knows without being given them."""
    why = "If the variable is not set, production runs with a secret that is in git."
    for file in project.compose_files:
        if file.environment is not Environment.PROD:
            continue
        found: set[tuple[int, str]] = set()
        for number, line in enumerate(project.text(file.path).splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            for name, _ in DEFAULT.findall(line):
                if is_secret(name):
                    found.add((number, name))
                    yield Finding(
                        "default-secret",
                        file.path,
                        number,
                        f"{name} has a default in production",
                        why,
                        f"${{{name}:?set it in .env}}",
                    )
            if CREDENTIALS.search(line):
                yield Finding(
                    "default-secret",
                    file.path,
                    number,
                    "an address contains a fixed password",
                    "The secret of production is in git.",
                    "…://user:${DATABASE_PASSWORD:?set it in .env}@…",
                )
        for service in file.services.values():
            if "environment" in service.own.merged:
                continue
            for name, (place, value) in service.environment.items():
                literal = (
                    value
                    and "$" not in value
                    and not re.fullmatch(r"(?i)true|false|yes|no|\d{1,2}|/.*", value)
                )
                if literal and is_secret(name):
                    yield Finding(
                        "default-secret",
                        file.path,
                        place,
                        f"{service.name} has a fixed {name} in production",
                        "The secret of production is in git.",
                        f"      {name}: ${{{name}:?set it in .env}}",
                    )


STACK_FILE = re.compile(r"(?:.*/)?(?:docker-)?stack(?:[.-][^/]*)?\.ya?ml")

#: What `docker stack deploy` ignores or drops, with a replacement.
IGNORED = {
    "tmpfs": "    volumes:\n      - type: tmpfs\n        target: /tmp",
    "restart": "    deploy:\n      restart_policy:\n        condition: any",
    "security_opt": '# /etc/docker/daemon.json of each node: "no-new-privileges": true',
    "shm_size": "    volumes:\n      - type: tmpfs\n        target: /dev/shm",
    "depends_on": "# remove it: the service must retry",
}
LOCAL_PORT = re.compile(r"(?:127\.[\d.]+|localhost|\[::1\]):.+")


@rule("stack-ignores", "docker stack deploy ignores a setting of a stack file")
def stack_ignores(project: Project) -> Iterator[Finding]:
    """Report settings of stack files that have no effect, although Compose knows them."""
    for path in project.files:
        if not STACK_FILE.fullmatch(path):
            continue
        for document in project.documents(path):
            services = document.get("services")
            for name, service in services.items() if isinstance(services, Map) else ():
                if not isinstance(service, Map):
                    continue
                for key in sorted(IGNORED.keys() & service.keys()):
                    yield Finding(
                        "stack-ignores",
                        path,
                        service.line_of(key),
                        f"{name} has {key}, which docker stack deploy ignores or refuses",
                        "The service then runs without the setting, and often without a message.",
                        IGNORED[key],
                    )
                ports = service.get("ports")
                for line, port in ports.numbered() if isinstance(ports, List) else ():
                    if LOCAL_PORT.fullmatch(str(port)):
                        yield Finding(
                            "stack-ignores",
                            path,
                            line,
                            f"{name} publishes {port} on all addresses of every node",
                            "docker stack deploy ignores the address of a published port.",
                            "# remove the port, and let the front door reach the service",
                        )
