"""Contracts between the files of a project.

Each contract is a function that reads a rendered project and yields its problems, one in each line.
They only read the files, so they can be tested with a project that is broken on purpose.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

#: The targets that the pipeline calls, in each layout.
SERVICE_TARGETS = frozenset({"setup", "test-unit", "test-service", "lint", "format", "lock"})
SINGLE_TARGETS = SERVICE_TARGETS - {"test-service"} | {"test-integration", "test-against-stack"}

#: Variables that Compose itself or scripts/stack.py sets.
BUILT_IN = {"dev": {"COMPOSE_PROJECT_NAME"}, "test": {"COMPOSE_PROJECT_NAME", "TEST_INSTANCE_ID"}}

#: What Compose replaces: `$NAME`, `${NAME}`, `${NAME:-default}`; `$$` is a dollar.
VARIABLE = re.compile(
    r"\$(?:\$|\{(?P<name>\w+)(?:(?P<operator>:?[-?+])(?P<rest>(?:[^{}]|\$\{[^{}]*\})*))?\}|(?P<plain>[A-Za-z_]\w*))"
)
#: A line of an .env.example. A commented line shows the default.
ASSIGNMENT = re.compile(r"(?P<off># )?(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")
#: The variables of logs and traces. All have a default, and tests do not set them.
OBSERVED = {"LOG_FORMAT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$")

#: `make` as a command: in quotes, at the start of a line, or after a word that introduces a command;
#: also anywhere with a target that is not an English word.
MAKE = re.compile(
    r"(?P<lead>^\s*|[`'\"(;&|:]\s*|\b(?:[Rr]un|[Tt]ry|[Tt]hen)\s+|\s)make"
    r"(?P<options>(?:\s+(?:-C\s+\S+|-f\s+[^\s\"]+(?=\s)|--?(?!f\b)[a-z][\w-]*|[A-Z_]+=\S+))*)"
    r"\s+(?P<target>[a-z][a-z0-9-]*)",
    re.MULTILINE,
)
PROSE = {"a", "an", "it", "its", "itself", "no", "one", "sure", "that", "the", "them", "up"}
SCRIPT = re.compile(r"(?<![\w/.-])(?:\./)?scripts/([\w-]+(?:\.[a-z]+)?)(?![\w/*])")
#: A script that is the same in both layouts, and a name that it uses from the other layout.
IN_BOTH_LAYOUTS = {("scripts/test-runner.py", "test-service.sh")}
#: The command of Compose 1, and deprecated options of Compose.
COMPOSE_1 = re.compile(r"\bdocker-compose(?!\S*\.(?:override\.)?yml)(?=\s+[a-z-])")
DEPRECATED = re.compile(r"COMPOSE_BAKE|DOCKER_BUILDKIT|--compatibility|--no-ansi")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


@dataclass(frozen=True)
class Compose:
    """A compose file, before Compose substitutes its variables."""

    root: Path
    path: Path

    @property
    def data(self) -> dict[str, Any]:
        """The content, with YAML's anchors and merges resolved."""
        return parsed(self.path.read_text(encoding="utf-8"))

    @property
    def name(self) -> str:
        """The path in the project."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def environment(self) -> str:
        """The environment: dev, test or prod."""
        return self.path.parent.name

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """Its containers."""
        found: dict[str, dict[str, Any]] = self.data.get("services", {})
        return found

    @property
    def scope(self) -> str:
        """The scope of a test stack: a service's name, or `full`."""
        parts = self.path.relative_to(self.root).parts
        return parts[1] if parts[0] == "services" else "full"

    @property
    def one_shots(self) -> set[str]:
        """The one-shot containers, which other containers wait for."""
        return {
            target
            for service in self.services.values()
            for target, how in dependencies(service).items()
            if how == "service_completed_successfully"
        }

    def build(self, name: str) -> tuple[Path, str] | None:
        """Return the build context and the stage of a container, or None if its image is pulled."""
        found = self.services[name].get("build")
        if found is None:
            return None
        if isinstance(found, str):
            found = {"context": found}
        return (self.path.parent / found["context"]).resolve(), found.get("target", "")

    def variables(self) -> dict[str, set[tuple[str, str]]]:
        """Return the variables that the file reads, each with its operators and defaults."""
        found: dict[str, set[tuple[str, str]]] = {}
        for text in strings(self.data):
            for match in VARIABLE.finditer(text):
                name = match["name"] or match["plain"]
                if name:
                    found.setdefault(name, set()).add(
                        (match["operator"] or "", match["rest"] or "")
                    )
        return found


@dataclass(frozen=True)
class Variable:
    """A line of an .env.example."""

    name: str
    value: str
    commented: bool
    prose: str  #: the comment above it


@functools.lru_cache(maxsize=64)
def parsed(text: str) -> dict[str, Any]:
    """Return a compose file. Many contracts share the result: do not change it."""
    found = yaml.load(text, yaml.CSafeLoader)
    return found if isinstance(found, dict) else {}


def strings(node: Any) -> Iterator[str]:
    """Return every string in parsed YAML, including keys."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from strings(key)
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def dependencies(service: dict[str, Any]) -> dict[str, str]:
    """Return the containers that a container waits for, each with the condition."""
    found = service.get("depends_on") or {}
    if isinstance(found, list):
        return dict.fromkeys(found, "service_started")
    return {name: how.get("condition", "service_started") for name, how in found.items()}


def compose_files(root: Path) -> list[Compose]:
    """Return the compose file of every environment of a project."""
    return [Compose(root, path) for path in sorted(root.rglob("docker-compose.yml"))]


def compose_file(root: Path, environment: str) -> Compose:
    """Return the compose file of one of the project's three environments."""
    return Compose(root, root / "deploy" / environment / "docker-compose.yml")


def own_services(root: Path) -> dict[str, Path]:
    """Return the project's own services, which dev builds, each with its folder."""
    dev = compose_file(root, "dev")
    return {name: found[0] for name in dev.services if (found := dev.build(name))}


def is_own(compose: Compose, name: str) -> bool:
    """Return whether a container runs an image of this project."""
    image = compose.services[name].get("image", "")
    own = image.startswith("${COMPOSE_PROJECT_NAME}-") or "${TEST_INSTANCE_ID}/" in image
    return own or name in own_services(compose.root)


def env_example(path: Path) -> list[Variable]:
    """Return the variables of an .env.example; lines in one block share the comment."""
    found = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        prose: list[str] = []
        for line in block.splitlines():
            if match := ASSIGNMENT.fullmatch(line):
                off, name, value = match.group("off", "name", "value")
                found.append(Variable(name, value, bool(off), " ".join(prose)))
            else:
                prose.append(line)
    return found


def make_targets(makefile: Path) -> set[str]:
    """Return the targets of a Makefile."""
    if not makefile.is_file():
        return set()
    rules = re.findall(r"^([a-z][\w -]*):(?!=)", makefile.read_text(encoding="utf-8"), re.MULTILINE)
    return {target for rule in rules for target in rule.split()}


def stage(dockerfile: Path, target: str) -> list[tuple[str, str]]:
    """Return a stage's instructions, including those of its base stages."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text(encoding="utf-8"))
    stages: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "FROM":
            base, _, alias = rest.partition(" AS ")
            name = alias.strip() or str(len(stages))
            stages[name] = list(stages.get(base.strip(), []))
        elif word and not word.startswith("#") and name:
            stages[name].append((word.upper(), rest.strip()))
    return stages.get(target or name, [])


def last(instructions: list[tuple[str, str]], word: str) -> str:
    """Return the value of the last instruction of a kind."""
    return next((rest for found, rest in reversed(instructions) if found == word), "")


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """Return every text file of a project: its path and its content."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


@functools.cache
def matches(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Return all matches. Most texts are the same in many projects, so each is searched once."""
    return list(pattern.finditer(text))


def has_all_files(root: Path) -> Iterator[str]:
    """Every service that is built has its Dockerfile, its targets and its tests."""
    multi = (root / "services").is_dir()
    for compose in compose_files(root):
        for name in compose.services:
            if not (found := compose.build(name)):
                continue
            folder, target = found
            dockerfile = folder / "Dockerfile"
            if not dockerfile.is_file():
                yield f"{compose.name}: {name} has no {dockerfile}"
            elif not stage(dockerfile, target):
                yield f"{compose.name}: {name} is built from the stage {target!r}, which does not exist"
            if not (folder / ".dockerignore").is_file() and name in own_services(root):
                yield f"{compose.name}: {name} has no .dockerignore"
    for name, folder in own_services(root).items():
        makefile = (folder if multi else root) / "Makefile"
        wanted = SERVICE_TARGETS if multi else SINGLE_TARGETS
        for target in sorted(wanted - make_targets(makefile)):
            yield f"{makefile.relative_to(root)}: has no target {target}, for {name}"
        # Only an adopted service has this text, and these projects have none.
        if makefile.is_file() and "exit 1" in makefile.read_text(encoding="utf-8"):
            yield f"{makefile.relative_to(root)}: leaves a target to the user"
        for kind in ("unit", "integration"):
            if not any((folder / "tests" / kind).rglob("*test*")):
                yield f"{name}: has no tests/{kind}"
        if multi and not (folder / "deploy/test/docker-compose.yml").is_file():
            yield f"{name}: has no deploy/test/docker-compose.yml"
        for environment in ("test", "prod"):
            if name not in compose_file(root, environment).services:
                yield f"deploy/{environment}/docker-compose.yml: {name} is missing"
    for folder in sorted(root.glob("services/*/")):
        if folder.resolve() not in own_services(root).values():
            yield f"deploy/dev/docker-compose.yml: services/{folder.name} is not in it"


def mounts_existing_files(root: Path) -> Iterator[str]:
    """Containers mount existing folders. A mount of a file misses a save that replaces the file."""
    for compose in compose_files(root):
        for name, service in compose.services.items():
            for volume in service.get("volumes", []):
                source = volume if isinstance(volume, str) else volume.get("source", "")
                source = source.split(":")[0]
                if not source.startswith("."):
                    continue
                path = compose.path.parent / source
                if source.startswith("./.state/"):  # deploy.sh or Docker creates it.
                    continue
                if not path.exists():
                    yield f"{compose.name}: {name} mounts {source}, which does not exist"
                elif not path.is_dir():
                    yield f"{compose.name}: {name} mounts the file {source}, not its folder"


def runs_safely(root: Path) -> Iterator[str]:
    """An image runs as a numeric user other than root, has a health check and handles signals."""
    for compose in compose_files(root):
        for name in compose.services:
            found = compose.build(name)
            if not found or not (dockerfile := found[0] / "Dockerfile").is_file():
                continue
            where = f"{dockerfile.relative_to(root)} ({found[1] or 'last stage'})"
            instructions = stage(dockerfile, found[1])
            user = last(instructions, "USER")
            if not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", user):
                yield f"{where}: USER is {user!r}, which is not a number above 0"
            if not last(instructions, "HEALTHCHECK").startswith("CMD ["):
                yield f"{where}: has no HEALTHCHECK CMD [...] without options"
            command = last(instructions, "CMD")
            if not command.startswith("["):
                yield f"{where}: CMD is {command!r}, not in exec form"
            ports = {
                port for word, rest in instructions if word == "EXPOSE" for port in rest.split()
            }
            for port in compose.services[name].get("ports", []):
                if (inside := port.rpartition(":")[2]) not in ports:
                    yield f"{where}: {compose.name} publishes {inside}, which is not in EXPOSE"


def sets_modes(root: Path) -> Iterator[str]:
    """An image gets no mode from the machine that builds it, which may have a strict umask."""
    for path in sorted(root.rglob("Dockerfile")):
        text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
        for number, line in enumerate(text.splitlines(), 1):
            word, *words = line.split() or [""]
            if word not in ("COPY", "ADD"):
                continue
            options = [word for word in words if word.startswith("--")]
            if any(option.startswith("--from=") for option in options):
                continue
            where = f"{path.relative_to(root)}:{number}"
            modes = [option for option in options if option.startswith("--chmod=")]
            if not modes:
                yield f"{where}: copies with the modes of the working tree: {line}"
            # A folder needs x, and the older versions of BuildKit know no symbolic modes.
            for source in words[len(options) : -1]:
                wanted = "755" if (path.parent / source).is_dir() else "644"
                if modes and modes != [f"--chmod={wanted}"]:
                    yield f"{where}: copies {source} with {modes[0]}, not {wanted}"


def has_health_checks(root: Path) -> Iterator[str]:
    """Every long-running container has a health check, with the interval of its environment."""
    for compose in compose_files(root):
        for name, service in compose.services.items():
            if name in compose.one_shots:
                if "healthcheck" in service:
                    yield f"{compose.name}: {name} runs once, but has a health check"
                continue
            check = service.get("healthcheck")
            if not check:
                if name != "traces":  # Its image has no shell.
                    yield f"{compose.name}: {name} has no healthcheck"
                continue
            built = is_own(compose, name) or compose.build(name)
            if built and "test" in check:
                yield f"{compose.name}: {name} has a healthcheck.test beside its Dockerfile's"
            if not built and not check.get("test"):
                yield f"{compose.name}: {name} has no healthcheck.test"
            test = " ".join(check.get("test", []))
            if ("curl" in test or "wget" in test) and "caddy" not in service.get("image", ""):
                yield f"{compose.name}: {name} uses a program that its image may lack: {test}"
            interval = seconds(check.get("interval", "30s"))
            first = seconds(check.get("start_interval", "5s"))
            if compose.environment == "test" and (interval != 15 or first > 1):
                yield f"{compose.name}: {name} is checked every {interval:g} s, {first:g} s at start"
            if compose.environment != "test" and (interval != 30 or not first < 5):
                yield f"{compose.name}: {name} is checked every {interval:g} s, {first:g} s at start"
            if not check.get("start_period"):
                yield f"{compose.name}: {name} has no start_period, so its start counts as failures"


def seconds(duration: str) -> float:
    """Return the seconds of a duration in Compose's format."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", duration))


def explains_variables(root: Path) -> Iterator[str]:
    """The .env.example explains exactly the variables that the compose file reads."""
    for compose in compose_files(root):
        used = compose.variables()
        for name in BUILT_IN.get(compose.environment, set()):
            used.pop(name, None)
        example = compose.path.with_name(".env.example")
        where = example.relative_to(root).as_posix()
        if not example.is_file():
            for name in sorted(used):
                yield f"{compose.name}: reads {name}, but has no .env.example"
            continue
        explained = env_example(example)
        for name, count in Counter(variable.name for variable in explained).items():
            if count > 1:
                yield f"{where}: {name} occurs {count} times"
        for name in sorted(set(used) - {variable.name for variable in explained}):
            yield f"{where}: {name} is missing, which {compose.name} reads"
        script = compose.path.with_name("deploy.sh")
        settings = script.read_text(encoding="utf-8") if script.is_file() else ""
        for variable in explained:
            if variable.name not in used:
                if f"$(setting {variable.name} " in settings:
                    continue
                yield f"{where}: {variable.name} is not read by {compose.name}"
                continue
            defaults = {use for use in used[variable.name] if use[0] != ":+"} or {(":-", "")}
            if not re.search(r"# .*\w", variable.prose):
                yield f"{where}: {variable.name} has no comment above it"
            if not variable.value and not variable.commented:
                if {operator for operator, _ in used[variable.name]} != {":?"}:
                    yield f"{where}: {variable.name} is empty, but {compose.name} does not require it"
                if "Required" not in variable.prose:
                    yield f"{where}: {variable.name} is required, but its comment does not say so"
            elif defaults != {(":-", variable.value)}:
                given = sorted(rest for _, rest in used[variable.name])
                yield f"{where}: {variable.name}={variable.value}, but {compose.name} has {given}"


def requires_secrets(root: Path) -> Iterator[str]:
    """In prod, releases and storage have no default, and each container reads only its own secrets."""
    compose = compose_file(root, "prod")
    script = (root / "deploy/prod/deploy.sh").read_text(encoding="utf-8")
    made = re.findall(r"\w+", "".join(re.findall(r'^secrets="(.*)"$', script, re.MULTILINE)))
    made += re.findall(r": >secrets/(\w+)", script)
    files = {name: secret["file"] for name, secret in compose.data.get("secrets", {}).items()}
    if files != {name: f"./secrets/{name}" for name in made}:
        yield f"{compose.name}: has the secrets {files}, and deploy.sh creates {made}"
    for name, uses in compose.variables().items():
        if SECRET.search(name) or name == "VERSION" or name.endswith("_DIR"):
            for operator, rest in sorted(uses):
                if operator != ":?" or not rest.strip():
                    yield f"{compose.name}: {name} is not required with a reason"
    for name, service in compose.services.items():
        for key, value in (service.get("environment") or {}).items():
            if SECRET.search(key) and not key.endswith("_FILE"):
                yield f"{compose.name}: {name} gets {key}={value}, which is not a file"
            if re.search(r"://[^/]*:[^/]*@", str(value)):
                yield f"{compose.name}: {name} gets a password as a part of {key}"
        text = " ".join(strings(service))
        named = set(re.findall(r"(?<=/run/secrets/)\w+", text))
        # The container that sets up the database reads the password of each role.
        if "/run/secrets/:'name'_database_password" in text:
            named |= {secret for secret in files if secret.endswith("_database_password")}
        given = set(service.get("secrets", []))
        # A script of the backup reads the files of its folder.
        if named - given or (given - named and "/opt/backup" not in text):
            yield f"{compose.name}: {name} gets {service.get('secrets')}, and reads {sorted(named)}"


def names_existing_targets_and_files(root: Path) -> Iterator[str]:
    """Every make target, script and file that a text names exists."""
    top = make_targets(root / "Makefile")
    folders = {
        path.parent.relative_to(root).as_posix() for path in root.glob("services/*/Makefile")
    }
    anywhere = set().union(*(make_targets(root / folder / "Makefile") for folder in folders))
    for name, text in texts(root):
        here = {folder for folder in folders if name.startswith(f"{folder}/")}
        for match in matches(MAKE, text):
            target, options = match["target"], match["options"]
            in_prose = match["lead"] == " " and "-" not in target and not options
            if target in PROSE or in_prose:
                continue
            inside = re.search(r"-C\s+[\"']?([^\s\"']+)", options)
            if inside is None:
                known = top.union(*(make_targets(root / folder / "Makefile") for folder in here))
            elif inside[1] in folders:
                known = make_targets(root / inside[1] / "Makefile")
            elif folders:  # A variable, or NAME, matches any of them.
                known = anywhere
            else:  # A script for both layouts may name files of the other one.
                continue
            if target not in known:
                yield f"{name}: make {target} is not a target"
        for script in (match[1] for match in matches(SCRIPT, text)):
            if (name, script) in IN_BOTH_LAYOUTS and not folders:
                continue
            if not (root / "scripts" / script).is_file():
                yield f"{name}: scripts/{script} does not exist"
        if name.endswith(".md"):
            for link in LINK.findall(text):
                if not (root / name).parent.joinpath(link).exists():
                    yield f"{name}: links to {link}, which does not exist"


#: The services of production that publish ports.
DOORS = ("door", "https")


def publishes_safe_ports(root: Path) -> Iterator[str]:
    """Ports: fixed, unique and local in dev; dynamic and local in test; the front doors in prod."""
    for compose in compose_files(root):
        waited_for = {
            target for service in compose.services.values() for target in dependencies(service)
        }
        seen: dict[str, str] = {}
        for name, service in compose.services.items():
            for port in service.get("ports", []):
                if (compose.environment, name) == ("prod", "https"):
                    if port not in ("80:80", "443:443", "443:443/udp"):
                        yield f"{compose.name}: {name} publishes {port!r}"
                    continue
                patterns = {
                    "dev": r"127\.0\.0\.1:\$\{\w+_PORT:-(\d+)\}:\d+",
                    "test": r"127\.0\.0\.1:():\d+",
                    "prod": r"\$\{BIND_ADDRESS:-127\.0\.0\.1\}:\$\{\w+_PORT:-(\d+)\}:\d+",
                }
                match = re.fullmatch(patterns[compose.environment], port)
                if not match:
                    yield f"{compose.name}: {name} publishes {port!r}"
                elif match[1] and match[1] in seen:
                    yield f"{compose.name}: {name} and {seen[match[1]]} both publish {match[1]}"
                else:
                    seen[match[1]] = name
            if compose.environment == "prod" and service.get("ports") and name in waited_for:
                yield f"{compose.name}: {name} is published, but another service needs it"
            if compose.environment == "prod" and service.get("ports") and name not in DOORS:
                yield f"{compose.name}: {name} is published, and not through the door"
    dev, prod = compose_file(root, "dev"), compose_file(root, "prod")
    before = {target for service in prod.services.values() for target in dependencies(service)}
    for name in own_services(root):
        has_door = bool(dev.services[name].get("ports"))
        doors = " ".join(prod.services.get("door", {}).get("ports", []))
        variable = name.upper().replace("-", "_")
        if has_door and name not in before and f"${{{variable}_PORT:-" not in doors:
            yield f"{prod.name}: {name} is not published, and no other service needs it"
    published = {match for text in strings(dev.data) for match in re.findall(r"_PORT:-(\d+)", text)}
    readme = root / "README.md"
    for port in re.findall(
        r"http://(?:127\.0\.0\.1|localhost):(\d+)", readme.read_text(encoding="utf-8")
    ):
        if port not in published:
            yield f"README.md: nothing is on port {port} in development"


def isolates_tests(root: Path) -> Iterator[str]:
    """A test stack shares no resource, labels all of them, and leaves none behind."""
    for compose in compose_files(root):
        if compose.environment != "test":
            continue
        slug = compose_file(root, "prod").data["name"]
        name = compose.data.get("name", "")
        prefix = f"{slug}-test-${{TEST_INSTANCE_ID}}"
        if not re.fullmatch(
            rf"{slug}-test-\$\{{TEST_INSTANCE_ID:\?[^}}]+\}}-{compose.scope}", name
        ):
            yield f"{compose.name}: is called {name!r}"
        labels = {
            "test.project": slug,
            "test.instance": "${TEST_INSTANCE_ID}",
            "test.scope": compose.scope,
        }
        if compose.data.get("volumes"):
            yield f"{compose.name}: has named volumes"
        # Compose writes a config's content into the container, so the engine stores no object.
        for kind in ("networks", "volumes", "secrets"):
            for key, found in (compose.data.get(kind) or {}).items():
                if not labels.items() <= ((found or {}).get("labels") or {}).items():
                    yield f"{compose.name}: {kind}.{key} is not labelled"
        if "default" not in (compose.data.get("networks") or {}):
            yield f"{compose.name}: the default network is not labelled"
        addresses: list[str] = []
        for key, service in compose.services.items():
            if not labels.items() <= (service.get("labels") or {}).items():
                yield f"{compose.name}: {key} is not labelled"
            build, image = service.get("build"), service.get("image", "")
            # All stacks of an instance share images, so an image has no scope label.
            of_instance = {name: labels[name] for name in ("test.project", "test.instance")}
            if build and (isinstance(build, str) or build.get("labels") != of_instance):
                yield f"{compose.name}: the image of {key} is not labelled"
            if (build or is_own(compose, key)) and not image.startswith(f"{prefix}/"):
                yield f"{compose.name}: the image of {key} is shared with other instances"
            for word in ("volumes", "restart", "env_file", "network_mode", "networks", "develop"):
                if word in service:
                    yield f"{compose.name}: {key} has {word}"
            url = service.get("labels", {}).get("test.url")
            if bool(url) != bool(service.get("ports")):
                yield f"{compose.name}: {key} needs ports and a label test.url, or neither"
            if url:
                match = re.fullmatch(
                    r"(TEST_[A-Z0-9_]+_URL)=[a-z]+://(?:\w+:\w+@)?HOST:(\d+)(/\w*)?", url
                )
                if not match or f"127.0.0.1::{match[2]}" not in service.get("ports", []):
                    yield f"{compose.name}: {key} has the label test.url {url!r}"
                else:
                    addresses.append(match[1])
            stays = key not in compose.one_shots
            if stays and not build and not is_own(compose, key) and not service.get("tmpfs"):
                yield f"{compose.name}: {key} keeps its data on a disk: it has no tmpfs"
        for address, count in Counter(addresses).items():
            if count > 1:
                yield f"{compose.name}: {count} containers have the address {address}"


def reaches_addresses(root: Path) -> Iterator[str]:
    """The test stack provides every address that its tests read."""
    for compose in compose_files(root):
        if compose.environment != "test":
            continue
        offered = {
            str(service.get("labels", {}).get("test.url")).split("=")[0]
            for service in compose.services.values()
        }
        tests = compose.path.parents[2] / "tests/integration"
        for path in sorted(tests.rglob("*")):
            if path.suffix in (".py", ".ts", ".js"):
                for address in sorted(
                    set(re.findall(r"\bTEST_[A-Z0-9_]+_URL\b", path.read_text("utf-8")))
                ):
                    if address not in offered:
                        yield f"{path.relative_to(root)}: {compose.name} offers no {address}"


def settings(folder: Path) -> set[str]:
    """Return the environment variables that a service's code reads."""
    found: set[str] = set()
    for path in sorted(folder.rglob("*")):
        # In a single project, the service's folder is the project's.
        if path.relative_to(folder).parts[0] in ("tests", "scripts", "deploy"):
            continue
        if path.name == "settings.py":
            found |= {name.upper() for name in read(r"^    (\w+): \w+", path)}
        elif path.name == "settings.ts":
            found |= set(read(r"^  ([A-Z_]+): z\b", path))
        elif path.suffix == ".py":
            found |= set(read(r'\bos\.environ(?:\[|\.get\()"([A-Z_]+)"', path))
    return found


def read(pattern: str, path: Path) -> list[str]:
    """Return what a pattern finds in a file."""
    return re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)


def host(value: object) -> str | None:
    """Return the host of an address in a compose file."""
    return urlsplit(VARIABLE.sub("variable", str(value))).hostname


def gives_settings(root: Path) -> Iterator[str]:
    """Each environment gives a service exactly the variables that its code reads.

    The addresses of other services are extra: a skeleton need not use them.
    """
    own = own_services(root)
    for compose in compose_files(root):
        for name in sorted(set(own) & set(compose.services)):
            needed = settings(own[name]) - OBSERVED
            if not needed:  # A page reads no settings, and a custom service has only a placeholder.
                continue
            given = {
                key
                for key, value in (compose.services[name].get("environment") or {}).items()
                if host(value) not in own and key not in OBSERVED
            }
            # Only prod has a proxy, and addresses without a password.
            optional = {key for key in needed if key.endswith("_PASSWORD_FILE")} | {"TRUST_PROXY"}
            for key in sorted(
                needed - given - (optional if compose.environment != "prod" else set())
            ):
                yield f"{compose.name}: {name} reads {key}, which it does not get"
            # The libraries read these variables.
            libraries = {"FORWARDED_ALLOW_IPS", "NO_PROXY", "PGPASSWORD", "no_proxy"}
            for key in sorted(given - needed - libraries):
                yield f"{compose.name}: {name} gets {key}, which it does not read"


def replaces_the_outside(root: Path) -> Iterator[str]:
    """In tests, every address that a service gets is a container's, which is ready before it starts."""
    own = own_services(root)
    for compose in compose_files(root):
        if compose.environment != "test":
            continue
        for name, service in compose.services.items():
            before = all_dependencies(compose, name)
            for key, value in (service.get("environment") or {}).items():
                if "://" not in str(value):
                    continue
                target = host(value)
                if target not in compose.services and target not in own:
                    yield f"{compose.name}: {name} gets {key}={value}, which is no container"
                elif target in compose.services and target not in before:
                    yield f"{compose.name}: {name} gets {key}={value}, and does not wait for {target}"


def avoids_proxies(root: Path) -> Iterator[str]:
    """No request to another container goes to a proxy of Docker's client configuration."""
    for compose in compose_files(root):
        for name, service in compose.services.items():
            environment = service.get("environment") or {}
            hosts = {
                name
                for value in environment.values()
                for name in re.findall(r"https?://([\w.-]+)", str(value))
            }
            called = hosts & {*compose.services, *own_services(root)}
            for variable in ("NO_PROXY", "no_proxy") if called else ():
                names = str(environment.get(variable, "")).split(",")
                for other in sorted({"127.0.0.1", "localhost", *called} - set(names)):
                    yield f"{compose.name}: {name} calls {other}, which is not in {variable}"
    for path in sorted(root.rglob("Dockerfile")):
        check = last(stage(path, ""), "HEALTHCHECK")
        if "wget" in check and '"-Y", "off"' not in check:
            yield f"{path.relative_to(root)}: its health check uses a proxy of the environment"
        for name in ("", "dev"):
            command = last(stage(path, name), "CMD")
            if "src/main.ts" in command and "--use-env-proxy" not in command:
                yield f"{path.relative_to(root)}: fetch ignores a proxy of the environment"


def escapes_passwords(root: Path) -> Iterator[str]:
    """In dev, a password can have any characters, because no address contains it.

    A custom service gets it in its address, because some libraries ignore PGPASSWORD. `make dev` encodes
    it there.
    """
    dev = compose_file(root, "dev")
    custom = {name for name, folder in own_services(root).items() if (folder / "app.py").exists()}
    for name, service in dev.services.items():
        environment = service.get("environment") or {}
        if name in custom:
            for key, value in environment.items():
                if "PASSWORD" in str(value) and ":${POSTGRES_PASSWORD_ENCODED:-" not in str(value):
                    yield f"{dev.name}: {name} gets {key} with a password that is not encoded"
            continue
        for key, value in environment.items():
            if "://" in str(value) and "PASSWORD" in str(value):
                yield f"{dev.name}: {name} gets a password as a part of {key}"
        urls = [value for value in environment.values() if "@database:" in str(value)]
        if urls and "POSTGRES_PASSWORD" not in str(environment.get("PGPASSWORD")):
            yield f"{dev.name}: {name} gets no PGPASSWORD"


def all_dependencies(compose: Compose, name: str) -> set[str]:
    """Return the containers that a container waits for, directly or not."""
    found: set[str] = set()
    left = [name]
    while left:
        for target in set(dependencies(compose.services.get(left.pop(), {}))) - found:
            found.add(target)
            left.append(target)
    return found


def migrates_first(root: Path) -> Iterator[str]:
    """A service that has migrations starts after they have run, in its own image, on its database."""
    own = own_services(root)
    for compose in compose_files(root):
        for name in sorted(set(own) & set(compose.services)):
            if not any(own[name].rglob("migrations")):
                continue
            service = compose.services[name]
            runs = [
                compose.services[target]
                for target, how in dependencies(service).items()
                if how == "service_completed_successfully"
                and compose.services.get(target, {}).get("image") == service["image"]
            ]
            if len(runs) != 1:
                yield f"{compose.name}: {name} waits for {len(runs)} containers that migrate"
                continue
            url = service["environment"]["DATABASE_URL"]
            given = {**runs[0].get("environment", {})}
            if compose.environment == "dev":
                given.pop("PGPASSWORD", None)
            wanted = {"DATABASE_URL": url}
            if file := service["environment"].get("DATABASE_PASSWORD_FILE"):
                wanted["DATABASE_PASSWORD_FILE"] = file
            if given != wanted:
                yield f"{compose.name}: the migrations of {name} get {runs[0].get('environment')}"
            for word in runs[0].get("command") or ["nothing/"]:
                if "/" in word and not (own[name] / word).is_file():
                    yield f"{compose.name}: the migrations of {name} run {word}, which is not there"


def hardens_production(root: Path) -> Iterator[str]:
    """In prod, containers have limits, logging and restarts; our own also drop all privileges."""
    compose = compose_file(root, "prod")
    images = [service.get("image", "") for service in compose.services.values()]
    released = tuple(image.partition("${VERSION")[0] for image in images if "${VERSION" in image)
    for name, service in compose.services.items():
        once = name in compose.one_shots
        own = name in own_services(root) or service.get("image", "").startswith(released)
        wanted: dict[str, Any] = {
            "restart": "no" if once else "unless-stopped",
            "security_opt": ["no-new-privileges:true"],
        }
        if own:
            wanted |= {"init": True, "read_only": True, "cap_drop": ["ALL"]}
        for key, value in wanted.items():
            if service.get(key) != value:
                yield f"{compose.name}: {name} has {key}: {service.get(key)}, not {value}"
        if own and "/tmp" not in service.get("tmpfs", []):
            yield f"{compose.name}: {name} has no tmpfs /tmp"
        if "stop_grace_period" not in service:
            yield f"{compose.name}: {name} has no stop_grace_period"
        logging = service.get("logging", {})
        if logging.get("driver") != "json-file" or not {"max-size", "max-file"} <= set(
            logging.get("options", {})
        ):
            yield f"{compose.name}: the log of {name} is not rotated"
        limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
        # A one-shot container with a public image, which runs before all others.
        if not (once and not own):
            for limit in sorted({"cpus", "memory", "pids"} - set(limits)):
                yield f"{compose.name}: {name} has no limit of {limit}"
            for limit, value in limits.items():
                if not re.fullmatch(r"\$\{\w+:-[^}]+\}", str(value)):
                    yield f"{compose.name}: the {limit} of {name} cannot be set: {value}"
        for word in ("build", "privileged", "cap_add", "network_mode", "pid", "ipc", "devices"):
            added = word == "cap_add" and not own and service.get("cap_drop") == ["ALL"]
            if word in service and not added:
                yield f"{compose.name}: {name} has {word}"
        if own and not re.search(r":\$\{VERSION:\?[^}]+\}$", service.get("image", "")):
            yield f"{compose.name}: {name} runs {service.get('image')}, not a required VERSION"
        if own and service.get("volumes"):
            yield f"{compose.name}: {name} mounts something"
        for volume in service.get("volumes", []):
            source = volume.get("source", "") if isinstance(volume, dict) else volume
            # Files of this folder, which the container cannot change.
            if source.startswith("./") and source.endswith((":ro", "/certificates:/data")):
                continue
            if not re.match(r"\$\{\w+_DIR:\?", source):
                yield f"{compose.name}: {name} keeps its data in {source}, which is not a required folder"
    if compose.data.get("volumes"):
        yield f"{compose.name}: has named volumes"


def separates_networks(root: Path) -> Iterator[str]:
    """In prod, a web page reaches the services that it calls, but not the database or the cache."""
    dev, prod = compose_file(root, "dev"), compose_file(root, "prod")

    def networks(name: str) -> set[str]:
        return set(prod.services.get(name, {}).get("networks") or ["default"])

    for name, folder in own_services(root).items():
        for value in (dev.services[name].get("environment") or {}).values():
            other = host(value)
            if other in prod.services and not networks(name) & networks(other):
                yield f"{prod.name}: {name} cannot reach {other}, which it calls"
        if (folder / "nginx.conf").exists():
            for other in ("database", "cache"):
                if other in prod.services and networks(name) & networks(other):
                    yield f"{prod.name}: {name} is a page, and can reach the {other}"


def separates_databases(root: Path) -> Iterator[str]:
    """Each role can only connect to its own database."""
    for compose in compose_files(root):
        for text in strings(compose.data):
            if "CREATE DATABASE" in text and text.count("CREATE DATABASE") != len(
                re.findall(r'REVOKE CONNECT ON DATABASE :?"\w+", postgres FROM PUBLIC;', text)
            ):
                yield f"{compose.name}: every role can connect to a database that it creates"


def creates_no_anonymous_volume(root: Path) -> Iterator[str]:
    """No container creates an anonymous volume: it mounts every volume that its image declares."""
    for compose in compose_files(root):
        targets: dict[str, set[str]] = {}
        mounted: dict[str, set[str]] = {}
        for name, service in compose.services.items():
            mounts = set(service.get("tmpfs", []))
            for volume in service.get("volumes", []):
                mounts.add(volume["target"] if isinstance(volume, dict) else volume.split(":")[1])
            mounted[name] = mounts
            # The image of a door declares no volume, and a container with its own entry point does
            # something else than its image.
            public = not is_own(compose, name) and not compose.build(name)
            if public and name not in DOORS and "entrypoint" not in service:
                targets.setdefault(service.get("image", ""), set()).update(mounts - {"/tmp"})
        for name, service in compose.services.items():
            for target in sorted(targets.get(service.get("image", ""), set()) - mounted[name]):
                if not (is_own(compose, name) or compose.build(name)):
                    yield f"{compose.name}: {name} creates an anonymous volume at {target}"


def builds_the_images_of_prod(root: Path) -> Iterator[str]:
    """`make build` builds exactly the images that prod runs."""
    prod = compose_file(root, "prod")
    build = Compose(root, prod.path.with_name("docker-compose.build.yml"))
    if not build.path.is_file():
        yield f"{build.name}: does not exist"
        return
    for name in sorted(set(own_services(root)) ^ set(build.services)):
        yield f"{build.name}: {name} is not a service that is built, or is missing"
    for name, service in build.services.items():
        found = build.build(name)
        if not found or found[0] != own_services(root).get(name):
            yield f"{build.name}: {name} is built from {found and found[0]}"
        image = service.get("image", "").partition(":${VERSION")[0]
        runs = prod.services.get(name, {}).get("image", "").partition(":${VERSION")[0]
        if image != runs:
            yield f"{build.name}: {name} is built as {image}, and {prod.name} runs {runs}"
    if set(build.variables()) != {"VERSION"}:
        yield f"{build.name}: reads {sorted(build.variables())}, not VERSION"


def agrees_on_images(root: Path) -> Iterator[str]:
    """A pulled image has the same numeric version everywhere."""
    tags: dict[str, set[str]] = {}
    for compose in compose_files(root):
        for name, service in compose.services.items():
            image = service.get("image", "")
            if not is_own(compose, name) and not compose.build(name) and "VERSION" not in image:
                repository, _, tag = image.rpartition(":")
                tags.setdefault(repository or image, set()).add(tag if repository else "")
    for repository, found in tags.items():
        if len(found) > 1:
            yield f"{repository}: runs in the versions {', '.join(sorted(found))}"
        if any(not re.match(r"\d", tag) for tag in found):
            yield f"{repository}: is pulled as {', '.join(sorted(found))}, which can change"


def starts_in_order(root: Path) -> Iterator[str]:
    """Each dependency of a container exists, can meet its condition, and is not part of a cycle."""
    for compose in compose_files(root):
        graph: dict[str, list[str]] = {}
        for name, service in compose.services.items():
            graph[name] = list(dependencies(service))
            for target, how in dependencies(service).items():
                other = compose.services.get(target)
                if other is None:
                    yield f"{compose.name}: {name} waits for {target}, which does not exist"
                elif how == "service_started":
                    yield f"{compose.name}: {name} waits only until {target} is started, not ready"
                elif how == "service_healthy" and "healthcheck" not in other:
                    yield f"{compose.name}: {name} waits for the health of {target}, which has no check"
                elif how == "service_completed_successfully" and other.get("restart", "no") != "no":
                    yield f"{compose.name}: {name} waits for the end of {target}, which restarts"
        try:
            list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            yield f"{compose.name}: a cycle of dependencies: {' -> '.join(error.args[1])}"


def uses_no_old_compose(root: Path) -> Iterator[str]:
    """No compose file uses a deprecated or removed key, or a global name."""
    for compose in compose_files(root):
        for key in ("version", "include"):
            if key in compose.data:
                yield f"{compose.name}: has {key}:"
        if "name" not in compose.data:
            yield f"{compose.name}: has no name, so Compose uses the name of its folder"
        for name, service in compose.services.items():
            words = (
                "container_name",
                "links",
                "extends",
                "mem_limit",
                "cpus",
                "pids_limit",
                "scale",
            )
            for word in words:
                if word in service:
                    yield f"{compose.name}: {name} has {word}"
    for name, text in texts(root):
        # Debian's package docker-compose is Compose 2.
        if name.endswith(".md") or name == ".devcontainer/Dockerfile":
            continue
        for match in matches(COMPOSE_1, text):
            yield f"{name}: calls {match[0]}, which is Compose 1"
        for match in matches(DEPRECATED, text):
            yield f"{name}: uses {match[0]}"


def sets_executable_bits(root: Path) -> Iterator[str]:
    """A file is executable if and only if its first line names an interpreter."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            has_interpreter = path.read_bytes().startswith(b"#!")
            if has_interpreter != bool(path.stat().st_mode & 0o100):
                what = (
                    "cannot be executed" if has_interpreter else "is executable, but not a script"
                )
                yield f"{path.relative_to(root)}: {what}"


def workflows(root: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the jobs of a workflow for each forge, by path."""
    for path in sorted(root.glob(f".g*/workflows/{name}.yml")):
        jobs: dict[str, Any] = parsed(path.read_text(encoding="utf-8"))["jobs"]
        yield path.relative_to(root).as_posix(), jobs


def commands(job: dict[str, Any]) -> str:
    """Return all commands of a job."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def tests_changed_services(root: Path) -> Iterator[str]:
    """CI has a job for each service, which its changes start, and a gate that needs all jobs."""
    services = set(own_services(root))
    for name, jobs in workflows(root, "ci"):
        gate = jobs.get("gate", {})
        if not (root / "services").is_dir():
            if set(jobs) != {"gate"} or "if" in gate:
                yield f"{name}: is not a single job that always runs"
            for step in gate["steps"]:
                if "make" in step.get("run", "") and "integration == 'true'" not in step["if"]:
                    yield f"{name}: {step['run']} runs even if no change affects it"
            continue
        listed = commands(jobs["changes"]).rpartition("\\")[2].split()
        if set(listed) != services:
            yield f"{name}: the services with a job are {listed}"
        expected = {f"service-{service}" for service in services}
        for job in sorted({job for job in jobs if job.startswith("service-")} ^ expected):
            yield f"{name}: {job} is not the job of a service, or is missing"
        for service in services & {job.removeprefix("service-") for job in jobs}:
            job = jobs[f"service-{service}"]
            if job["if"] != f"contains(fromJSON(needs.changes.outputs.affected), '{service}')":
                yield f"{name}: service-{service} runs if {job['if']}"
            for command in (f"make -C services/{service} ", f"make test-service SERVICE={service}"):
                if command not in commands(job):
                    yield f"{name}: service-{service} does not run {command}"
        before = expected | {"changes", "others"}
        if set(jobs["integration"]["needs"]) != before:
            yield f"{name}: integration needs {jobs['integration']['needs']}"
        if set(gate["needs"]) != set(jobs) - {"gate"} or gate["if"] != "always()":
            yield f"{name}: gate needs {gate['needs']}, and runs if {gate['if']}"


def releases_the_images_of_prod(root: Path) -> Iterator[str]:
    """A release builds exactly the images that prod runs, and then promotes them."""
    prod = compose_file(root, "prod")
    images = {service.get("image", "") for service in prod.services.values()}
    runs = {image.partition(":${VERSION")[0] for image in images if "${VERSION" in image}
    for name, jobs in workflows(root, "release"):
        build = jobs["build"]
        image = build["env"]["IMAGE"]
        (push,) = (step for step in build["steps"] if step.get("id") == "build")
        context = push["with"]["context"]
        matrix = build.get("strategy", {}).get("matrix", {}).get("service", [""])
        built = {
            image.replace("${{ matrix.service }}", service): (
                root / context.replace("${{ matrix.service }}", service)
            ).resolve()
            for service in matrix
        }
        script = (root / "deploy/prod/deploy.sh").read_text(encoding="utf-8")
        verified = re.findall(r'(?m)^images="(.*)"$', script)
        if [set(names.split()) for names in verified] != [runs]:
            yield f"deploy/prod/deploy.sh: verifies {verified}, and {prod.name} runs {sorted(runs)}"
        if set(built) != runs:
            yield f"{name}: builds {sorted(built)}, and {prod.name} runs {sorted(runs)}"
        if set(built.values()) != {folder.resolve() for folder in own_services(root).values()}:
            yield f"{name}: builds from {sorted(map(str, built.values()))}"
        moved = commands(jobs["promote"]).partition('"$GITHUB_REF_NAME"')[2].split()
        if {word for word in moved if word != "\\"} != runs:
            yield f"{name}: promotes {moved}, and {prod.name} runs {sorted(runs)}"
        order = [jobs[job].get("needs") for job in ("test", "build", "promote")]
        if order != [None, "test", ["test", "build"]]:
            yield f"{name}: the jobs test, build and promote need {order}"


def limits_permissions(root: Path) -> Iterator[str]:
    """Jobs have minimal permissions and a timeout, few steps get a secret, actions are pinned."""
    for kind in ("ci", "release", "deploy"):
        for name, jobs in workflows(root, kind):
            whole = parsed((root / name).read_text(encoding="utf-8"))
            if whole.get("permissions") != {}:
                yield f"{name}: grants permissions to all jobs"
            for key, job in jobs.items():
                if "concurrency" not in {**whole, **job}:
                    yield f"{name}: {key} has no concurrency"
                allowed = {"contents": "read"}
                if packages := {"build": "write", "promote": "write", "deploy": "read"}.get(key):
                    allowed["packages"] = packages
                if name.startswith(".github/") and (kind, key) == ("release", "build"):
                    allowed["id-token"] = "write"  # it signs
                if not (job.get("permissions") or {}).items() <= allowed.items():
                    yield f"{name}: {key} has the permissions {job['permissions']}"
                if not isinstance(job.get("timeout-minutes"), int):
                    yield f"{name}: {key} has no timeout"
                for step in job["steps"]:
                    action, _, version = step.get("uses", "").partition("@")
                    if action and not re.fullmatch("[0-9a-f]{40}", version):
                        yield f"{name}: {key} uses {action} in the version {version!r}"
                    if action == "actions/checkout" and step["with"]["persist-credentials"]:
                        yield f"{name}: {key} leaves the token where other steps can read it"
                    if "${{" in step.get("run", ""):
                        yield f"{name}: {key} has an expression in a script"
                    rest = {word: value for word, value in step.items() if word != "name"}
                    given = re.findall(r"secrets\.\w+\b(?! != '')", str(rest))
                    takes = {"deploy": "Deploy", "build": "Sign "}.get(key, "none")
                    knows = step.get("name", "").startswith(takes)
                    if given and action != "docker/login-action" and not knows:
                        yield f"{name}: {key} gives {given} to {step.get('name', action)}"


CONTRACTS: tuple[Callable[[Path], Iterator[str]], ...] = (
    has_all_files,
    mounts_existing_files,
    runs_safely,
    sets_modes,
    has_health_checks,
    explains_variables,
    requires_secrets,
    names_existing_targets_and_files,
    publishes_safe_ports,
    isolates_tests,
    reaches_addresses,
    gives_settings,
    replaces_the_outside,
    avoids_proxies,
    escapes_passwords,
    migrates_first,
    hardens_production,
    separates_networks,
    separates_databases,
    creates_no_anonymous_volume,
    builds_the_images_of_prod,
    agrees_on_images,
    starts_in_order,
    uses_no_old_compose,
    sets_executable_bits,
    tests_changed_services,
    releases_the_images_of_prod,
    limits_permissions,
)


def broken(root: Path) -> list[str]:
    """Return the problems of all contracts, each line with the contract's name."""
    return [f"{contract.__name__}: {line}" for contract in CONTRACTS for line in contract(root)]
