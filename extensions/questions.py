"""The Jinja extension: functions and filters for copier.yml and the templates."""

from __future__ import annotations

import json
import posixpath
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from copier.errors import UserMessageError
from jinja2 import Environment, Template, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

from . import defaults, destination
from .commands import integration_command
from .discovery import Found, found
from .given import check_given, questions_of
from .items import names_in, parse
from .kinds import DEFAULT_KIND, KINDS
from .prompts import wrap_refusals
from .rules import (
    OF_THE_TEMPLATE,
    AnswerError,
    check_chosen,
    check_layout,
    check_registry,
    check_slug,
    check_text,
    markdown,
    quoted,
    reserved_as,
    slug,
    yaml_text,
)
from .services import Service, by_kind, front_door, resolve


class ServicesExtension(Extension):
    """The filters and functions of this template."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        compile_once(environment)
        wrap_refusals()
        environment.filters.update(
            quoted=quoted,
            markdown=markdown,
            yaml_text=yaml_text,
            slug=slug,
            git_config=git_config,
            relative_to=posixpath.relpath,
        )
        environment.globals.update(
            given_answers_are_valid=given_answers_are_valid,
            refusal_of=refusal_of,
            needs_cache=needs_cache,
            service_list_of=service_list_of,
            front_door_of=front_door,
            by_kind=by_kind,
            default_database=default_database,
            default_cache=default_cache,
            note_on_services=note_on_services,
            default_kind=default_kind,
            default_services=default_services,
            name_of_destination=name_of_destination,
            forge_of_origin=forge_of_origin,
            registry_of_origin=registry_of_origin,
            # In whole seconds, because some file systems record no fractions.
            seconds_at_start=int(time.time()),
            adopting=adopting,
            adopted_services=adopted_services,
            adopted_files=adopted_files,
            makefile_of_destination=makefile_of_destination,
            adopted_integration_commands=adopted_integration_commands,
        )


def compile_once(environment: Environment) -> None:
    """Make an environment compile each text once.

    Copier compiles each part of each path again for each file and service, which takes a third of
    the time of `copier copy`.
    """
    compiled: dict[str, Template] = {}
    compile_anew = environment.from_string

    def from_string(source: str, *args: Any, **kwargs: Any) -> Template:
        if args or kwargs:
            return compile_anew(source, *args, **kwargs)
        if source in compiled:
            # Copier's yield tag resets its state here.
            environment.preprocess(source)
        else:
            compiled[source] = compile_anew(source)
        return compiled[source]

    environment.from_string = from_string  # type: ignore[method-assign, assignment]


#: The rules for the answers to questions that have no choices.
CHECKS: Mapping[str, Callable[[Context], object]] = {
    "project_name": lambda answers: check_text(
        "project_name", answers["project_name"], required=True
    ),
    "project_slug": lambda answers: check_slug(answers["project_slug"]),
    "description": lambda answers: check_text("description", answers["description"]),
    "layout": lambda answers: check_layout(answers["layout"], _previous(answers)),
    # The questions about backing services come later, so this assumes that both are chosen.
    "services": lambda answers: _resolve(answers, database="postgres", cache="redis"),
    "registry": lambda answers: check_registry(answers["registry"]),
    "orchestrator": lambda answers: check_chosen(answers["orchestrator"]),
    "author_name": lambda answers: check_text("author_name", answers["author_name"]),
    "author_email": lambda answers: check_text("author_email", answers["author_email"]),
}


def git_config(key: str) -> str:
    """Read a key of the user's git configuration; empty if git or the key is missing."""
    try:
        found = subprocess.run(
            ["git", "config", "--get", key], capture_output=True, text=True, errors="replace"
        )
    except OSError:
        return ""
    return found.stdout.strip()


@pass_context
def refusal_of(answers: Context, question: str) -> str:
    """Return why the answer to a question is refused; empty if it is accepted.

    This is for prompts, where the answer stays editable. If there is no prompt, because of `--data`
    or `--defaults`, this accepts everything. Otherwise Copier would print a traceback, or replace an
    earlier answer with the default. `service_list_of` refuses such an answer instead.
    """
    conf = answers["_copier_conf"]
    if conf["defaults"] or question in conf["data"]:
        return ""
    try:
        CHECKS[question](answers)
    except AnswerError as refusal:
        return str(refusal)
    return ""


@pass_context
def given_answers_are_valid(answers: Context) -> bool:
    """Check the destination and the given answers before Copier reads the answers.

    Raises:
        UserMessageError: the destination or an answer is refused; Copier prints the line and writes
            nothing.
    """
    conf = answers["_copier_conf"]
    root = _destination(answers)
    try:
        destination.check_folder(root)
        # The scripts of a project find the answers by this name.
        if (name := conf["answers_file"].as_posix()) != ".copier-answers.yml":
            raise AnswerError(
                f"the answers file must be .copier-answers.yml, not {name}; leave out --answers-file"
            )
        check_given(conf["data"], questions_of(Path(str(conf["src_path"]))), _previous(answers))
    except AnswerError as refusal:
        raise UserMessageError(str(refusal)) from None
    return True


@pass_context
def needs_cache(answers: Context) -> bool:
    """Whether the cache must store jobs: a service runs jobs, and there is no database."""
    if answers["database"] != "none":
        return False
    if answers["layout"] == "single":
        return KINDS[answers["service_kind"]].does_jobs
    try:
        items = parse(answers["services"], _kept_names(answers))
        return any(item.row.does_jobs for item in items)
    except AnswerError:  # `service_list_of` reports it.
        return False


@pass_context
def service_list_of(answers: Context) -> str:
    """Return the list of services as JSON, because a computed answer must be text.

    Raises:
        UserMessageError: an answer is refused; Copier prints the line and writes nothing.
    """
    root, name = _destination(answers), str(answers["_copier_conf"]["answers_file"])
    try:
        destination.check_answers_file(root, name, _previous(answers))
        if adopting(answers):
            destination.check_places(root, answers["layout"])
        _check_kept_names(answers)
        for question, check in CHECKS.items():
            if question != "services" or answers["layout"] == "multi":
                check(answers)
        return json.dumps([asdict(service) for service in _resolve(answers)])
    except AnswerError as refusal:
        raise UserMessageError(str(refusal)) from None


@pass_context
def adopting(answers: Context) -> bool:
    """Whether the destination has files, none of them from this template."""
    return destination.holds_foreign_files(_destination(answers), _previous(answers))


@pass_context
def default_services(answers: Context) -> str:
    """Return the default for the services as JSON: those that exist, else an example.

    It is a list, because Copier displays a string as a YAML document, with an end marker. In a folder
    with files, but without a service, there is no default: the example would not belong there.

    Raises:
        UserMessageError: there is no default, and the user cannot be asked.
    """
    previous = _previous(answers)
    if previous.get("layout") == "single":
        return json.dumps(destination.grown(previous))
    if not adopting(answers):
        return json.dumps(["api", "worker", "frontend"])
    if items := _found(answers).items:
        return json.dumps(items)
    if answers["_copier_conf"]["defaults"] and answers["layout"] == "multi":
        raise UserMessageError(
            "no service was found in this folder: no compose file and no Dockerfile describes one that "
            f"can be built here{_why(answers)}; name the services that you want, for example with --data services=api, or "
            "generate the project into a new folder"
        )
    return ""


def _why(answers: Context) -> str:
    """Return what was seen but not taken, in brackets; empty if nothing was seen."""
    notes = _found(answers).notes
    return f" ({'; '.join(notes[:3])})" if notes else ""


@pass_context
def note_on_services(answers: Context) -> str:
    """Return a note for the question about services, if the destination has files but no service."""
    if not adopting(answers) or _found(answers).items:
        return ""
    return "No service was found in this folder, so there is no default.\n   "


@pass_context
def default_database(answers: Context) -> str:
    """Return the default for the database: that of the existing services, else PostgreSQL."""
    if answers["page_alone"]:
        return "none"
    return _found(answers).database if _finds_services(answers) else "postgres"


@pass_context
def default_cache(answers: Context) -> str:
    """Return the default for the cache: that of the existing services, or one for the jobs."""
    known = _found(answers).cache if _finds_services(answers) else "none"
    return "redis" if known == "none" and needs_cache(answers) else known


@pass_context
def default_kind(answers: Context) -> str:
    """Return the default for the kind of a single service: custom if it exists already."""
    exists = adopting(answers) and destination.is_service(_destination(answers))
    return "custom" if exists else DEFAULT_KIND


@pass_context
def name_of_destination(answers: Context) -> str:
    """Return the default for the project's name, from the folder's name."""
    return defaults.name_of(_destination(answers))


@pass_context
def forge_of_origin(answers: Context) -> str:
    """Return the default for the forge, from the repository's remote."""
    return defaults.default_forge(defaults.origin(_destination(answers)))


@pass_context
def registry_of_origin(answers: Context, forge: str) -> str:
    """Return the default for the registry, from the repository's remote."""
    return defaults.default_registry(defaults.origin(_destination(answers)), forge)


@pass_context
def adopted_services(answers: Context) -> str:
    """Return the custom services that exist already, each with its commands, as JSON."""
    services = answers["service_list"]
    return json.dumps(destination.adopted(_destination(answers), services, _found(answers)))


@pass_context
def adopted_files(answers: Context) -> str:
    """Return patterns for `_exclude` of files that are not rendered for adopted services."""
    patterns = destination.kept_files(
        _destination(answers), answers["service_list"], answers["adopted"]
    )
    if adopting(answers):
        # These apply to the existing files: a license, a style, the ends of lines.
        patterns += ["/LICENSE", "/.editorconfig", "/.gitattributes"]
    return "\n".join(patterns)


@pass_context
def makefile_of_destination(answers: Context) -> str:
    """Return the name of the project's Makefile: another one if the destination has a Makefile."""
    return destination.makefile(_destination(answers), adopting=adopting(answers))


@pass_context
def adopted_integration_commands(answers: Context) -> str:
    """Return the commands of the integration tests that exist already, as JSON."""
    root = _destination(answers)
    if not adopting(answers):
        return json.dumps([])
    command = integration_command(root, _found(answers).files)
    services = {service["name"]: service for service in answers["service_list"]}
    # Their own test tool would also run the template's tests, if those were in its folder.
    is_taken = (root / "tests").is_dir() or any(s["home"] == "." for s in services.values())
    if not command and is_taken:
        known = {
            name: commands["test_service"][0]
            for name, commands in answers["adopted"].items()
            if not commands.get("test_service", ["@"])[0].startswith("@")
        }
        if len(known) == 1:
            [(name, line)] = known.items()
            home = services[name]["home"]
            command = line if home == "." else f"cd {home} && {line}"
        else:
            file = makefile_of_destination(answers)
            command = f"@echo 'no command for integration tests yet, add it to {file}' >&2"
    return json.dumps([command] if command else [])


def _found(answers: Context) -> Found:
    return found(_destination(answers))


def _finds_services(answers: Context) -> bool:
    return adopting(answers) and bool(_found(answers).items)


def _destination(answers: Context) -> Path:
    return Path(str(answers["_copier_conf"]["dst_path"]))


def _previous(answers: Context) -> dict[str, Any]:
    conf = answers["_copier_conf"]
    return destination.previous_answers(_destination(answers), str(conf["answers_file"]))


def _resolve(answers: Context, **assumed: str) -> list[Service]:
    keys = ("layout", "services", "service_kind", "database", "cache", "project_slug", "registry")
    given = {key: answers.get(key, "") for key in keys} | assumed
    return resolve(**given, kept=_kept_names(answers))


def _kept_names(answers: Context) -> set[str]:
    """Return the names of the services that the project already has."""
    names = names_in(_previous(answers).get("services"))
    data = answers["_copier_conf"]["data"]
    # Every answers file has a year, so these are the answers of a project that an update renders.
    if "year" in data:
        names += names_in(data.get("services"))
    return set(names)


def _check_kept_names(answers: Context) -> None:
    """Refuse an existing service that has the name of a container of this version."""
    for name in sorted(_kept_names(answers) & set(names_in(answers.get("services")))):
        if answers["layout"] == "multi" and reserved_as(name) == OF_THE_TEMPLATE:
            raise AnswerError(
                f"service name {name!r} is reserved now: it is {OF_THE_TEMPLATE}; first run: "
                f"make rename-service NAME={name} TO={name}-service, and commit"
            )
