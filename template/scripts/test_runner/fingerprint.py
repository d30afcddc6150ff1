# Kept by the template: copier update merges its changes into this file.
"""Reads everything that may decide whether a target passes, as named parts. The key is their hash.

| part | contains |
| --- | --- |
| target | the stage, the name, and the commands that make would run |
| tree FOLDER | each file of the service, of the services in its stack and of those that its files mention: name, mode, content, target of a symbolic link; ignored and untracked files too |
| tree . | all other files of the project, except those of no test (UNTESTED in changes.py), and the integration tests |
| compose | the output of `docker compose config`, and each folder or file outside the other parts that it mounts or builds |
| image NAME | the ID of each image that the stack or a Dockerfile uses |
| environment NAME | each variable that the tests can read, except NEUTRAL |
| tool NAME | path, size and time of each program in the commands; the version behind a version manager |
| machine | operating system, kernel, architecture, time zone, user and umask |
| engine | version and architecture of Docker's engine, and its plugins |

Packages that are installed in a tree (.venv, node_modules) belong to that tree: see `packages`. A part
has no path of the checkout, so worktrees share results. If a part cannot be read, there is no key.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .changes import UNTESTED, all_services, stack_of
from .processes import environment
from .project import FOLDERS, INTEGRATION, MULTI, ROOT, SLUG
from .targets import Target, dry_run

#: Changes when the parts change their meaning.
VERSION = "1"

#: Environment variables that cannot decide a verdict: where a shell or terminal runs, what selects or
#: displays targets, and marks that the runner or a version manager sets for itself.
NEUTRAL = re.compile(
    r"_|PWD|OLDPWD|SHLVL|TERM|TERM_PROGRAM(_VERSION)?|TERM_SESSION_ID|COLORTERM|COLUMNS|LINES|WINDOWID"
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
#: Folders that are output only if they contain one of these files.
OUTPUT_WITH = {"coverage": ("coverage-final.json", "lcov.info", "clover.xml", "lcov-report")}
#: Files that tools write and no test reads.
OUTPUT_FILE = re.compile(r"\.coverage(\..+)?|\.DS_Store|\..+\.sw[a-p]")
#: Folders whose files a test run may write again with the same content.
REWRITTEN = frozenset({"dist", "build", ".next"})

#: Folders whose files all match UNTESTED.
UNTESTED_FOLDERS = frozenset({"docs", "deploy/dev", "deploy/prod"})
#: Files of a single-service project that are not its source, so their words do not count.
OWN = ("scripts/", "deploy/", ".github/", ".gitea/", "Makefile", "README", ".copier-answers")

#: How code finds a folder above its own.
UPWARDS = re.compile(rb"\.parent|\.\.|__file__|dirname|import\.meta|\bcwd\b|services")

#: Files that are neither a compose file nor read by one.
CODE = re.compile(r"\.(py|[cm]?[jt]sx?|css|html|svg|png|md|go|rs|java|kt|rb|php|cs|sql)$")
#: A file in node_modules that cannot change what a test does.
INERT = re.compile(r"\.(map|md|txt|flow|d\.[cm]?ts)$|^(LICENSE|README)")
#: Files in node_modules that a package manager writes last.
MARKERS = (".package-lock.json", ".modules.yaml", ".yarn-state.yml", ".yarn-integrity")

#: Tools whose program is a version manager, which starts another program.
MANAGERS = re.compile(r"volta-shim|mise|rustup|asdf|proto|fnm|pyenv|rbenv|nodenv")

#: Where version managers keep the user's choice, in the home folder.
MANAGED_BY = (
    *(".pyenv/version", ".pyenv/versions", ".rbenv/version", ".nodenv/version", ".tool-versions"),
    *(".config/mise/config.toml", ".volta/tools/user/platform.json", ".rustup/settings.toml"),
)

#: The most files that are read of a folder outside the project.
MOST_OUTSIDE = 5000

#: A file that was written less than this long ago, in nanoseconds, is read again next time: a second
#: write in the same tick of the clock would leave the same times.
RACY = 2_000_000_000

#: The memo forgets all files when it has this many: most of them no longer exist.
MOST_KNOWN = 300_000

Parts = dict[str, str]


class UnreadableError(Exception):
    """An input of a target cannot be read. The text says which, in a few words."""


def as_unreadable(error: Exception) -> UnreadableError:
    """Return any error that stopped the reading of an input as an UnreadableError."""
    if isinstance(error, UnreadableError):
        return error
    return UnreadableError(f"{type(error).__name__}: {error}")


class Engine(Protocol):
    """What is asked of Docker."""

    def config(self, scope: str) -> dict[str, Any]:
        """Return the resolved compose files of a scope."""

    def images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the IDs of those images that exist."""

    def about(self) -> str:
        """Describe the engine."""


def digest(*texts: str | bytes) -> str:
    """Return the SHA-256 of some texts, in hexadecimal."""
    found = hashlib.sha256()
    for text in texts:
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        found.update(b"%d:" % len(data) + data)
    return found.hexdigest()


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


class Memo:
    """The hashes of files as of the last run. A file is read again if its size, inode or times differ."""

    def __init__(self, path: Path, words: re.Pattern[bytes]) -> None:
        self.path, self.words = path, words
        self.known: dict[str, list[str]] = {}
        self.configs: dict[str, Any] = {}
        self.tools: dict[str, list[str]] = {}
        self.changed = False
        # A change of this program may change the meaning of the memo.
        self.version = digest(Path(__file__).read_bytes(), words.pattern)
        with suppress(OSError, ValueError):  # Without a memo, all files are read.
            check, _, text = path.read_text().partition("\n")
            if check == digest(self.version, text):
                self.known, self.configs, self.tools = json.loads(text)

    def hash(self, path: str, info: os.stat_result) -> tuple[str, str]:
        """Return the hash of a file's content, and the words that it mentions, separated by spaces.

        Raises:
            UnreadableError: the file cannot be read, or changes at this moment.
        """
        stamp = f"{info.st_size} {info.st_mtime_ns} {info.st_ctime_ns} {info.st_ino}"
        known = self.known.get(path)
        if known and known[0] == stamp:
            return known[1], known[2]
        now = time.time_ns()
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - called for thousands of files
                content = file.read()
                after = os.fstat(file.fileno())
        except OSError as error:
            raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
        if (after.st_size, after.st_mtime_ns) != (info.st_size, info.st_mtime_ns):
            raise UnreadableError(f"{path} changed while it was read")
        words = {
            next(filter(None, groups)).decode(errors="replace")
            for groups in self.words.findall(content)
            # A quoted name alone says little, so it counts where the code also leaves its folder.
            if not groups[1] or UPWARDS.search(content)
        }
        result = hashlib.sha256(content).hexdigest(), " ".join(sorted(words))
        if now - max(info.st_mtime_ns, info.st_ctime_ns) > RACY:
            self.known[path], self.changed = [stamp, *result], True
        return result

    def save(self) -> None:
        """Write the memo for the next run, if it changed. It only saves time, so errors are ignored."""
        if not self.changed:
            return
        new = self.path.with_suffix(f".{os.getpid()}.new")
        known = self.known if len(self.known) < MOST_KNOWN else {}
        text = json.dumps([known, self.configs, self.tools])
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_text(f"{digest(self.version, text)}\n{text}")
            new.replace(self.path)


def words_of(services: Iterable[str], folders: Iterable[str]) -> re.Pattern[bytes]:
    """Return the pattern for the names of other services, and of files that no test usually reads."""
    names = "|".join(map(re.escape, sorted(services))) or "(?!)"
    homes = "|".join(re.escape(folder) for folder in sorted(folders) if folder != ".") or "(?!)"
    text = (
        rf"((?:\.\./|services/)(?:{names}))(?![\w-])|[\"']({names})[\"']|({homes})"
        r"|(\.\./tests|deploy/(?:dev|prod)|\.github)|[\"'/](docs)[\"'/]|\.\./(\w+\.md|LICENSE)"
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
    _about: str = ""

    def read(self, targets: Iterable[Target]) -> dict[str, Parts | UnreadableError]:
        """Return the parts of each target by its title, or why they cannot be read."""
        wanted = list(targets)
        found: dict[str, Parts | UnreadableError] = {}
        scopes = {target.scope: target for target in wanted if target.scope}
        with ThreadPoolExecutor(max_workers=8) as pool:
            about = pool.submit(self.engine.about) if scopes else None
            # Most often the stacks are those of the last run. Ask while the files are read.
            before = self.images_in_memo() if scopes else set()
            images = pool.submit(self.engine.images, before) if before else None
            for target in wanted:
                try:
                    found[target.title] = self.basic(target)
                except Exception as error:  # noqa: BLE001 - on any error, the target must run
                    found[target.title] = as_unreadable(error)
            readable = {
                scope: target
                for scope, target in scopes.items()
                if not isinstance(found[target.title], UnreadableError)
            }
            plans = {scope: pool.submit(self._config, target) for scope, target in readable.items()}
            try:
                self._images = images.result() if images else {}
                self._about = about.result() if about else ""
                names: set[str] = set()
                for plan in plans.values():
                    with suppress(Exception):  # `stack` meets the same error.
                        names |= self.images_of(plan.result())
                if names - before:
                    self._images |= self.engine.images(names - before)
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

    def images_in_memo(self) -> set[str]:
        """Return the images that the stacks used in the last run."""
        found: set[str] = set()
        for _, config in self.memo.configs.values():
            with suppress(Exception):  # It only saves time.
                found |= self.images_of(config)
        return found

    # WITHOUT DOCKER -----------------------------------------------------------
    def basic(self, target: Target) -> Parts:
        """Return the parts that have nothing to do with Docker."""
        plan = dry_run(tuple(target.command))
        recipe = self.portable(plan.stdout + plan.stderr)
        options = " ".join([VERSION, str(MULTI), *target.selected])
        parts = {"target": digest(target.title, options, recipe), "machine": machine()}
        for folder in self.folders(target):
            parts[f"tree {folder}"] = self.tree(folder).digest
        for outside in self.extra(target):
            parts[f"also {outside}"] = self.place(Path(self.root, outside))
        for name, value in self.env.items():
            if not NEUTRAL.fullmatch(name):
                parts[f"environment {name}"] = digest(self.portable(value))
        words = {"make", "sh", "bash", *re.findall(r"[\w.+-]+", plan.stdout)}
        words |= {"node"} if {"npm", "npx"} & words else set()
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
        found += [one for one in ("docs", "deploy/dev", "deploy/prod", ".github") if one in words]
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
                mode = f"{info.st_mode:o}"
                if stat.S_ISDIR(info.st_mode):
                    if is_output(entry, names) or (not untested and name in UNTESTED_FOLDERS):
                        continue
                    if entry.name == "node_modules" or entry.name == ".venv" or is_venv(entry):
                        lines.append(f"packages {name} {self.packages(entry)}")
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
        text, to = self.portable(str(Path(path).readlink())), os.path.realpath(path)
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

    def packages(self, folder: os.DirEntry[str]) -> str:
        """Return the digest of the installed packages in a .venv or node_modules.

        A file's size and time stand for its content where the installer keeps the time of the file in
        the package. Where it does not, files count by content if they changed after the installation.
        """
        if folder.name == "node_modules":
            return self.node_modules(folder.path)
        lines = []
        with suppress(OSError):
            lines.append(Path(folder.path, "pyvenv.cfg").read_text())
        python = os.path.realpath(f"{folder.path}/bin/python")
        lines.append(identity(python))
        for path, entry in files_below(f"{folder.path}/lib"):
            if ".dist-info/" in path and entry.name != "direct_url.json":
                if entry.name == "METADATA":
                    lines.append(path)  # The other files have the time and place of installation.
            elif entry.is_symlink():
                lines.append(f"{path} {self.portable(str(Path(entry.path).readlink()))}")
            elif entry.name.endswith(".pth") or entry.name == "direct_url.json":
                text = Path(entry.path).read_text(errors="replace")
                lines += [path, self.portable(text)]
                # An editable install: the package's source is somewhere else.
                for line in text.splitlines() if entry.name.endswith(".pth") else ():
                    if line.startswith("/") and Path(line).is_dir():
                        lines.append(self.place(Path(line)))
            else:
                info = entry.stat()
                lines.append(f"{path} {info.st_size} {info.st_mtime_ns}")
        return digest(*lines)

    def node_modules(self, folder: str) -> str:
        """Return the digest of a node_modules folder."""
        lines, installed = [], 0
        for marker in MARKERS:
            with suppress(FileNotFoundError):
                info = Path(folder, marker).stat()
                lines.append(self.memo.hash(f"{folder}/{marker}", info)[0])
                installed = max(installed, info.st_ctime_ns)
        with os.scandir(folder) as listing:
            tops = sorted(entry.name for entry in listing)
        for top in tops:
            if top.startswith("."):
                continue  # .bin has links to the packages; .vite and .cache are output.
            lines.append(top)
            if (link := Path(folder, top)).is_symlink():  # A workspace, or pnpm.
                lines.append(self.portable(str(link.readlink())))
            for path, entry in files_below(f"{folder}/{top}"):
                if INERT.search(entry.name) or entry.is_symlink():
                    continue
                info = entry.stat()
                if info.st_ctime_ns > installed:
                    lines.append(f"{path} {self.memo.hash(entry.path, info)[0]}")
        return digest(*lines)

    def tool(self, word: str, folder: str) -> str:
        """Return the identity of a program on PATH; empty if there is none of this name."""
        found = shutil.which(word, path=self.env.get("PATH"))
        if not found:
            return ""
        real = os.path.realpath(found)
        if "/shims/" not in found and not MANAGERS.fullmatch(Path(real).name):
            return self.portable(identity(real))
        where = self.root / folder
        trees = (self.tree(".").config, *(tree.config for tree in self._trees.values()))
        settings = [identity(str(Path.home() / file)) for file in MANAGED_BY]
        variables = [f"{name}={value}" for name, value in sorted(self.env.items())]
        key = digest(word, identity(real), *trees, *settings, *variables)
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
            if service.get("pull_policy") in ("always", "daily", "weekly", "every"):
                raise UnreadableError(f"{service.get('image')} is pulled again for each run")
            if (service.get("build") or {}).get("pull"):
                raise UnreadableError("its base images are pulled again for each run")
        covered = self.folders(target)
        for path in sorted(host_paths(config)):
            name = os.path.relpath(path, self.root)
            if name not in covered or name == ".":
                parts[f"path {name}"] = self.place(path)
        for name in sorted(self.images_of(config)):
            if "@sha256:" in name:
                parts[f"image {name}"] = name
            elif name in self._images:
                parts[f"image {name}"] = self._images[name]
            else:
                raise UnreadableError(f"image {name} is not in Docker's image store")
        return parts

    def _config(self, target: Target) -> dict[str, Any]:
        """Return the resolved compose files of a target's scope, from the memo if nothing changed."""
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

    def images_of(self, config: dict[str, Any]) -> set[str]:
        """Return the images that a stack uses and does not build: its own, and those of Dockerfiles."""
        services = (config.get("services") or {}).values()
        built = {service.get("image") for service in services if service.get("build")}
        found = {service["image"] for service in services if not service.get("build")} - built
        for service in services:
            if build := service.get("build"):
                found |= base_images(build)
        return found


def is_output(entry: os.DirEntry[str], names: Iterable[str]) -> bool:
    """Whether a folder has only output of tools, or is another worktree of this repository."""
    if entry.name in OUTPUT:
        return True
    if suffixes := OUTPUT_NEXT_TO.get(entry.name):
        return any(name.endswith(suffixes) for name in names)
    if contents := OUTPUT_WITH.get(entry.name):
        return any(Path(entry.path, name).exists() for name in contents)
    with suppress(OSError):
        return "/worktrees/" in Path(entry.path, ".git").read_text()
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


def identity(path: str) -> str:
    """Return the path, size and time of a program; only the path if it does not exist."""
    try:
        info = Path(path).stat()
    except OSError:
        return path
    return f"{path} {info.st_size} {info.st_mtime_ns}"


def machine() -> str:
    """Return a digest of the machine: system, kernel, architecture, time zone, user and umask."""
    umask = os.umask(0o022)
    os.umask(umask)
    texts: list[str | bytes] = [*platform.uname()[2:5], platform.system()]
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


def host_paths(config: dict[str, Any]) -> set[Path]:
    """Return the files and folders of the host that a stack builds, mounts or reads.

    Raises:
        UnreadableError: a build context is not on this machine.
    """
    found: set[Path] = set()
    for service in (config.get("services") or {}).values():
        build = service.get("build") or {}
        more = [str(path) for path in (build.get("additional_contexts") or {}).values()]
        for path in [*([build["context"]] if build.get("context") else []), *more]:
            if path.startswith(("docker-image://", "service:")):
                continue
            if not path.startswith("/"):
                raise UnreadableError(f"the build context {path} is not on this machine")
            found.add(Path(path))
        if build.get("dockerfile"):
            found.add(Path(build.get("context", "/"), build["dockerfile"]))
        for volume in service.get("volumes") or ():
            if isinstance(volume, dict) and volume.get("type") == "bind":
                found.add(Path(volume["source"]))
    for kind in ("configs", "secrets"):
        for about in (config.get(kind) or {}).values():
            if (about or {}).get("external"):
                raise UnreadableError(f"its stack uses one of {kind} that is external")
            if (about or {}).get("file"):
                found.add(Path(about["file"]))
    return found


def base_images(build: dict[str, Any]) -> set[str]:
    """Return the images that a Dockerfile names.

    Raises:
        UnreadableError: the Dockerfile cannot be read, or the name depends on an unknown variable.
    """
    text = build.get("dockerfile_inline") or ""
    if not text:
        path = Path(build["context"], build.get("dockerfile", "Dockerfile"))
        try:
            text = path.read_text(errors="replace")
        except OSError as error:
            raise UnreadableError(f"cannot read {path}: {error.strerror}") from None
    text = re.sub(r"\\\r?\n", " ", text)
    values = dict(re.findall(r"^\s*ARG\s+(\w+)=[\"']?([^\s\"']*)", text, re.MULTILINE))
    values |= {name: str(value) for name, value in (build.get("args") or {}).items() if value}
    contexts = build.get("additional_contexts") or {}
    stages = {"scratch", *contexts}
    found = {
        str(path).removeprefix("docker-image://")
        for path in contexts.values()
        if str(path).startswith("docker-image://")
    }
    for line in text.splitlines():
        start = re.match(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", line, re.IGNORECASE)
        names = [start[1]] if start else []
        if re.match(r"\s*(COPY|ADD|RUN)\s", line, re.IGNORECASE):
            names = re.findall(r"(?:--|\b)from=([^\s,]+)", line)
        for name in names:
            image = expand(name, values)
            if image.lower() not in stages and not image.isdigit():
                found.add(image)
        if start and start[2]:
            stages.add(start[2].lower())
    return found


def expand(name: str, values: Mapping[str, str]) -> str:
    """Replace the variables in the name of an image.

    Raises:
        UnreadableError: a variable has no value.
    """

    def value(found: re.Match[str]) -> str:
        variable, default = found[1] or found[3], found[2]
        if variable not in values and default is None:
            raise UnreadableError(f"the image {name} depends on a variable without a value")
        return values.get(variable, default or "")

    return re.sub(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))", value, name)


class DockerEngine:
    """Asks the docker command."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    def config(self, scope: str) -> dict[str, Any]:
        """Return the output of `docker compose config`, with a fixed instance id.

        Raises:
            UnreadableError: Compose failed.
        """
        service = "" if scope == "full" else f"services/{scope}/"
        own = {"COMPOSE_PROJECT_NAME": f"{SLUG}-test", "TEST_INSTANCE_ID": "cache"}
        env = environment("", **own)
        env.pop("COMPOSE_FILE", None)
        text = ask(
            *("compose", "config", "--format", "json"),
            cwd=self.root / f"{service}deploy/test",
            env=env,
        )
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            raise UnreadableError("docker compose config printed no JSON") from None
        return found

    def images(self, names: Iterable[str]) -> dict[str, str]:
        """Return the IDs of those images that exist.

        Raises:
            UnreadableError: the engine does not answer.
        """
        wanted = sorted(names)
        form = ("image", "inspect", "--format={{.Id}}")
        try:
            return dict(zip(wanted, ask(*form, *wanted).split(), strict=True))
        except (UnreadableError, ValueError):
            pass  # One of them does not exist.
        found = {}
        for name in wanted:
            with suppress(UnreadableError):
                found[name] = ask(*form, name).strip()
        return found

    def about(self) -> str:
        """Return a digest of the engine's version and architecture, and of Docker's plugins.

        Raises:
            UnreadableError: the engine does not answer.
        """
        text = "{{.Server.Version}} {{.Server.Os}} {{.Server.Arch}} {{.Server.KernelVersion}}"
        server = ask("version", f"--format={text}")
        folders = [
            f"{os.environ.get('DOCKER_CONFIG', str(Path.home() / '.docker'))}/cli-plugins",
            *(f"/usr/{place}/docker/cli-plugins" for place in ("lib", "libexec", "local/lib")),
        ]
        plugins = [
            identity(os.path.realpath(f"{folder}/docker-{name}"))
            for folder in folders
            for name in ("compose", "buildx")
        ]
        proxies = ""
        with suppress(OSError, ValueError, AttributeError):
            settings = json.loads(Path(folders[0]).parent.joinpath("config.json").read_bytes())
            proxies = json.dumps([settings.get("proxies"), settings.get("currentContext")])
        return digest(server, proxies, *plugins)


def ask(*args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run docker and return its output.

    Raises:
        UnreadableError: docker failed; the text is its last line.
    """
    try:
        done = subprocess.run(
            ["docker", *args],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise UnreadableError("docker does not answer") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise UnreadableError(lines[-1] if lines else "docker failed")
    return done.stdout
