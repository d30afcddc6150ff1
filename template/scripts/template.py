#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["packaging>=24", "pyyaml>=6"]
# ///
# Kept by the template: copier update merges its changes into this file.
"""Update this project to a newer version of the template, or change its services.

This script checks the project, clones the template, and runs the merge of the template's newest
version. The merge computes the whole result first, then stages it. It never commits. Needs uv and
git.

Exit codes: 0 done, 1 done with conflicts to resolve, 2 refused, 3 failed, 4 failed and not everything
could be undone, 130 interrupted. After 2, 3 and 130 the project is as it was. After 4 the output names
what is not.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import io
import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import unquote

import yaml
from packaging.version import InvalidVersion, Version

ANSWERS = ".copier-answers.yml"

#: Copier's short addresses, such as gh:owner/name, by their prefix.
SHORT_ADDRESSES = {"gh": "https://github.com", "gl": "https://gitlab.com"}

#: The signals that ask a process to end.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Variables that git sets for its hooks. They would make our git commands use another repository.
GIT_VARIABLES = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_PREFIX "
    "GIT_ALTERNATE_OBJECT_DIRECTORIES".split()
)


class RefusedError(Exception):
    """The project is not ready, or the request is invalid. The text is one line, with a way out."""


class FailedError(Exception):
    """The template or a tool cannot be reached. The text gives the reason, and a way out if known."""


# A BaseException like KeyboardInterrupt, so that `except Exception` does not catch it.
class SignalInterrupt(BaseException):
    """A signal such as Ctrl-C asked the process to end."""


def git(*args: str, cwd: Path) -> str:
    """Run git and return its output.

    Raises:
        FailedError: git failed; the text is git's reason.
        RefusedError: git is not installed.
    """
    env = {name: value for name, value in os.environ.items() if name not in GIT_VARIABLES}
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            # The user's hooks must not run in the template's clone.
            ["git", "-c", f"core.hooksPath={os.devnull}", *args],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise RefusedError("git is not installed; install it first") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith(("fatal", "error"))), "")
        raise FailedError(re.sub(r"^(fatal|error): ", "", reason or "".join(lines[-1:])))
    return done.stdout.strip()


@dataclass(frozen=True)
class Project:
    """A generated project."""

    folder: Path
    source: str  #: the template's address
    version: str  #: the template's version, in the form of `git describe`
    make: str  #: the command for its make targets


def read_project(folder: Path) -> Project:
    """Read the template's address and version from a project's answers.

    Raises:
        RefusedError: the project is not in git, or its answers are missing or broken.
    """
    try:
        git("rev-parse", "--show-toplevel", cwd=folder)
    except FailedError as error:
        if hint := ownership_hint(str(error)):
            raise RefusedError(f"{error}{hint}") from None
        raise RefusedError(
            "this folder is not in a git repository, and updates need one; run: "
            "git init && git add --all && git commit -m Start"
        ) from None
    try:
        git("rev-parse", "--verify", "--quiet", "HEAD", cwd=folder)
    except FailedError:
        raise RefusedError(
            "the repository has no commit yet; run: git add --all && git commit -m Start"
        ) from None
    path = folder / ANSWERS
    if not path.exists():
        raise RefusedError(missing_answers(folder))
    changed = git("status", "--porcelain", "--ignored", "--", ANSWERS, cwd=folder)
    if changed.startswith(("??", "!!")):
        raise RefusedError(
            f"{ANSWERS} is not in git; run: git add --force {ANSWERS} && git commit -m Answers"
        )
    if changed:
        fix = f"restore it with: git restore {ANSWERS}"
    else:
        fix = f"restore it from an older commit; to find one, run: git log -- {ANSWERS}"

    def broken(reason: str) -> RefusedError:
        return RefusedError(f"{ANSWERS} {reason}; {fix}")

    if path.is_symlink():
        raise broken("is a link, and updates need a file")
    if not path.is_file():
        raise broken("is not a file")
    try:
        answers = yaml.safe_load(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise broken("is nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise broken(f"is not valid YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(answers, dict):
        raise broken("contains no answers")
    for key in ("_src_path", "_commit"):
        if not isinstance(answers.get(key), str | int | float):
            raise broken(f"has no {key}")
    makefile = answers.get("makefile") or "Makefile"
    make = "make" if makefile == "Makefile" else f"make -f {makefile}"
    return Project(folder, str(answers["_src_path"]), str(answers["_commit"]), make)


def ownership_hint(reason: str) -> str:
    """Return the way out if git refuses a repository because another user owns it, or ""."""
    found = re.search(r"dubious ownership in repository at '(.*?)'", reason)
    if not found:
        return ""
    return (
        ": another user owns it; if you trust it, run: "
        f"git config --global --add safe.directory {shlex.quote(found[1])}"
    )


def missing_answers(folder: Path) -> str:
    """Return why a project has no answers, and how to restore them."""
    if git("ls-tree", "HEAD", "--", ANSWERS, cwd=folder):
        return f"{ANSWERS} is deleted, and updates need it; restore it with: git restore {ANSWERS}"
    removed = git("log", "-1", "--format=%h", "--diff-filter=D", "--", ANSWERS, cwd=folder)
    if removed:
        return (
            f"{ANSWERS} was deleted in {removed}, and updates need it; restore it with: "
            f"git checkout {removed}~ -- {ANSWERS}"
        )
    return f"this folder has no {ANSWERS}; run this in the root of a generated project"


def check_ready(project: Project) -> None:
    """Check that an update of a project can be undone.

    Raises:
        RefusedError: the project has changes that are not committed, or HEAD is on no branch.
    """
    unmerged = git("diff", "--name-only", "--diff-filter=U", cwd=project.folder).splitlines()
    if unmerged:
        more = f" and {len(unmerged) - 1} more" if unmerged[1:] else ""
        raise RefusedError(
            f"an earlier merge left conflicts in {unmerged[0]}{more}; resolve and commit them, or undo "
            "that merge, then retry"
        )
    changed = git(
        "status", "--porcelain", "--untracked-files=normal", "--", ".", cwd=project.folder
    )
    if changed:
        lines = changed.splitlines()
        more = f" and {len(lines) - 1} more are" if lines[1:] else " is"
        raise RefusedError(
            f"{lines[0].split(maxsplit=1)[1]}{more} not committed; commit everything, or run "
            "git stash --include-untracked, then retry"
        )
    try:
        git("symbolic-ref", "--quiet", "HEAD", cwd=project.folder)
    except FailedError:
        raise RefusedError(
            "HEAD is detached, so a commit could get lost; create a branch: "
            "git switch --create template-update"
        ) from None


class Template:
    """A clone of the template."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.folder = folder
        url = full_address(project.source)
        # Git does not expand `~`. Path.expanduser() would shorten the `//` of a URL.
        address = os.path.expanduser(url)  # noqa: PTH111
        try:
            git(
                *("clone", "--quiet", "--no-checkout", "--", address, str(folder)),
                cwd=project.folder,
            )
        except FailedError as error:
            # Git accepts /srv/x for /srv/x.git, so only a failure shows that the folder is missing.
            source_folder = Path(unquote(address.removeprefix("file://")))
            if source_folder.is_absolute() and not source_folder.exists():
                raise FailedError(
                    f"the template is the folder {source_folder}, which does not exist on this "
                    "machine\nClone the template to that path, or set _src_path in "
                    f"{ANSWERS} to the URL of a published copy (docs/publish.md of the template) and "
                    "commit."
                ) from None
            raise FailedError(
                f"cannot fetch the template from {project.source}: {error}{ownership_hint(str(error))}"
            ) from None
        try:
            self.current = self.commit(project.version)
        except FailedError:
            raise RefusedError(
                f"the template at {project.source} has no version {project.version}, which this "
                f"project uses; if its history was rewritten, set _commit in {ANSWERS} to a commit "
                "that it has"
            ) from None

    def commit(self, name: str) -> str:
        """Return the id of a commit."""
        return git("rev-parse", "--verify", "--quiet", name + "^{commit}", cwd=self.folder)

    def tags(self) -> list[str]:
        """Return the releases, newest first."""
        tags = git("for-each-ref", "--format=%(refname:strip=2)", "refs/tags", cwd=self.folder)
        return sorted(filter(is_release, tags.splitlines()), key=Version, reverse=True)

    def newest(self) -> str:
        """Return the newest release, or the last commit of the main branch if there is no release."""
        return next(iter(self.tags()), None) or self.describe("HEAD")

    def describe(self, name: str) -> str:
        """Return the version of a commit."""
        return git("describe", "--tags", "--always", name, cwd=self.folder)

    def is_older(self, name: str, version: str) -> bool:
        """Return whether a version is older than the project's version."""
        if self.commit(name) == self.current:
            return False
        if is_release(name) and is_release(version):
            return Version(name) < Version(version)
        shared = git("merge-base", name, self.current, cwd=self.folder)
        return shared == self.commit(name)

    def changes(self, old: str, new: str) -> list[str]:
        """Return the changelog's lines on the versions after `old`, up to and including `new`."""
        try:
            text = git("show", f"{new}:CHANGELOG.md", cwd=self.folder)
        except FailedError:
            return []
        return list(between(text, old, new))


def full_address(source: str) -> str:
    """Return the address that git can clone, for an address that Copier accepts."""
    found = re.fullmatch(r"(gh|gl):/?(.+?)(\.git)?", source)
    if found:
        return f"{SHORT_ADDRESSES[found[1]]}/{found[2]}.git"
    return source.removeprefix("git+")


def is_release(tag: str) -> bool:
    """Return whether a tag is a release. A pre-release is not."""
    return is_version(tag) and not Version(tag).is_prerelease


def between(changelog: str, old: str, new: str) -> Iterator[str]:
    """Yield the changelog's lines on the versions after `old`, up to and including `new`.

    If `new` is not a release, the section without a version belongs to it.
    """
    inside = False
    for line in changelog.splitlines():
        if line.startswith("## "):
            words = line.removeprefix("## ").strip("[] ").split()
            name = words[0].strip("[]") if words else ""
            if is_version(name):
                after = not is_version(old) or Version(name) > Version(old)
                inside = after and (not is_version(new) or Version(name) <= Version(new))
            else:
                inside = not is_version(new)
        elif line.startswith("[") and "]: " in line:
            inside = False
        if inside:
            yield line


def is_version(text: str) -> bool:
    """Return whether a text is a version's number. A commit's id may consist of digits, too."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return "." in text


def check(project: Project, *, as_json: bool) -> int:
    """Report whether the template has a newer version, and what that changes."""
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as work:
        template = Template(project, Path(work, "template"))
        newest = template.newest()
        newer = template.commit(newest) != template.current and not template.is_older(
            newest, project.version
        )
        changes = template.changes(project.version, newest) if newer else []
    if as_json:
        found: dict[str, Any] = {"version": project.version, "newest": newest, "newer": newer}
        print(json.dumps(found | {"changes": "\n".join(changes).strip()}))
    elif newer:
        print(
            f"{newest} is available; this project uses {project.version}.", *changes, "", sep="\n"
        )
        print(f"Next: {project.make} template-update")
    else:
        print(f"{project.version} is the newest version.")
    return 0


def change(project: Project, options: argparse.Namespace) -> int:
    """Update the project, or change its services, by the merge of the template's newest version."""
    check_ready(project)
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as work:
        template = Template(project, Path(work, "template"))
        newest = template.newest()
        target = options.version
        if target is None:
            target = newest if options.verb == "update" else template.current
        else:
            try:
                template.commit(target)
            except FailedError:
                newest_tags = ", ".join(template.tags()[:5]) or "none yet"
                raise RefusedError(
                    f"the template has no version {target!r}; its newest releases: {newest_tags}"
                ) from None
        if template.is_older(target, project.version):
            if options.version is None:
                print(f"{project.version} is newer than the newest release, {target}.")
                return 0
            raise RefusedError(
                f"{target} is older than {project.version}, which this project uses; to go back, run "
                "git revert on the commit of the update"
            )
        is_current = template.commit(target) == template.current
        if options.verb == "update" and is_current and not options.data:
            is_newest = template.commit(newest) == template.current
            print(
                f"{project.version} is the newest version."
                if is_newest
                else f"This project already uses {project.version}."
            )
            return 0
        git("checkout", "--quiet", "--detach", newest, cwd=template.folder)
        if not is_current:
            # Before the merge, so that the conflicts and the command that undoes it come last.
            notes = [line for line in template.changes(project.version, target) if line.strip()]
            if notes:
                text = ("What is new, and what you have to do:", *notes, "")
                print(*text, sep="\n", flush=True)
        code = run_merge(project, template, target, for_merge(options), Path(work))
        if code == 1 and not git("status", "--porcelain", "--", ".", cwd=project.folder):
            raise FailedError(
                "uv could not run the merge; the reason is above, and nothing was changed"
            )
    return code


def run_merge(
    project: Project, template: Template, target: str, arguments: list[str], work: Path
) -> int:
    """Run the merge in a checkout of the template, and return its exit code.

    If a signal interrupts this, the merge is interrupted, too. This then waits until the merge has
    restored the project.
    """
    script = template.folder / "migrations/migrate.py"
    if not script.exists():
        raise FailedError(
            "the template's newest version has no migrations/migrate.py, so it cannot merge"
        )
    # With PYTHONSAFEPATH, Python would not find the modules of the merge.
    unset = {*GIT_VARIABLES, "PYTHONSAFEPATH"}
    env = {name: value for name, value in os.environ.items() if name not in unset}
    with subprocess.Popen(
        [
            *(os.environ.get("UV", "uv"), "run", "--quiet", "--no-project", "--script"),
            *(str(script), *arguments, f"--project={project.folder}"),
            *(f"--template={template.folder}", f"--ref={target}"),
        ],
        env=env | {"TMPDIR": str(work)},
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            code = process.wait()
        except SignalInterrupt:
            # The terminal sends Ctrl-C to the merge as well, but kill does not. uv forwards SIGTERM.
            process.terminate()
            code = process.wait()
            # Otherwise the merge was complete when the signal came, or it could not undo everything.
            if code not in (0, 1, 4):
                return 130
    ignore_signals()
    return code


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser(
        "check", help="report whether the template has a newer version, and what it changes"
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    version = argparse.ArgumentParser(add_help=False)
    version.add_argument(
        "--version",
        help=(
            "the template's version, a release or a commit (default: the newest release for update, "
            "the present version otherwise)"
        ),
    )

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text, parents=[version])

    verb = add("update", "merge the newest version of the template, or change answers")
    verb.add_argument(
        *("-d", "--data"), action="append", default=[], metavar="KEY=VALUE", help="change an answer"
    )
    verb = add("add-service", "add services")
    verb.add_argument("names", nargs="+", metavar="NAME", help="a name, or NAME:KIND")
    verb.add_argument("--kind", help="their kind, such as python-api (default: from the name)")
    verb.add_argument("--needs", metavar="NAMES", help="the services that the new ones call")
    verb.add_argument("--needed-by", metavar="NAMES", help="the services that call the new ones")
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another key of their entries, such as path=backend or port=3000",
    )
    verb = add(
        "remove-service", "remove services and their folders; a folder that you changed is kept"
    )
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb.add_argument("--delete", action="store_true", help="also remove folders that you changed")
    verb = add("rename-service", "rename services and move their folders")
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb.add_argument("--to", nargs="+", required=True, metavar="NAME", help="the new names")
    verb = add("grow", "turn a single-service project into one that allows several services")
    verb.add_argument("--name", default="app", help="the name of its service (default: app)")
    return parser.parse_args(arguments)


def for_merge(options: argparse.Namespace) -> list[str]:
    """Return the command line for the template's migrations/migrate.py, which is stable."""
    given = vars(options)
    arguments = [options.verb, *given.get("names", [])]
    for name in ("kind", "needs", "needed_by", "name"):
        if given.get(name):
            arguments.append(f"--{name.replace('_', '-')}={given[name]}")
    arguments += [f"--data={pair}" for pair in given.get("data", [])]
    arguments += [f"--set={pair}" for pair in given.get("set", [])]
    arguments += ["--to", *given["to"]] if "to" in given else []
    arguments += ["--delete"] if given.get("delete") else []
    return arguments


# The template's migrations/signals.py does the same. A project does not have that file.
def ignore_signals() -> None:
    """Ignore stop signals from now on, also in the programs that are started from now on."""
    # Blocking alone is not enough: Python may already hold a signal that it has not handled yet.
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Raise an exception once. A second signal must not stop the clean-up."""
    ignore_signals()
    raise SignalInterrupt


def main() -> int:
    """Run the command line. A refusal or a failure is one line on stderr."""
    options = parse(sys.argv[1:])
    # A character that the terminal's encoding lacks must not stop an update.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    try:
        project = read_project(Path.cwd())
        if options.verb == "check":
            return check(project, as_json=options.json)
        return change(project, options)
    except RefusedError as reason:
        print(f"template.py: {reason}", file=sys.stderr)
        return 2
    except FailedError as reason:
        print(f"template.py: {reason}", file=sys.stderr)
        return 3
    except SignalInterrupt:
        print("template.py: interrupted; nothing was changed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
