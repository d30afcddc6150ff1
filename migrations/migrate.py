#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "copier==9.19.1",
#     "copier-template-extensions==0.3.4",
#     "jinja2-time==0.2.0",
# ]
# ///
"""Update a project: merge the template's last output, the project, and the template's new output.

Two programs start it, with the same result:

- a project's scripts/template.py, which clones the template and runs its newest version of this;
- Copier, before and after `copier update`; this then replaces Copier's own merge.

It writes the project's files once, at the end. Exit codes: 0 done, 1 done with conflicts, 2 refused,
3 failed, 4 failed and not everything could be undone, 130 interrupted. After 2, 3 and 130 the project
is as it was. After 4 the output names what is not.

The files in this folder import each other by name. Python puts the folder of the script that it runs
first on its path, so each version of the template imports its own files.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import traceback
from pathlib import Path

# With PYTHONSAFEPATH, Python does not put this folder on its path.
sys.path.insert(0, str(Path(__file__).parent))

import notes
import service_answers
from answers_file import (
    ANSWERS_FILE,
    REMEMBERED,
    Answers,
    answers_in,
    committed_answers,
    dumped,
    make_command,
    parsed_answer,
)
from copier.errors import CopierError
from errors import GitError, RefusedError, SignalInterrupt, UndoError
from repository import Repository
from signals import raise_on_signal
from steps import Change, steps_between
from template_rules import AnswerError, check_name, grown
from trees import Result, Tree
from update import Request, Update
from writer import reason_of


def report(update: Update, result: Result) -> int:
    """Print the report of an update; return the exit code. The files are written, whatever fails here."""
    repository, count = update.repository, len(result.conflicts)
    try:
        folders = [service.path for service in service_answers.resolved(update.old).values()]
        lines = [
            *update.notes,
            *notes.env_examples(update.before, result),
            *notes.no_longer_ignored(repository),
            *notes.untracked_files(update.project, update.before, repository.index(), folders),
        ]
        old, new = update.old["_commit"], update.new["_commit"]
        print(*notes.report(repository, old, new, result, lines), sep="\n")
    except Exception as error:  # noqa: BLE001 - main() would say that nothing was changed.
        print(f"The update is complete and staged, but its report failed: {error}", file=sys.stderr)
    with contextlib.suppress(OSError):  # The reader of the output is gone.
        if count:
            files = "a file" if count == 1 else f"{count} files"
            print(f"You and the template changed the same lines of {files}: edit, then git add.")
        print(f"Next: git diff --cached, {make_command(update.new)} setup test, git commit")
        print(f"Undo: {update.writer.undo_command}", flush=True)
    return 1 if count else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line.

    It is a stable interface: scripts/template.py of every released version uses it.
    """
    parser = argparse.ArgumentParser(
        description="Update a project. Projects run this through their scripts/template.py."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--project", type=Path, required=True, help="the project's folder")
    common.add_argument("--template", type=Path, required=True, help="a clone of the template")
    common.add_argument("--ref", required=True, help="the version to update to")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("update", parents=[common])
    verb.add_argument("-d", "--data", action="append", default=[], metavar="KEY=VALUE")
    verb = verbs.add_parser("add-service", parents=[common])
    verb.add_argument("names", nargs="+")
    verb.add_argument("--kind")
    verb.add_argument("--needs", type=words)
    verb.add_argument("--needed-by", type=words, default=[])
    verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    verb = verbs.add_parser("remove-service", parents=[common])
    verb.add_argument("names", nargs="+")
    verb.add_argument("--delete", action="store_true")
    verb = verbs.add_parser("rename-service", parents=[common])
    verb.add_argument("names", nargs="+")
    verb.add_argument("--to", nargs="+", required=True)
    verb = verbs.add_parser("grow", parents=[common])
    verb.add_argument("--name", default="app")
    return parser.parse_args(arguments)


def words(text: str) -> list[str]:
    """Split a text at commas and spaces."""
    return text.replace(",", " ").split()


def pairs(texts: list[str], example: str) -> dict[str, str]:
    """Split texts of the form KEY=VALUE.

    Raises:
        RefusedError: a text has another form; the message shows the example.
    """
    for text in texts:
        if "=" not in text:
            raise RefusedError(f"{text!r} must be KEY=VALUE, such as {example}")
    return dict(text.split("=", 1) for text in texts)


def request_of(options: argparse.Namespace, old: Answers, tree: Tree) -> Request:
    """Return the request of a command line, for a project with these answers and files.

    Raises:
        RefusedError, AnswerError: the request breaks a rule.
    """
    if options.verb == "update":
        return Request(pairs(options.data, "cache=redis"))
    if options.verb == "add-service":
        new = []
        more = pairs(options.set, "path=backend")
        for name in options.names:
            name, _, kind = name.partition(":")
            item = {"name": name, "kind": kind or options.kind, "needs": options.needs}
            item |= {key: parsed_answer(key, value) for key, value in more.items()}
            new.append({key: value for key, value in item.items() if value is not None})
        return Request({"services": service_answers.added(old, new, options.needed_by)})
    if options.verb == "remove-service":
        services = service_answers.removed(old, options.names)
        return Request({"services": services}, delete=options.delete)
    if options.verb == "rename-service":
        return rename_request(options.names, options.to, old, tree)
    if old.get("layout") != "single":
        raise RefusedError(
            "this project already allows several services; to add one, run: "
            f"{make_command(old)} add-service NAME=…"
        )
    check_name(options.name)
    check_free(f"services/{options.name}", tree)
    stores = {key: old.get(key, "none") for key in ("database", "cache")}
    services = grown(old, options.name)
    answers = {"layout": "multi", "services": services} | stores
    return Request(answers, names={"app": options.name})


def rename_request(olds: list[str], news: list[str], answers: Answers, tree: Tree) -> Request:
    """Return the request to rename services."""
    if len(olds) != len(news):
        raise RefusedError(
            f"the numbers of services ({len(olds)}) and of new names ({len(news)}) differ; give one new "
            "name for each service"
        )
    for given in (olds, news):
        for name in given:
            if given.count(name) > 1:
                raise RefusedError(f"{name!r} is given twice; give each service its own name")
    names = dict(zip(olds, news, strict=True))
    request = Request({"services": service_answers.renamed(answers, names)}, names=names)
    for name in news:
        check_free(f"services/{name}", tree)
    return request


def check_free(folder: str, tree: Tree) -> None:
    """Refuse to move a service to a path that exists."""
    if any(path == folder or path.startswith(f"{folder}/") for path in tree):
        raise RefusedError(f"{folder}/ already exists; move it away, or choose another name")


def before_copier() -> int:
    """Prepare the current folder's project for Copier: apply renamed answers."""
    project = Path.cwd()
    repository = Repository(project)
    # Copier checks this too, but not if git's configuration hides untracked files.
    untracked = repository.git("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    if untracked:
        name = untracked.decode(errors="replace").partition("\0")[0]
        raise RefusedError(f"{name} is not committed; commit it or move it away")
    old = committed_answers(repository)
    change = Change(dict(old))
    for step in steps_between(old["_commit"], os.environ["VERSION_TO"]):
        step(change)
    if change.answers != old:
        (project / ANSWERS_FILE).write_text(dumped(change.answers), encoding="utf-8")
    return 0


def after_copier(template: Path) -> int:
    """Update the current folder's project with the answers that Copier wrote."""
    project = Path.cwd()
    new = answers_in(project)
    request = Request(
        {
            key: value
            for key, value in new.items()
            if not key.startswith("_") and key not in REMEMBERED
        }
    )
    # copier.yml excludes all other files from Copier's own update, so only the answers are restored.
    Repository(project).git(
        "restore", "--source=HEAD", "--staged", "--worktree", "--", ANSWERS_FILE
    )
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as work:
        update = Update(project, template, "HEAD", request, Path(work))
        report(update, update.run())
    # Copier would report the exit code 1 of a conflict as a failure of the template.
    return 0


def from_project(options: argparse.Namespace) -> int:
    """Do what a project's scripts/template.py asks for."""
    project = options.project.resolve()
    repository = Repository(project)
    request = request_of(options, committed_answers(repository), repository.tree())
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as work:
        update = Update(project, options.template.resolve(), options.ref, request, Path(work))
        return report(update, update.run())


def main() -> int:
    """Run the command line. A refusal or a failure is one line on stderr."""
    # A file name that the terminal's encoding lacks must not stop an update.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    raise_on_signal()
    try:
        # Copier's command line: the stage, and the template's folder.
        if sys.argv[1:2] == ["before"]:
            return before_copier()
        if sys.argv[1:2] == ["after"]:
            return after_copier(Path(sys.argv[2]))
        return from_project(parse(sys.argv[1:]))
    # Copier raises ValueError for an answer that is not one of the choices.
    except (RefusedError, AnswerError, CopierError, ValueError) as error:
        print(str(error).strip().splitlines()[-1] + "; nothing was changed", file=sys.stderr)
        return 2
    except (GitError, OSError) as error:
        print(f"{reason_of(error)}; nothing was changed", file=sys.stderr)
        return 3
    except UndoError as error:
        print(error, file=sys.stderr)
        return 4
    except SignalInterrupt:
        print("Interrupted; nothing was changed", file=sys.stderr)
        return 130
    except Exception:  # noqa: BLE001 - Python's own exit code, 1, would mean conflicts.
        traceback.print_exc()
        print("This is a bug in the template; nothing was changed", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
