#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["packaging>=24", "pyyaml>=6"]
# ///
# Kept by the template: copier update merges its changes into this file.
"""Bring later versions of the template into this project, and change its services.

Nothing is changed before all is worked out, and then it is staged, never committed. The merge itself
is part of the template, of its newest version: this script looks whether the project is ready for
it, fetches it, and runs it. Needs uv and git.

Exit codes: 0 done, 1 done with conflicts to resolve, 2 refused, 3 failed, 130 interrupted; with the
last three, nothing is changed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

ANSWERS = ".copier-answers.yml"

#: The hosts of Copier's short forms of addresses, such as gh:owner/name.
SHORT = {"gh": "https://github.com", "gl": "https://gitlab.com"}

#: The signals that ask a process to end.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Refused(Exception):
    """The project is not ready, or the wish is not clear. The text is one line, with a way out."""


class Failed(Exception):
    """The template is out of reach, or a tool is. The text is one line."""


class Interrupted(BaseException):
    """A signal came that ends this, such as Ctrl-C."""


def git(*args: str, cwd: Path) -> str:
    """Run git and return what it prints.

    Raises:
        Failed: it failed; the text is what git said.
    """
    env = {name: value for name, value in os.environ.items() if name not in LOCAL}
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise Refused("git is not installed; get it first") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in said if line.startswith(("fatal", "error"))), "")
        raise Failed(re.sub(r"^(fatal|error): ", "", reason or "".join(said[-1:])))
    return done.stdout.strip()


#: What git sets for the hooks that it runs, and would lead it to another repository.
LOCAL = frozenset(
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_PREFIX "
    "GIT_ALTERNATE_OBJECT_DIRECTORIES".split()
)


@dataclass(frozen=True)
class Project:
    """A generated project."""

    folder: Path
    source: str  #: where its template comes from
    version: str  #: the template's version that it has, as `git describe` says it


def read_project(folder: Path) -> Project:
    """Read which template a project has.

    Raises:
        Refused: it is not in git, or is not this template's.
    """
    try:
        git("rev-parse", "--show-toplevel", cwd=folder)
    except Failed as error:
        if "dubious ownership" in str(error):
            root = shlex.quote(str(error).partition(" at ")[2].strip("'"))
            raise Refused(
                f"{error}: it is not yours; if you trust it, run: "
                f"git config --global --add safe.directory {root}"
            ) from None
        raise Refused(
            "this folder is in no git repository, which updates need; run: "
            "git init && git add --all && git commit -m Start"
        ) from None
    try:
        git("rev-parse", "--verify", "--quiet", "HEAD", cwd=folder)
    except Failed:
        raise Refused(
            "nothing is committed yet; run: git add --all && git commit -m Start"
        ) from None
    path = folder / ANSWERS
    if not path.exists():
        raise Refused(without_answers(folder))
    changed = git("status", "--porcelain", "--ignored", "--", ANSWERS, cwd=folder)
    if changed.startswith(("??", "!!")):
        raise Refused(
            f"{ANSWERS} is not in git; run: git add --force {ANSWERS} && git commit -m Answers"
        )
    again = f"git restore {ANSWERS}" if changed else f"git log -- {ANSWERS}"

    def broken(why: str) -> Refused:
        return Refused(f"{ANSWERS} {why}; take it from an older commit: {again}")

    try:
        answers = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise broken(f"is no YAML{f' in line {mark.line + 1}' if mark else ''}") from None
    if not isinstance(answers, dict):
        raise broken("holds no answers")
    for key in ("_src_path", "_commit"):
        if not isinstance(answers.get(key), str | int | float):
            raise broken(f"has no {key}")
    return Project(folder, str(answers["_src_path"]), str(answers["_commit"]))


def without_answers(folder: Path) -> str:
    """Say why there are no answers, and where they are to be had."""
    if git("ls-tree", "HEAD", "--", ANSWERS, cwd=folder):
        return f"{ANSWERS}, which updates read, is deleted; bring it back: git restore {ANSWERS}"
    removed = git("log", "-1", "--format=%h", "--diff-filter=D", "--", ANSWERS, cwd=folder)
    if removed:
        return (
            f"{ANSWERS}, which updates read, was deleted in {removed}; bring it back: "
            f"git checkout {removed}~ -- {ANSWERS}"
        )
    return f"there is no {ANSWERS} here: run this in the root of a generated project"


def check_ready(project: Project) -> None:
    """Refuse a project that the result could not be brought back from, or would be lost in.

    Raises:
        Refused: it has changes that are not committed, or no branch.
    """
    unmerged = git("diff", "--name-only", "--diff-filter=U", cwd=project.folder).splitlines()
    if unmerged:
        more = f" and {len(unmerged) - 1} more" if unmerged[1:] else ""
        raise Refused(
            f"{unmerged[0]}{more} has conflicts of an earlier merge; resolve them and commit, "
            "or undo it, and run this again"
        )
    changed = git(
        "status", "--porcelain", "--untracked-files=normal", "--", ".", cwd=project.folder
    )
    if changed:
        lines = changed.splitlines()
        more = f" and {len(lines) - 1} more are" if lines[1:] else " is"
        raise Refused(
            f"{lines[0].split(maxsplit=1)[1]}{more} not committed; commit it, or put it away "
            "with git stash --include-untracked, and run this again"
        )
    try:
        git("symbolic-ref", "--quiet", "HEAD", cwd=project.folder)
    except Failed:
        raise Refused(
            "HEAD is on no branch, so that a commit could get lost; make one: "
            "git switch --create template-update"
        ) from None


def undo_command(project: Project) -> str:
    """Return the shell command that brings the project back to its last commit.

    In a repository that holds more than the project, the rest stays as it is.
    """
    if not git("rev-parse", "--show-prefix", cwd=project.folder):
        return "git reset --hard"
    return "git add --update . && git restore --source=HEAD --staged --worktree ."


class Template:
    """A clone of the template."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.folder = folder
        url = full_address(project.source)
        where = Path(url).expanduser()
        try:
            git(
                *("clone", "--quiet", "--no-checkout", "--"),
                *(str(where) if where.exists() else url, str(folder)),
                cwd=project.folder,
            )
        except Failed as error:
            raise Failed(f"the template cannot be fetched from {project.source}: {error}") from None
        try:
            self.current = self.commit(project.version)
        except Failed:
            raise Refused(
                f"the template at {project.source} has no {project.version}, which this project "
                f"was made of; was its history rewritten? Set _commit in {ANSWERS} to one it has"
            ) from None

    def commit(self, name: str) -> str:
        """Return the id of a commit."""
        return git("rev-parse", "--verify", "--quiet", name + "^{commit}", cwd=self.folder)

    def tags(self) -> list[str]:
        """Return the releases, newest first."""
        tags = git("for-each-ref", "--format=%(refname:strip=2)", "refs/tags", cwd=self.folder)
        return sorted(filter(is_release, tags.splitlines()), key=Version, reverse=True)

    def newest(self) -> str:
        """Return the newest release; where there is none, the main branch's last commit."""
        return next(iter(self.tags()), None) or self.describe("HEAD")

    def describe(self, name: str) -> str:
        """Say which version a commit is."""
        return git("describe", "--tags", "--always", name, cwd=self.folder)

    def is_older(self, name: str, version: str) -> bool:
        """Tell whether a version is older than the one that the project has."""
        if self.commit(name) == self.current:
            return False
        if is_release(name) and is_release(version):
            return Version(name) < Version(version)
        shared = git("merge-base", name, self.current, cwd=self.folder)
        return shared == self.commit(name)

    def changes(self, old: str, new: str) -> list[str]:
        """Return the lines of the changelog on the versions after one, up to another."""
        try:
            text = git("show", f"{new}:CHANGELOG.md", cwd=self.folder)
        except Failed:
            return []
        return list(between(text, old, new))


def full_address(source: str) -> str:
    """Return what git can fetch a template from, of what Copier can."""
    found = re.fullmatch(r"(gh|gl):/?(.+?)(\.git)?", source)
    if found:
        return f"{SHORT[found[1]]}/{found[2]}.git"
    return source.removeprefix("git+")


def is_release(tag: str) -> bool:
    """Tell whether a tag is that of a release; a preview is none."""
    return is_version(tag) and not Version(tag).is_prerelease


def between(changelog: str, old: str, new: str) -> Iterator[str]:
    """Yield the changelog's lines on the versions after one, up to another.

    What is under no version yet belongs to a version that is no release.
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
    """Tell whether a text is a version's number, and not a commit's, which may be digits too."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return "." in text


def check(project: Project, *, as_json: bool) -> int:
    """Say whether there is a newer version of the template, and what it changes."""
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
        print(f"{newest} is there; this project has {project.version}.", *changes, "", sep="\n")
        print("Next: make template-update")
    else:
        print(f"{project.version} is the newest version.")
    return 0


def change(project: Project, options: argparse.Namespace) -> int:
    """Update the project, or change its services: run the newest template's own merge."""
    check_ready(project)
    # Before anything: whoever needs it after a kill -9 finds it above.
    print(f"Should this be killed, this brings back the last commit: {undo_command(project)}")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as work:
        template = Template(project, Path(work, "template"))
        newest = template.newest()
        target = options.version
        if target is None:
            target = newest if options.verb == "update" else template.current
        else:
            try:
                template.commit(target)
            except Failed:
                known = ", ".join(template.tags()[:5]) or "none yet"
                raise Refused(
                    f"the template has no version {target!r}; its releases: {known}"
                ) from None
        if template.is_older(target, project.version):
            if options.version is None:
                print(f"{project.version} is newer than the newest version, {target}.")
                return 0
            raise Refused(
                f"{target} is older than {project.version}, which this project has, and an update "
                "does not go back; 'git revert' the commit of the update instead"
            )
        is_current = template.commit(target) == template.current
        if options.verb == "update" and is_current and not options.data:
            print(f"{project.version} is the newest version.")
            return 0
        git("checkout", "--quiet", "--detach", newest, cwd=template.folder)
        code = run_merge(project, template, target, for_merge(options), Path(work))
        if code == 1 and not git("status", "--porcelain", "--", ".", cwd=project.folder):
            raise Failed("uv could not run the merge, for the reason above; nothing is changed")
        if code in (0, 1) and not is_current:
            notes = [line for line in template.changes(project.version, target) if line.strip()]
            if notes:
                print("", "What is new, and what is left to you:", *notes, sep="\n")
    return code


def run_merge(
    project: Project, template: Template, target: str, arguments: list[str], work: Path
) -> int:
    """Run the merge of a template's checkout, and return its exit code.

    It is told to end when this is, and has then undone what it did: only then this may end.
    """
    script = template.folder / "migrations/migrate.py"
    if not script.exists():
        raise Failed("the template's newest version has no migrations/migrate.py, which does this")
    env = {name: value for name, value in os.environ.items() if name not in LOCAL}
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
        except Interrupted:
            # Ctrl-C has reached it by itself; uv passes on this.
            process.terminate()
            code = process.wait()
            if code not in (0, 1):  # Else it was done by then.
                return 130
    ignore_signals()
    return code


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("check", help="say what a newer version of the template changes")
    verb.add_argument("--json", action="store_true", help="for programs")
    version = argparse.ArgumentParser(add_help=False)
    version.add_argument(
        "--version",
        help="of the template: a release, or a commit (update: the newest; else: as is)",
    )

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text, parents=[version])

    verb = add("update", "merge the newest version of the template, or other answers")
    verb.add_argument(
        *("-d", "--data"), action="append", default=[], metavar="KEY=VALUE", help="change an answer"
    )
    verb = add("add-service", "add services at the end of the list")
    verb.add_argument("names", nargs="+", metavar="NAME", help="or NAME:KIND")
    verb.add_argument("--kind", help="python-api, python-worker, node-web or custom")
    verb.add_argument("--needs", metavar="NAMES", help="the services that it talks to")
    verb.add_argument("--needed-by", metavar="NAMES", help="the services that talk to it")
    verb = add("remove-service", "take services off the list, and remove their folders")
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb.add_argument("--delete", action="store_true", help="even those that you have changed")
    verb = add("rename-service", "give services other names, and move their folders")
    verb.add_argument("names", nargs="+", metavar="NAME")
    verb.add_argument("--to", nargs="+", required=True, metavar="NAME", help="the new names")
    verb = add("grow", "turn a project of a single service into one of many")
    verb.add_argument("--name", default="app", help="what its service is called then")
    return parser.parse_args(arguments)


def for_merge(options: argparse.Namespace) -> list[str]:
    """Write the command line of the template's migrations/migrate.py, which is a stable one."""
    given = vars(options)
    arguments = [options.verb, *given.get("names", [])]
    for name in ("kind", "needs", "needed_by", "name"):
        if given.get(name):
            arguments.append(f"--{name.replace('_', '-')}={given[name]}")
    arguments += [f"--data={pair}" for pair in given.get("data", [])]
    arguments += ["--to", *given["to"]] if "to" in given else []
    arguments += ["--delete"] if given.get("delete") else []
    return arguments


def ignore_signals() -> None:
    """Let no signal stop what comes now, nor what is started from now on."""
    for number in ENDING:  # One may have come already, and be told next.
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Unwind once; a second signal must not stop what is being undone."""
    ignore_signals()
    raise Interrupted


def main() -> int:
    """Run, and say in one line why where it cannot be done."""
    options = parse(sys.argv[1:])
    # What a terminal cannot show, such as a letter of the changelog, must not stop this.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in ENDING:
        signal.signal(number, interrupt)
    try:
        project = read_project(Path.cwd())
        if options.verb == "check":
            return check(project, as_json=options.json)
        return change(project, options)
    except Refused as reason:
        print(f"template.py: {reason}", file=sys.stderr)
        return 2
    except Failed as reason:
        print(f"template.py: {reason}", file=sys.stderr)
        return 3
    except Interrupted:
        print("template.py: interrupted; nothing is changed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
