# Kept by the template: copier update merges its changes into this file.
"""Rules for compose files of every environment."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator

from . import images
from .compose import ComposeFile, Environment, Port, Service, default_of, text, words_of
from .images import Tools
from .model import Edit, Finding, Severity, rule
from .project import Project

WAITS = "service_healthy"
WAITS_FOR_END = "service_completed_successfully"


def services(project: Project) -> Iterator[tuple[ComposeFile, Service]]:
    """Yield every service of every compose file."""
    for file in project.compose_files:
        for service in file.services.values():
            yield file, service


def has_check(project: Project, file: ComposeFile, service: Service) -> bool | None:
    """Return whether a service has a health check; None if its image decides and is not known."""
    if service.has_no_check:
        return False
    if service.health_check:
        return True
    built = project.image_of(file, service)
    if built:
        check = built.stage.last("HEALTHCHECK")
        if check:
            return check.value.upper() != "NONE"
        # The base may have a health check.
        known = images.image(built.stage.image).name in images.ROOT_IMAGES
        return False if known else None
    return False if service.public_image.name in images.DATABASES else None


@rule("invalid-yaml", "A compose file or a workflow is not YAML")
def invalid_yaml(project: Project) -> Iterator[Finding]:
    """Report the files that no tool can read."""
    for path, line, problem in project.unreadable:
        yield Finding(
            "invalid-yaml",
            path,
            line,
            f"this is not valid YAML: {problem}",
            "No other rule can check the file, and Compose or the forge refuses it.",
        )


@rule("missing-health-check", "A container has no health check")
def missing_health_check(project: Project) -> Iterator[Finding]:
    """Report services that others wait for or that serve a port, without a health check.

    A service of several compose files is reported once: where another service waits for it.
    """
    found: dict[tuple[str, str], list[tuple[ComposeFile, Service, list[str]]]] = defaultdict(list)
    for file, service in services(project):
        if service.partial or has_check(project, file, service) is not False:
            continue
        if is_one_shot(file, service):
            continue
        waiting = [
            other.name
            for other in file.services.values()
            if service.name in other.dependencies(other.merged)
        ]
        built = project.image_of(file, service)
        serves = bool(service.merged.get("ports") or service.merged.get("expose"))
        serves = serves or bool(built and built.stage.last("EXPOSE"))
        if waiting or serves:
            image = built.path if built else service.public_image.name
            found[service.name, image].append((file, service, waiting))
    for places in found.values():
        file, service, waiting = next((place for place in places if place[2]), places[0])
        used = (
            f"{' and '.join(waiting)} depend{'s' * (len(waiting) == 1)} on it"
            if waiting
            else "it serves a port"
        )
        others = [other.path for other, _, _ in places if other is not file]
        also = f" (also in {', '.join(others)})" if others else ""
        yield Finding(
            "missing-health-check",
            file.path,
            service.line,
            f"{service.name} has no health check{also}, but {used}",
            "Nothing can wait until the server answers, so what uses it fails now and then.",
            suggested_check(project, file, service),
        )


def suggested_check(project: Project, file: ComposeFile, service: Service) -> str:
    """Return a health check for a service."""
    known = images.DATABASES.get(service.public_image.name)
    built = project.image_of(file, service)
    if built:
        return f"# in {built.path}, after EXPOSE\n{http_check(built.stage.image, port_of(built, service))}"
    test = known[1] if known else '["CMD", "…"]'
    return (
        f"    healthcheck:\n      test: {test}\n      interval: 5s\n      timeout: 5s\n"
        "      retries: 10\n      start_period: 30s"
    )


def port_of(built: object, service: Service) -> str:
    """Return the container's port that a health check should use."""
    ports = [port.container for port in service.ports(service.merged) if port.container.isdigit()]
    return ports[0] if ports else "8000"


def http_check(base: str, port: str) -> str:
    """Return a HEALTHCHECK that uses a program of the base image."""
    name = images.image(base).name
    url = f"http://127.0.0.1:{port}/health"
    if name == "python" or "uv" in name:
        code = f"import urllib.request as u; u.urlopen('{url}', timeout=3)"
        return f'HEALTHCHECK CMD ["python", "-c", "{code}"]'
    if name in ("node", "oven/bun"):
        program = "node" if name == "node" else "bun"
        code = f"fetch('{url}').then(r => process.exit(r.ok ? 0 : 1))"
        return f'HEALTHCHECK CMD ["{program}", "-e", "{code}"]'
    if name == "ruby":
        return f'HEALTHCHECK CMD ["ruby", "-rnet/http", "-e", "exit Net::HTTP.get_response(URI(\'{url}\')).is_a?(Net::HTTPOK)"]'
    if "alpine" in base:
        return f'HEALTHCHECK CMD ["wget", "-q", "-O", "/dev/null", "{url}"]'
    return 'HEALTHCHECK CMD ["/app/server", "--health"]  # a program of your image'


def is_one_shot(file: ComposeFile, service: Service) -> bool:
    """Return whether a container runs to its end: it looks like it, or others wait for its end."""
    return service.is_one_shot or any(
        other.dependencies(other.merged).get(service.name, (0, ""))[1] == WAITS_FOR_END
        for other in file.services.values()
    )


@rule("health-check-tool", "A health check uses a program that the image does not have")
def health_check_tool(project: Project) -> Iterator[Finding]:
    """Report health checks that call curl or wget in images without it."""
    for image in project.images:
        check = image.stage.last("HEALTHCHECK")
        if check and check in image.stage.own:
            command = re.sub(r"^CMD\s+", "", check.value)
            is_shell = not command.startswith("[")
            problem = missing_program(project, image.stage, command, is_shell=is_shell)
            if problem:
                port = re.search(r":(\d+)", command)
                yield Finding(
                    "health-check-tool",
                    image.path,
                    check.line,
                    f"the health check calls {problem}, which {image.stage.image} does not have",
                    "The check always fails, so the container never becomes healthy.",
                    http_check(image.stage.image, port[1] if port else "8000"),
                )
    for file, service in services(project):
        own = service.own.get("healthcheck")
        check_text = own.get("test") if isinstance(own, dict) else None
        if not check_text or "healthcheck" in service.own.merged:
            continue
        words = words_of(check_text)
        command = " ".join(words)
        is_shell = isinstance(check_text, str) or check_text[:1] == ["CMD-SHELL"]
        built = project.image_of(file, service)
        if built:
            problem = missing_program(project, built.stage, command, is_shell=is_shell)
            base = built.stage.image
        else:
            problem = lacks(service.public_image.tools, command, is_shell=is_shell)
            base = service.image
        if problem:
            yield Finding(
                "health-check-tool",
                file.path,
                service.own["healthcheck"].line_of("test"),
                f"the health check of {service.name} calls {problem}, which {base} does not have",
                "The check always fails, so the container never becomes healthy.",
                suggested_check(project, file, service).removeprefix("# in "),
            )


def lacks(tools: Tools, command: str, *, is_shell: bool) -> str:
    """Return the program of a command that an image lacks; empty if none is known to be missing."""
    if tools is Tools.NO_SHELL and is_shell:
        return "a shell"
    first = re.search(r"(?:^|[\s;&|(])(?:/usr/bin/|/bin/)?(curl|wget)\s", f"{command} ")
    if not first:
        return ""
    if tools in (Tools.NEITHER, Tools.NO_SHELL) or (tools is Tools.NO_CURL and first[1] == "curl"):
        return first[1]
    return ""


def missing_program(project: Project, stage: object, command: str, *, is_shell: bool) -> str:
    """Return the program of a command that a built image lacks; empty if none is known."""
    problem = lacks(images.image(stage.image).tools, command, is_shell=is_shell)  # type: ignore[attr-defined]
    if not problem:
        return ""
    for item in stage.every("RUN", "COPY", "ADD"):  # type: ignore[attr-defined]
        # `apk add curl`, or a copied file that may contain the program.
        if item.name == "RUN" and re.search(rf"\b({problem}|busybox)\b|\.sh\b", item.value):
            return ""
        if item.name != "RUN" and re.search(rf"\b{problem}\b|busybox", item.value):
            return ""
        if item.name != "RUN" and problem == "a shell" and "/bin" in item.value:
            return ""
    return problem


@rule("port-mismatch", "A published port is not the port that the image exposes")
def port_mismatch(project: Project) -> Iterator[Finding]:
    """Report services that publish only ports that their image does not expose."""
    for file, service in services(project):
        built = project.image_of(file, service)
        if not built or service.command:
            continue
        exposed = {
            word.partition("/")[0]
            for item in built.stage.every("EXPOSE")
            for word in item.value.split()
        }
        ports = [port for port in service.ports(service.own) if port.protocol == "tcp"]
        numbers = [default_of(port.container) for port in ports]
        known = all(number.isdigit() for number in [*exposed, *numbers])
        base = images.image(built.stage.image).name
        # Other images may expose ports of their own.
        is_known = base in images.ROOT_IMAGES or base in images.SERVER_PORTS
        if not exposed or not ports or not known or not is_known:
            continue
        exposed |= {images.SERVER_PORTS[base]} if base in images.SERVER_PORTS else set()
        if exposed.isdisjoint(numbers) and not sets_port(project, file, service, numbers):
            right = min(exposed, key=int)
            port = ports[0]
            written = f"{port.address}:" * bool(port.address) + port.published
            yield Finding(
                "port-mismatch",
                file.path,
                port.line,
                f"{service.name} publishes the container's port {' and '.join(numbers)}, but "
                f"{built.path} exposes {' and '.join(sorted(exposed, key=int))}",
                "Connections to the published port are refused, because nothing listens there.",
                f'    ports:\n      - "{written + ":" if written else ""}{right}"',
            )


def sets_port(project: Project, file: ComposeFile, service: Service, numbers: list[str]) -> bool:
    """Return whether a variable or a mounted file may say where the program listens."""
    folder = project.root / file.folder
    # An override file beside it may say so too.
    files = [other for other in project.compose_files if other.folder == file.folder]
    for same in [other.services[service.name] for other in files if service.name in other.services]:
        settings = str(same.merged.get("environment", ""))
        if any(re.search(rf"\b{number}\b", settings) for number in numbers):
            return True
        if any(m.source and (folder / m.source).is_file() for m in same.mounts(same.merged)):
            return True
    return False


@rule("same-port", "Two services publish the same port")
def same_port(project: Project) -> Iterator[Finding]:
    """Report services that cannot run at the same time, for example after a merge by hand."""
    earlier: list[tuple[str, str, Port]] = []
    for file, service in services(project):
        # Services with profiles may be alternatives.
        if service.merged.get("profiles"):
            continue
        for port in service.ports(service.own):
            number = port.default_published
            owners = [
                name
                for path, name, one in earlier
                if path == file.path and name != service.name and collide(one, port)
            ]
            earlier.append((file.path, service.name, port))
            if owners and number.isdigit():
                yield Finding(
                    "same-port",
                    file.path,
                    port.line,
                    f"{service.name} publishes port {number}, and so does {owners[0]}",
                    "Docker does not start the second container: the port is already allocated.",
                    f'    ports:\n      - "{moved(port, free_port(file, int(number)))}"',
                )


def collide(one: Port, other: Port) -> bool:
    """Return whether two ports use the same port of the host. All interfaces include each address."""
    same = (one.default_published, one.protocol) == (other.default_published, other.protocol)
    addresses = {default_of(port.address) for port in (one, other)}
    return same and (len(addresses) == 1 or one.is_public or other.is_public)


def moved(port: Port, number: str) -> str:
    """Return the short form of a port with another number on the host."""
    # A variable may have the number in its name. Its default comes last.
    before, _, after = port.published.rpartition(port.default_published)
    address = f"{port.address}:" * bool(port.address)
    protocol = f"/{port.protocol}" * (port.protocol != "tcp")
    return f"{address}{before}{number}{after}:{port.container}{protocol}"


def free_port(file: ComposeFile, number: int) -> str:
    """Return the next port that no service of a compose file publishes."""
    used = {
        port.default_published
        for service in file.services.values()
        for port in service.ports(service.own)
    }
    while str(number) in used:
        number += 1
    return str(number)


@rule("open-port", "A port is published on all interfaces of the machine")
def open_port(project: Project) -> Iterator[Finding]:
    """Report ports that other machines can reach."""
    for file, service in services(project):
        if "ports" in service.own.merged:
            continue
        for port in service.ports(service.own):
            number = default_of(port.container)
            is_data = number in images.DATA_PORTS or service.public_image.name in images.DATABASES
            is_entry = port.default_published in ("80", "443")
            if not port.is_public or (is_entry and not is_data):
                continue
            if file.environment is Environment.PROD and not is_data:
                continue  # An entry to production is public on purpose.
            published = f"127.0.0.1:{port.published}:{port.container}"
            if port.protocol != "tcp":
                published += f"/{port.protocol}"
            edit = None
            if port.text and file.environment is not Environment.PROD:
                edit = Edit(file.path, published, port.line, port.column, port.text)
            lines = f'    ports:\n      - "{published}"'
            if not port.text:
                lines = "        host_ip: 127.0.0.1"
            yield Finding(
                "open-port",
                file.path,
                port.line,
                f"{service.name} publishes port {number} on all interfaces",
                "Docker opens it past the host's firewall, so every machine in the network "
                "can connect.",
                lines,
                Severity.ERROR if is_data else Severity.WARNING,
                edit,
            )


@rule("floating-image", "An image has no tag, or the tag latest")
def floating_image(project: Project) -> Iterator[Finding]:
    """Report images whose version changes by itself."""
    why = "Each pull may bring another major version, so the same commit builds something else."
    for file, service in services(project):
        if (
            "image" not in service.own
            or service.merged.get("build")
            or "image" in service.own.merged
        ):
            continue
        reference = text(service.own["image"])
        image = images.image(reference)
        built = {
            text(other.merged.get("image"))
            for _, other in services(project)
            if other.merged.get("build")
        }
        if image.is_floating and reference not in built:
            yield Finding(
                "floating-image",
                file.path,
                service.own.line_of("image"),
                f"the image {reference} of {service.name} has no fixed version",
                why,
                f"    image: {image.name}:{newest(image.name)}",
            )
    for path, dockerfile in project.dockerfiles.items():
        for stage in dockerfile.stages:
            image = images.image(stage.base)
            if not stage.parent and image.is_floating:
                alias = f" AS {stage.name}" if stage.name else ""
                yield Finding(
                    "floating-image",
                    path,
                    stage.line,
                    f"the base image {stage.base} has no fixed version",
                    why,
                    f"FROM {image.name}:{newest(image.name)}{alias}",
                )


def newest(name: str) -> str:
    """Return the newest release line of an image, or a placeholder."""
    rows = (row for row in images.table().values() if name in row["images"])
    return next((next(iter(row["lines"])) for row in rows), "<version>")


@rule("end-of-life", "An image is past its end of life")
def end_of_life(project: Project) -> Iterator[Finding]:
    """Report images that get no security fixes."""
    why = "It gets no more security fixes."
    for file, service in services(project):
        if "image" in service.own and not service.merged.get("build"):
            image = images.image(text(service.own["image"]))
            if reason := images.ended(image, project.today):
                yield Finding(
                    "end-of-life",
                    file.path,
                    service.own.line_of("image"),
                    f"the image of {service.name} is past its end of life: {reason}",
                    why,
                    f"    image: {image.name}:{newest(image.name)}",
                )
    for path, dockerfile in project.dockerfiles.items():
        for stage in dockerfile.stages:
            image = images.image(stage.base)
            reason = "" if stage.parent else images.ended(image, project.today)
            if reason:
                alias = f" AS {stage.name}" if stage.name else ""
                yield Finding(
                    "end-of-life",
                    path,
                    stage.line,
                    f"the base image is past its end of life: {reason}",
                    why,
                    f"FROM {image.name}:{newest(image.name)}{alias}",
                )


@rule("depends-on-condition", "A service does not wait until its dependency is ready")
def depends_on_condition(project: Project) -> Iterator[Finding]:
    """Report dependencies that only wait until a container has started."""
    for file, service in services(project):
        if "depends_on" in service.own.merged:
            continue
        waits = service.dependencies(service.own)
        plain = {
            name: line
            for name, (line, condition) in waits.items()
            if condition in ("", "service_started") and name in file.services
        }
        plain = {n: line for n, line in plain.items() if not is_one_shot(file, file.services[n])}
        plain = {n: line for n, line in plain.items() if not_started_on_purpose(service, n)}
        if not plain:
            continue
        checked = [n for n in plain if has_check(project, file, file.services[n]) is True]
        unsure = [n for n in plain if has_check(project, file, file.services[n]) is None]
        names = [n for n in plain if n not in unsure]
        if not names:
            continue
        advice = "    depends_on:\n" + "\n".join(
            f"      {name}:\n        condition: {condition_for(file, name, waits, names)}"
            for name in waits
        )
        unchecked = [n for n in names if n not in checked]
        also = f" (first add a health check to {' and '.join(unchecked)})" if unchecked else ""
        yield Finding(
            "depends-on-condition",
            file.path,
            plain[names[0]],
            f"{service.name} does not wait until {' and '.join(names)} "
            f"{'is' if len(names) == 1 else 'are'} ready{also}",
            "Without a condition, Compose only waits until the container has started.",
            advice,
            Severity.ERROR
            if service.merged.get("build") and (checked or any(is_database(file, n) for n in names))
            else Severity.WARNING,
        )


def not_started_on_purpose(service: Service, name: str) -> bool:
    """Return whether a dependency has no explicit `service_started`."""
    wanted = service.own.get("depends_on")
    value = wanted.get(name) if isinstance(wanted, dict) else None
    return not (isinstance(value, dict) and value.get("condition") == "service_started")


def condition_for(
    file: ComposeFile, name: str, waits: dict[str, tuple[int, str]], names: list[str]
) -> str:
    """Return the condition that a dependency should have."""
    if name in names:
        return WAITS
    if name in file.services and is_one_shot(file, file.services[name]):
        return WAITS_FOR_END
    return waits[name][1] or "service_started"


def is_database(file: ComposeFile, name: str) -> bool:
    """Return whether a service is a server that stores data."""
    return file.services[name].public_image.name in images.DATABASES


@rule("one-shot-not-awaited", "No service waits for the end of a container that runs once")
def one_shot_not_awaited(project: Project) -> Iterator[Finding]:
    """Report migrations, seeders and the like whose result no service waits for."""
    for file, service in services(project):
        if service.partial or not service.is_one_shot or len(file.services) < 2:
            continue
        users = {
            other.name: other.dependencies(other.merged)[service.name]
            for other in file.services.values()
            if service.name in other.dependencies(other.merged)
        }
        if any(condition == WAITS_FOR_END for _, condition in users.values()):
            continue
        needed = service.dependencies(service.merged)
        candidates = [
            other.name
            for other in file.services.values()
            if other.name != service.name
            and (
                set(needed) & set(other.dependencies(other.merged))
                or (service.merged.get("build") and same_image(file, service, other))
            )
            and not other.is_one_shot
        ]
        waiter = next(iter([*users, *candidates]), "")
        if not waiter:
            continue
        line = users[waiter][0] if waiter in users and not file.services[waiter].partial else 0
        yield Finding(
            "one-shot-not-awaited",
            file.path,
            line or service.line,
            f"no service waits until {service.name} has completed; {waiter} may start before",
            "The service runs with a database that is not migrated or not filled, and a failed "
            "run goes unnoticed.",
            f"  {waiter}:\n    depends_on:\n      {service.name}:\n"
            f"        condition: {WAITS_FOR_END}",
        )


def same_image(file: ComposeFile, service: Service, other: Service) -> bool:
    """Return whether two services are built from the same Dockerfile."""
    return service.build(file.folder) == other.build(file.folder)


@rule("project-name-collision", "Two compose files have the same project name")
def project_name_collision(project: Project) -> Iterator[Finding]:
    """Report compose files in different folders whose containers Compose cannot distinguish."""
    groups: dict[str, dict[str, tuple[ComposeFile, int]]] = defaultdict(dict)
    for file in project.compose_files:
        if file.is_partial:
            continue
        explicit = default_of(file.name)
        if "$" in explicit:
            continue
        if not explicit and sets_project_name(project, file):
            continue
        folder = posixpath.basename(file.folder) or project.root.resolve().name
        name = explicit or re.sub(r"[^a-z0-9_-]", "", folder.lower())
        groups[name].setdefault(file.folder, (file, file.line_of("name") if explicit else 1))
    for name, files in groups.items():
        if len(files) < 2:
            continue
        (first, _), *others = files.values()
        for file, line in others:
            environment = posixpath.basename(file.folder)
            owner = posixpath.basename(file.folder.removesuffix("/deploy/" + environment))
            unique = "-".join(dict.fromkeys([owner or "app", environment]))
            yield Finding(
                "project-name-collision",
                file.path,
                line,
                f"its project name is {name}, as that of {first.path}",
                "Compose takes the containers, networks and volumes of both for its own: starting "
                "one replaces or removes those of the other.",
                f"name: {unique}",
            )


def sets_project_name(project: Project, file: ComposeFile) -> bool:
    """Return whether a script that uses a compose file chooses the project name."""
    return any(
        re.search(r"COMPOSE_PROJECT_NAME|\s--project-name[\s=]|compose\s+(-f\s*\S+\s+)*-p\s", text)
        for text in (
            project.text(name) for name in [*project.script_names, *project.workflow_names]
        )
    )
