# Kept by the template: copier update merges its changes into this file.
"""Reads everything that may decide whether a target passes, as named parts. The key is their hash.

| part | contains |
| --- | --- |
| target | the stage, the name, and the commands that make would run |
| tree FOLDER | each file of the service, of the services in its stack and of those that its files mention: name, mode, content, target of a symbolic link; ignored and untracked files too |
| tree . | all other files of the project, except those of no test (UNTESTED in changes.py), and the integration tests |
| compose | the output of `docker compose config`, and each folder or file outside the other parts that it mounts or builds |
| image NAME | the ID of each image that the stack uses and does not build |
| base image NAME | the digest of each image that a Dockerfile names, or the ID in Docker's image store |
| environment NAME | each variable that the tests can read, except NEUTRAL |
| tool NAME | path, size and times of each program in the commands; the version behind a version manager |
| path PATH | the content of what PYTHONPATH or NODE_PATH names outside the project |
| installed | the packages of the system and of Python environments outside the project, and the times of the folders on PATH |
| machine | operating system, kernel, architecture, time zone, user and umask |
| engine | version and architecture of Docker's engine, and its plugins |

Packages that are installed in a tree (.venv, node_modules) belong to that tree: see `packages`. A part
has no path of the checkout, so worktrees share results. If a part cannot be read, there is no key.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from glob import glob
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .changes import UNTESTED, all_services, stack_of
from .memo import Memo, UnreadableError, as_unreadable, digest, identity
from .processes import environment
from .project import FOLDERS, INTEGRATION, MULTI, ROOT
from .stack_inputs import Engine, Images, host_paths
from .targets import Target, dry_run

#: Changes when the parts change their meaning.
VERSION = "1"

#: Environment variables that cannot decide a verdict: where a shell or terminal runs, what selects or
#: displays targets, and marks that the runner or a version manager sets for itself.
NEUTRAL = re.compile(
    r"_|PWD|OLDPWD|SHLVL|TERM_SESSION_ID|WINDOWID"
    r"|SSH_(AUTH_SOCK|AGENT_PID|CLIENT|CONNECTION|TTY)|GPG_TTY|TMUX(_PANE)?|STY|XDG_SESSION_ID"
    r"|DBUS_SESSION_BUS_ADDRESS|INVOCATION_ID|JOURNAL_STREAM|VSCODE_.*|DIRENV_.*"
    r"|SERVICE|STAGE|CHANGED|FAILED|FRESH|VERBOSE|TEST_OPTIONS|MAKEOVERRIDES|TEST_OUTPUT|MAKE_TERM(OUT|ERR)"
    r"|TEST_RUN|TEST_INSTANCE_ID|TEST_RESULT_CACHE|UV|UV_RUN_RECURSION_DEPTH|CODEX_THREAD_ID"
)

#: Folders that tools write and no test reads.
OUTPUT = frozenset(
    ".git .test-results __pycache__ .pytest_cache .mypy_cache .ruff_cache .hypothesis .tox .nox .idea "
    ".gradle htmlcov".split()
)
#: Folders that are output only next to one of these files.
OUTPUT_NEXT_TO = {
    "target": ("Cargo.toml", "pom.xml"),
    "obj": (".csproj", ".fsproj"),
}
#: Folders of a Node.js package that are output only if they contain one of these files.
OUTPUT_WITH = {"coverage": ("coverage-final.json", "lcov.info", "clover.xml", "lcov-report")}
#: Files that tools write and no test reads.
OUTPUT_FILE = re.compile(r"\.git|\.coverage(\..+)?|\.DS_Store|\..+\.sw[a-p]")
#: Folders whose files a test run may write again with the same content.
REWRITTEN = frozenset({"dist", "build", ".next"})

#: Folders whose files all match UNTESTED.
UNTESTED_FOLDER = re.compile(r"docs|deploy/(?!test$)[^/]+")
#: Files of a single-service project that are not its source, so their words do not count.
OWN = ("scripts/", "deploy/", ".github/", ".gitea/", "Makefile", "README", ".copier-answers")

#: Files that are neither a compose file nor read by one.
CODE = re.compile(r"\.(py|[cm]?[jt]sx?|css|html|svg|png|md|go|rs|java|kt|rb|php|cs|sql)$")
#: A file in node_modules that cannot change what a test does.
INERT = re.compile(r"\.(map|md|txt|flow|d\.[cm]?ts)$|^(LICENSE|README)")
#: Folders in node_modules where pnpm, Yarn and Prisma keep code.
STORES = (".pnpm", ".store", ".prisma")
#: Files in node_modules that a package manager writes last.
MARKERS = (".package-lock.json", ".modules.yaml", ".yarn-state.yml", ".yarn-integrity")

#: A program in the bin folder of a .venv that is smaller is a script, in bytes.
MOST_SCRIPT = 20_000

#: Tools whose program is a version manager, which starts another program.
MANAGERS = re.compile(r"volta-shim|mise|rustup|asdf|proto|fnm|pyenv|rbenv|nodenv")

#: Where version managers keep the user's choice and what is installed, in the home folder.
MANAGED_BY = (
    *(".pyenv/version", ".pyenv/versions", ".rbenv/version", ".nodenv/version", ".tool-versions"),
    *(".config/mise/*.toml", ".config/mise/conf.d/*", ".local/share/mise/installs/*", ".asdfrc"),
    *(
        ".asdf/installs/*",
        ".proto/.prototools",
        ".proto/tools/*",
        ".volta/tools/user/platform.json",
    ),
    *(".rustup/settings.toml", ".rustup/update-hashes/*"),
)
#: The same in a folder with another name, beside the folder of the shims.
MANAGED_BESIDE = ("version", "versions", "installs/*")
#: Files with a choice for all folders below.
CHOICES = (
    *(".tool-versions", "mise.toml", ".mise.toml", ".prototools", ".python-version"),
    *(".node-version", ".nvmrc", ".ruby-version", "rust-toolchain", "rust-toolchain.toml"),
)

#: What changes when a package of the operating system is installed.
SYSTEM = (
    *("/var/lib/dpkg/status", "/lib/apk/db/installed", "/var/lib/pacman/local"),
    *("/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/run/current-system"),
    *("/opt/homebrew/var/homebrew/linked", "/usr/local/var/homebrew/linked"),
)
#: Environment variables that name a folder with Python packages, and those with code that is imported.
ENVIRONMENTS = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "CONDA_PREFIX")
IMPORTED = ("PYTHONPATH", "NODE_PATH")
#: What an installer writes for each Python package.
INSTALLED = (".dist-info", ".egg-info", ".egg-link", ".pth")

#: A compose file that may be resolved differently although the files of the project are the same.
OTHER_FILES = re.compile(
    r"\b(env_file|label_file|include|extends|COMPOSE_(ENV_)?FILES?)\b"
    r"|\$\{?(?!TEST_INSTANCE_ID)(" + NEUTRAL.pattern + r")\b"
)

#: The most files that are read of a folder outside the project.
MOST_OUTSIDE = 5000

Parts = dict[str, str]


def key_of(parts: Parts) -> str:
    """Return the key for some parts."""
    return digest(*(text for part in sorted(parts.items()) for text in part))


@dataclass(frozen=True)
class Tree:
    """The files of a folder."""

    digest: str  #: of names, modes and contents
    stamps: str  #: of inodes and times; differs if a file was written, even with the same content
    files: dict[str, str]  #: the hash of each file, by its path in the folder
    mentions: dict[str, frozenset[str]]  #: by path: the services, and other folders, in its text
    config: str  #: the digest of the files that a compose file may be or read


def words_of(services: Iterable[str], folders: Iterable[str]) -> re.Pattern[bytes]:
    """Return the pattern for the names of other services, and of files that no test usually reads."""
    names = "|".join(map(re.escape, sorted(services))) or "(?!)"
    homes = "|".join(re.escape(folder) for folder in sorted(folders) if folder != ".") or "(?!)"
    text = (
        rf"((?:\.\./|services/)(?:{names}))(?![\w-])|[\"']({names}|\w+\.md|LICENSE)[\"']|({homes})"
        r"|(\.\./tests|deploy/(?!test\b)[a-z]+|\.github)|[\"'/](docs)[\"'/]|\.\./(\w+\.md|LICENSE)"
    )
    return re.compile(text.encode())


@dataclass
class Inputs:
    """The inputs of the targets at one moment. Each folder is read once; a new object reads again."""

    memo: Memo
    engine: Engine
    root: Path = ROOT
    env: Mapping[str, str] = field(default_factory=lambda: environment(""))
    _trees: dict[str, Tree] = field(default_factory=dict)
    _folders: dict[str, list[str]] = field(default_factory=dict)
    _images: dict[str, str] = field(default_factory=dict)
    _bases: dict[str, str] = field(default_factory=dict)
    _managed: dict[Path, str] = field(default_factory=dict)
    _installed: str = ""
    _about: str = ""

    def read(self, targets: Iterable[Target]) -> dict[str, Parts | UnreadableError]:
        """Return the parts of each target by its title, or why they cannot be read."""
        wanted = list(targets)
        scopes = {target.scope: target for target in wanted if target.scope}
        if not scopes:
            return self._basics(wanted)
        from concurrent.futures import ThreadPoolExecutor  # Unit tests do not need it.

        with ThreadPoolExecutor(max_workers=8) as pool:
            about = pool.submit(self.engine.about)
            # Most often the stacks are those of the last run. Ask while the files are read.
            before = Images()
            with suppress(Exception):  # It only saves time.
                before = Images.of(config for _, config in self.memo.configs.values())
            images = pool.submit(self.engine.images, before.all) if before.all else None
            bases = pool.submit(self.engine.base_images, before.bases) if before.bases else None
            found = self._basics(wanted)
            readable = {
                scope: target
                for scope, target in scopes.items()
                if not isinstance(found[target.title], UnreadableError)
            }
            plans = {scope: pool.submit(self._config, target) for scope, target in readable.items()}
            try:
                self._images = images.result() if images else {}
                self._bases = bases.result() if bases else {}
                self._about = about.result()
                now = Images()
                for plan in plans.values():
                    with suppress(Exception):  # `stack` meets the same error.
                        now |= Images.of([plan.result()])
                if now.all - before.all:
                    self._images |= self.engine.images(now.all - before.all)
                if now.bases - before.bases:
                    self._bases |= self.engine.base_images(now.bases - before.bases)
            except Exception as error:  # noqa: BLE001 - as above
                error = as_unreadable(error)
                found |= {target.title: error for target in wanted if target.scope}
        for target in wanted:
            parts = found[target.title]
            if target.scope and not isinstance(parts, UnreadableError):
                try:
                    parts |= self.stack(target, plans[target.scope].result())
                except Exception as error:  # noqa: BLE001 - on any error, the target must run
                    found[target.title] = as_unreadable(error)
        return found

    # WITHOUT DOCKER -----------------------------------------------------------
    def _basics(self, targets: Iterable[Target]) -> dict[str, Parts | UnreadableError]:
        found: dict[str, Parts | UnreadableError] = {}
        for target in targets:
            try:
                found[target.title] = self.basic(target)
            except Exception as error:  # noqa: BLE001 - on any error, the target must run
                found[target.title] = as_unreadable(error)
        return found

    def basic(self, target: Target) -> Parts:
        """Return the parts that have nothing to do with Docker."""
        plan = dry_run(tuple(target.command))
        recipe = self.portable(plan.stdout + plan.stderr)
        options = " ".join([VERSION, str(MULTI), *target.selected])
        parts = {"target": digest(target.title, options, recipe), "machine": machine()}
        for folder in self.folders(target):
            parts[f"tree {folder}"] = self.tree(folder).digest
        parts["installed"] = self.installed()
        for path in self.imported():
            parts[f"path {path}"] = self.place(path)
        for outside in self.extra(target):
            parts[f"also {outside}"] = self.place(Path(self.root, outside))
        for name, value in self.env.items():
            if not NEUTRAL.fullmatch(name):
                parts[f"environment {name}"] = digest(self.portable(value))
        words = {"make", "sh", "bash", *re.findall(r"[\w.+-]+", plan.stdout)}
        words |= {"node"} if {"npm", "npx"} & words else set()
        words |= self.programs(plan.stdout)
        for word in sorted(words):
            if tool := self.tool(word, target.folder):
                parts[f"tool {word}"] = tool
        return parts

    def stamps(self, target: Target) -> str:
        """Return a digest that changes if a file of the target was written after it was read."""
        return digest(*(self.tree(folder).stamps for folder in self.folders(target)))

    def folders(self, target: Target) -> list[str]:
        """List the folders that the target depends on. The first is the project itself."""
        if target.title in self._folders:
            return self._folders[target.title]
        known = {*(all_services(self.root) if MULTI else ()), *FOLDERS}
        if target.stage == "integration":
            names = known
            words = self.mentioned(names, *([INTEGRATION] if INTEGRATION != "." else []))
        else:
            names = {target.name} & known
            if target.stage == "service":
                names |= self.in_stack(target.name)
            words = self.mentioned({target.name} & known)
            more = {word.rpartition("/")[2] for word in words} & known
            more |= {name for name, home in FOLDERS.items() if home in words}
            while more - names:  # A service whose source is used may use that of another.
                names |= more
                paths = {word for word in self.mentioned(more) if "/" in word}
                more = {path.rpartition("/")[2] for path in paths} & known
        found = [folder for name in sorted(names) for folder in self.homes(name)]
        if INTEGRATION != ".":
            if target.stage == "integration":
                found.append(INTEGRATION)
            elif "../tests" in words:
                found.append("tests")
        found += sorted(one for one in words if UNTESTED_FOLDER.fullmatch(one) or one == ".github")
        if any(word.endswith((".md", "LICENSE")) for word in words):
            found.append("*.md")
        there = [one for one in dict.fromkeys(found) if "*" in one or (self.root / one).is_dir()]
        self._folders[target.title] = [".", *there]
        return self._folders[target.title]

    def in_stack(self, name: str) -> set[str]:
        """Return the services in a service's stack; with `include` or `extends`, also in theirs."""
        found: set[str] = set()
        left = {name}
        while left:
            one = left.pop()
            found.add(one)
            more = stack_of(self.root, one) - found
            found |= more
            files = sorted((self.root / f"services/{one}/deploy/test").glob("*.y*ml"))
            if any(re.search(r"\b(include|extends):", file.read_text()) for file in files):
                left |= more
        return found

    def homes(self, name: str) -> list[str]:
        """List the folders of a service that exist. `**` is the whole project."""
        places = [f"services/{name}", FOLDERS.get(name, "")]
        found = [place for place in places if place and (self.root / place).is_dir()]
        return ["**" if place == "." else place for place in found]

    def mentioned(self, names: Iterable[str], *more: str) -> set[str]:
        """Return the words in the files of some services and folders; see `words_of`.

        Compose files do not count: `in_stack` reads those that matter.
        """
        folders = [*more, *(place for name in names for place in self.homes(name))]
        skip = ("deploy/",) if MULTI else OWN
        return {
            word
            for folder in (folders if MULTI else ["."])
            for path, words in self.tree(folder).mentions.items()
            if not path.startswith(skip)
            for word in words
        }

    def extra(self, target: Target) -> list[str]:
        """List the paths that `# test-cache: also PATH` in a Makefile of the target names."""
        return [path for line in directives(self.root, target) for path in line if path != "off"]

    def tree(self, folder: str) -> Tree:
        """Return the files of a folder of the project. `.` leaves out what other folders contain."""
        if folder not in self._trees:
            if folder == ".":
                known = all_services(self.root) if MULTI else []
                homes = {home for name in (*known, *FOLDERS) for home in self.homes(name)} - {"**"}
                skip = {*homes, *([INTEGRATION] if INTEGRATION != "." and MULTI else [])}
                self._trees[folder] = self.walk(self.root, skip, untested=False)
            elif folder == "*.md":
                names = [path for path in sorted(self.root.iterdir()) if path.is_file()]
                texts = [path for path in names if UNTESTED.fullmatch(path.name)]
                lines = {path.name: digest(path.read_bytes()) for path in texts}
                self._trees[folder] = Tree(digest(*lines, *lines.values()), "", lines, {}, "")
            else:
                self._trees[folder] = self.walk(self.root / folder.replace("**", ""))
        return self._trees[folder]

    def walk(
        self,
        top: Path,
        skip: Iterable[str] = (),
        *,
        untested: bool = True,
        most: int = 0,
        inside: tuple[str, ...] = (),
    ) -> Tree:
        """Read all files of a folder, except output of tools.

        Args:
            top: the folder.
            skip: folders to leave out, relative to `top`.
            untested: include the files that match UNTESTED.
            most: stop at this number of files; 0: no limit.
            inside: the folders that led here by symbolic links, so that a loop ends.

        Raises:
            UnreadableError: a file cannot be read, or there are too many.
        """
        lines: list[str] = []
        stamps: list[str] = []
        config: list[str] = []
        files: dict[str, str] = {}
        mentions: dict[str, frozenset[str]] = {}
        left_out, real = set(skip), os.path.realpath(top)
        folders = [("", str(top), False)]
        while folders:
            prefix, folder, rewritten = folders.pop()
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                raise UnreadableError(f"cannot read {folder}: {error.strerror}") from None
            names = {entry.name for entry in entries}
            for entry in entries:
                name = prefix + entry.name
                if name in left_out or (not untested and UNTESTED.fullmatch(name)):
                    continue
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError as error:
                    raise UnreadableError(f"cannot read {entry.path}: {error.strerror}") from None
                mode = f"{info.st_mode:o} {info.st_uid} {info.st_gid}"
                if stat.S_ISDIR(info.st_mode):
                    if is_output(entry, names) or (
                        not untested and UNTESTED_FOLDER.fullmatch(name)
                    ):
                        continue
                    if entry.name == "node_modules" or entry.name == ".venv" or is_venv(entry):
                        lines.append(
                            f"packages {name} {self.packages(entry.path, (*inside, real))}"
                        )
                        continue
                    lines.append(f"{mode} {name}")
                    again = rewritten or entry.name in REWRITTEN
                    folders.append((f"{name}/", entry.path, again))
                    continue
                if OUTPUT_FILE.fullmatch(entry.name):
                    continue
                if stat.S_ISREG(info.st_mode):
                    content, words = self.memo.hash(entry.path, info)
                    if words:
                        mentions[name] = frozenset(words.split())
                    if not rewritten:
                        times = f"{info.st_mtime_ns} {info.st_ctime_ns}"
                        stamps.append(f"{name} {info.st_ino} {info.st_size} {times}")
                elif stat.S_ISLNK(info.st_mode):
                    content = self.link(entry.path, real, inside, whole=untested and not skip)
                else:
                    content = "not a file"  # A socket or a pipe has no content that could be read.
                files[name] = content
                lines.append(f"{mode} {name} {content}")
                if not CODE.search(entry.name):
                    config.append(f"{name} {content}")
                if most and len(files) > most:
                    raise UnreadableError(f"{top} has more than {most} files")
        return Tree(digest(*lines), digest(*stamps), files, mentions, digest(*config))

    def link(self, path: str, real: str, inside: tuple[str, ...], *, whole: bool) -> str:
        """Return a digest of a symbolic link: its text, and what it points to."""
        to = os.path.realpath(path)
        text = self.portable(f"{Path(path).readlink()} {to}")
        # A loop ends, and a folder inside the tree is read anyway, unless the tree leaves out some.
        if to in (real, *inside) or (whole and to.startswith(f"{real}/") and Path(to).is_dir()):
            return digest("link", text)
        return digest("link", text, self.place(Path(to), (*inside, real)))

    def place(self, path: Path, inside: tuple[str, ...] = ()) -> str:
        """Return the digest of any file or folder; empty if it does not exist."""
        try:
            info = path.stat()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return ""  # No test can read it either.
            raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
        if stat.S_ISREG(info.st_mode):
            return digest(f"{info.st_mode:o}", self.memo.hash(str(path), info)[0])
        if not stat.S_ISDIR(info.st_mode):
            return f"{info.st_mode:o}"
        most = 0 if path.is_relative_to(self.root) else MOST_OUTSIDE
        return self.walk(path, most=most, inside=inside).digest

    def packages(self, folder: str, inside: tuple[str, ...]) -> str:
        """Return the digest of the installed packages in a .venv or node_modules.

        A file's size and time stand for its content where the installer keeps the time of the file in
        the package. Where it does not, files count by content if they changed after the installation.
        """
        if Path(folder).name == "node_modules":
            return self.node_modules(folder, inside)
        lines, real = [], os.path.realpath(folder)
        with suppress(OSError):
            lines.append(Path(folder, "pyvenv.cfg").read_text())
        for path, entry in files_below(f"{folder}/lib"):
            if ".dist-info/" in path and entry.name not in ("direct_url.json", "entry_points.txt"):
                if entry.name == "METADATA":
                    lines.append(path)  # The other files have the time and place of installation.
            elif entry.is_symlink():
                lines.append(f"{path} {self.link(entry.path, real, inside, whole=True)}")
            elif entry.name.endswith(".pth") or ".dist-info/" in path:
                text = Path(entry.path).read_text(errors="replace")
                lines += [path, self.portable(text)]
                # An editable install: the package's source is somewhere else.
                places = map(os.path.realpath, sources(entry.path, text))
                lines += [self.place(Path(to), inside) for to in places if to not in inside]
            else:
                info = entry.stat()
                lines.append(f"{path} {info.st_size} {info.st_mtime_ns}")
        for path, entry in files_below(f"{folder}/bin"):
            info = entry.stat(follow_symlinks=False)
            if entry.is_symlink():
                program = identity(os.path.realpath(entry.path))
                lines.append(f"{path} {self.portable(program)}")
            elif info.st_size < MOST_SCRIPT:  # It has the path of the interpreter.
                text = Path(entry.path).read_bytes().decode(errors="surrogateescape")
                lines.append(f"{path} {self.portable(text)}")
            else:
                lines.append(f"{path} {info.st_size} {info.st_mtime_ns}")
        return digest(*lines)

    def node_modules(self, folder: str, inside: tuple[str, ...]) -> str:
        """Return the digest of a node_modules folder."""
        lines, installed, written = [], 0, 0
        real = os.path.realpath(folder)
        for marker in MARKERS:
            with suppress(FileNotFoundError):
                info = Path(folder, marker).stat()
                lines.append(self.memo.hash(f"{folder}/{marker}", info)[0])
                installed = max(installed, info.st_ctime_ns)
                written = max(written, info.st_mtime_ns)
        if (
            installed > time.time_ns()
        ):  # The clock was set back, so later changes have earlier times.
            installed = 0
        with os.scandir(folder) as listing:
            tops = sorted(listing, key=lambda entry: entry.name)
        for top in tops:
            if top.name.startswith(".") and top.name not in STORES:
                continue  # .bin has links to the packages; .vite and .cache are output.
            lines.append(top.name)
            entries = [("", top)] if top.is_symlink() else files_below(top.path)
            for path, entry in entries:
                if entry.is_symlink():  # A workspace, or pnpm.
                    lines.append(f"{path} {self.link(entry.path, real, inside, whole=True)}")
                elif not INERT.search(entry.name):
                    info = entry.stat()
                    lines.append(f"{path} {info.st_size}")
                    # The folder may be a copy of one with later changes.
                    if info.st_ctime_ns > installed or info.st_mtime_ns > written:
                        lines.append(self.memo.hash(entry.path, info)[0])
        return digest(*lines)

    def tool(self, word: str, folder: str) -> str:
        """Return the identity of a program on PATH; empty if there is none of this name."""
        found = shutil.which(word, path=self.env.get("PATH"))
        if not found:
            return ""
        real = os.path.realpath(found)
        # The programs of rustup are hard links to it.
        names = {Path(real).name, *(["rustup"] if is_same(real, "rustup") else [])}
        if "/shims/" not in found and not any(map(MANAGERS.fullmatch, names)):
            return self.portable(identity(real))
        where = self.root / folder
        # Not the trees of the target: its other stages would ask again, and again in the next run.
        trees = [self.tree(place).config for place in dict.fromkeys((".", folder))]
        variables = [f"{name}={value}" for name, value in sorted(self.env.items())]
        key = digest(word, identity(real), *trees, self.managed(Path(found).parents[1]), *variables)
        known = self.memo.tools.get(f"{word} {folder}")
        if not known or known[0] != key:
            try:
                done = subprocess.run(
                    [found, "--version"],
                    cwd=where,
                    env=dict(self.env),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=10,
                )
            except (OSError, subprocess.TimeoutExpired):
                raise UnreadableError(f"{word} --version fails") from None
            known = [key, digest(identity(real), done.stdout, done.stderr)]
            self.memo.tools[f"{word} {folder}"], self.memo.changed = known, True
        return known[1]

    def managed(self, data: Path) -> str:
        """Return a digest of what decides outside the project which program a version manager starts.

        Args:
            data: the folder with the manager's shims and programs.
        """
        if data not in self._managed:
            places = [path for pattern in MANAGED_BY for path in sorted(Path.home().glob(pattern))]
            places += [path for pattern in MANAGED_BESIDE for path in sorted(data.glob(pattern))]
            places += [folder / name for folder in self.root.parents for name in CHOICES]
            self._managed[data] = digest(*(identity(str(place)) for place in places))
        return self._managed[data]

    def installed(self) -> str:
        """Return a digest of the programs and packages outside the project, which tests may use.

        An installation changes the time of the folder of a program, or the entry of a package.
        """
        if not self._installed:
            home, path = Path.home(), self.env.get("PATH", "").split(os.pathsep)
            prefixes = {*map(os.path.dirname, path), f"{home}/.local"}
            prefixes |= {self.env[name] for name in ENVIRONMENTS if self.env.get(name)}
            prefixes |= {*map(str, home.glob(".pyenv/versions/*"))}
            entries = [*map(os.path.realpath, SYSTEM), *path]
            for prefix, kind in product(filter(os.path.isabs, prefixes), ("site", "dist")):
                for folder in glob(f"{prefix}/lib/python*/{kind}-packages"):  # noqa: PTH207 - fast
                    with os.scandir(folder) as found:
                        entries += [one.path for one in found if one.name.endswith(INSTALLED)]
            own = f"{self.root}/"
            outside = sorted({entry for entry in entries if not entry.startswith(own)})
            self._installed = digest(*map(identity, outside))
        return self._installed

    def programs(self, recipe: str) -> set[str]:
        """Return the paths in a recipe that are outside the project. Some of them may be programs."""
        text = re.sub(r"(?:~|\$HOME|\$\{HOME\})(?=/)", str(Path.home()), recipe)
        paths = re.findall(r"(?<![\w.-])/[\w.+@/-]+", text)
        return {path for path in paths if not Path(path).is_relative_to(self.root)}

    def imported(self) -> Iterator[Path]:
        """Yield the folders outside the project from which variables let programs import code."""
        for name in IMPORTED:
            for place in self.env.get(name, "").split(os.pathsep):
                if place and not Path(self.root, place).is_relative_to(self.root):
                    yield Path(place)

    def portable(self, text: str) -> str:
        """Replace the path of the checkout, which differs between worktrees."""
        return text.replace(str(self.root), "{project}")

    # WITH DOCKER --------------------------------------------------------------
    def stack(self, target: Target, config: dict[str, Any]) -> Parts:
        """Return the parts of a target's stack."""
        parts = {"compose": digest(self.portable(json.dumps(config, sort_keys=True)))}
        parts["engine"] = self._about
        for kind in ("networks", "volumes"):
            for name, about in (config.get(kind) or {}).items():
                if (about or {}).get("external"):
                    raise UnreadableError(f"its stack uses {name} of {kind}, which is external")
        for service in (config.get("services") or {}).values():
            if re.match("always|daily|weekly|every", service.get("pull_policy") or ""):
                raise UnreadableError(f"{service.get('image')} is pulled again for each run")
            if (service.get("build") or {}).get("pull"):
                raise UnreadableError("its base images are pulled again for each run")
        covered = self.folders(target)
        for path in sorted(host_paths(config)):
            name = os.path.relpath(path, self.root)
            if name not in covered or name == ".":
                parts[f"path {name}"] = self.place(path)
        images = Images.of([config])
        for kind, names in (("image", images.used), ("base image", images.bases)):
            for name in sorted(names):
                known = self._images if kind == "image" else self._images | self._bases
                if "@sha256:" not in name and name not in known:
                    raise UnreadableError(f"{kind} {name} has no known digest")
                parts[f"{kind} {name}"] = known.get(name, name)
        return parts

    def _config(self, target: Target) -> dict[str, Any]:
        """Return the resolved compose files of a target's scope, from the memo if nothing changed."""
        service = "" if target.scope == "full" else f"services/{target.scope}/"
        place = self.root / f"{service}deploy/test"
        files = [*place.glob("*.y*ml"), *place.glob(".env")]
        if any(OTHER_FILES.search(file.read_text(errors="replace")) for file in files):
            return self.engine.config(target.scope)
        folders = [self.tree(folder) for folder in self.folders(target)]
        names = sorted(name for name in self.env if not NEUTRAL.fullmatch(name))
        variables = [f"{name}={self.env[name]}" for name in names]
        key = digest(target.scope, *(tree.config for tree in folders), *variables)
        known = self.memo.configs.get(target.scope)
        if known and known[0] == key:
            found: dict[str, Any] = known[1]
            return found
        found = self.engine.config(target.scope)
        self.memo.configs[target.scope], self.memo.changed = [key, found], True
        return found


def is_output(entry: os.DirEntry[str], names: Iterable[str]) -> bool:
    """Whether a folder has only output of tools, or is another worktree of this repository."""
    if entry.name in OUTPUT:
        return True
    if suffixes := OUTPUT_NEXT_TO.get(entry.name):
        return any(name.endswith(suffixes) for name in names)
    if (contents := OUTPUT_WITH.get(entry.name)) and "package.json" in names:
        return any(Path(entry.path, name).exists() for name in contents)
    if not (own := git_folder(entry.path)):
        return False
    return own.parent.name == "worktrees" and own.parents[1] == common_folder(entry.path)


def git_folder(folder: str) -> Path | None:
    """Return the folder that the file .git in a folder names; None if it has no such file."""
    with suppress(OSError), open(f"{folder}/.git") as file:  # noqa: PTH123 - called for each folder
        text = file.read()
        return Path(folder, text.removeprefix("gitdir: ").strip()).resolve()
    return None


def common_folder(path: str) -> Path | None:
    """Return git's folder of the repository around a folder, which all its worktrees share."""
    for folder in Path(path).resolve().parents:
        if (folder / ".git").is_dir():
            return folder / ".git"
        if own := git_folder(str(folder)):
            return own.parents[1] if own.parent.name == "worktrees" else own
    return None


def sources(path: str, text: str) -> list[str]:
    """Return the folders that a .pth file or a direct_url.json names as the source of a package."""
    if path.endswith(".pth"):
        lines = [line for line in text.splitlines() if line and not line.startswith("import")]
        places = [Path(path).parent / line for line in lines]
        return [str(place) for place in places if place.is_dir()]
    with suppress(ValueError):
        about = json.loads(text)
        if about.get("dir_info", {}).get("editable"):
            return [unquote(about["url"].removeprefix("file://"))]
    return []


def is_same(path: str, other: str) -> bool:
    """Whether a file is the same as another one in its folder."""
    with suppress(OSError):
        return Path(path).samefile(Path(path).with_name(other))
    return False


def is_venv(entry: os.DirEntry[str]) -> bool:
    """Whether a folder is a virtual environment of Python."""
    return Path(entry.path, "pyvenv.cfg").exists()


def files_below(top: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files of a folder, with their path in it, without bytecode. Links are not followed."""
    folders = [(top, "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    folders.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                yield prefix + entry.name, entry


def machine() -> str:
    """Return a digest of the machine: system, kernel, architecture, time zone, user and umask."""
    umask = os.umask(0o022)
    os.umask(umask)
    texts: list[str | bytes] = [*os.uname()[2:], os.uname().sysname]
    for file in ("/etc/os-release", "/etc/localtime"):
        with suppress(OSError):
            texts.append(Path(file).read_bytes())
    return digest(*texts, f"{os.getuid()} {os.getgid()} {umask:o}")


def directives(root: Path, target: Target) -> Iterator[list[str]]:
    """Yield the words of each line `# test-cache: …` in the Makefiles of a target.

    `off` never caches the target, and `also PATH …` adds files that its tests read.
    """
    places = [Path("services", target.name), Path(target.folder)]
    files = {root / place / "Makefile" for place in places if place != Path()}
    if not MULTI or target.stage == "integration":
        files |= {root / "Makefile", root / "Makefile.local"}
    for file in sorted(files):
        if file.is_file():
            text = file.read_text(errors="replace")
            for line in re.findall(r"^# test-cache: (off|also .+)$", text, re.MULTILINE):
                first, *rest = shlex.split(line)
                yield rest if first == "also" else [first]
