"""The commands in README.md, run verbatim, as a new user runs them.

- The user stands in a fresh clone of this working tree. Nothing is published: the clone has no tags,
  and the address in the README may not exist. So git's configuration redirects that address to the
  clone (`url.<base>.insteadOf`), which leaves the command as it is.
- HOME is empty. Only the caches and the configuration of the package clients are the machine's,
  because a test can neither download everything again nor know which index the machine uses.
- The test command runs all sessions of nox, and one of them runs this file. Therefore NOXSESSION
  selects the fast tests, and pytest only collects them: the session installs the requirements and
  imports every test, but does not run the tests twice.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml

from ..conftest import ROOT
from ..e2e.conftest import PYTHON_VERSION, clean_environment, sh

DOWN, ENTER = "\x1b[B", "\r"

QUESTIONS: dict[str, dict[str, Any]] = {
    key: value
    for key, value in yaml.safe_load((ROOT / "copier.yml").read_text()).items()
    if isinstance(value, dict) and "help" in value
}

#: Programs that a machine with only Python and pip does not have.
TOOLS = ("uv", "uvx", "copier", "nox")

#: Variables that lead package clients to the machine's caches and configuration, and their paths in
#: the home folder.
CLIENTS = {
    "UV_CACHE_DIR": ".cache/uv",
    "UV_CONFIG_FILE": ".config/uv/uv.toml",
    "UV_PYTHON_INSTALL_DIR": ".local/share/uv/python",
    "PIP_CACHE_DIR": ".cache/pip",
    "PIP_CONFIG_FILE": ".config/pip/pip.conf",
    "npm_config_cache": ".npm",
    "npm_config_userconfig": ".npmrc",
    "PYENV_ROOT": ".pyenv",  # no package client, but pyenv's Pythons need it
}


def command(marker: str) -> str:
    """Return the text of the code block after a marker in README.md."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(rf"<!-- {marker} -->\n```sh\n(.*?)\n```\n", text, re.DOTALL)
    assert len(found) == 1, f"README.md has {len(found)} blocks marked {marker}"
    return str(found[0])


def published_address() -> str:
    """Return the address in the command that generates from the published repository."""
    (found,) = re.findall(r"https://\S+", command("copy-command-url"))
    return str(found)


def git(*args: str, cwd: Path) -> str:
    """Run git with a fixed identity, and return what it prints."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return subprocess.run(
        ["git", *identity, *args], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a fresh clone of this working tree, without tags."""
    origin, clone = tmp_path / "origin", tmp_path / "copier-docker-services"
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, origin / name)
    git("init", "--quiet", "--initial-branch=main", cwd=origin)
    git("add", "--all", cwd=origin)
    git("commit", "--quiet", "--message=Start", cwd=origin)
    git("clone", "--quiet", str(origin), str(clone), cwd=tmp_path)
    return clone


@pytest.fixture
def environment(tmp_path: Path, clone: Path) -> dict[str, str]:
    """Return an environment with an empty home, in which the published address is the clone."""
    home = tmp_path / "home"
    home.mkdir()
    clients = {
        name: str(Path.home() / path)
        for name, path in CLIENTS.items()
        if name not in os.environ and (Path.home() / path).exists()
    }
    env = clean_environment(
        HOME=str(home),
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.{clone.as_uri()}.insteadOf",
        GIT_CONFIG_VALUE_0=published_address(),
        TERM="xterm",
        PROMPT_TOOLKIT_NO_CPR="1",  # this terminal does not report the position of its cursor
    )
    for name in [name for name in env if name.startswith(("XDG_", "COPIER_"))]:
        del env[name]
    return env | clients


def without_tools(path: str, folder: Path) -> str:
    """Return a PATH without TOOLS: a folder that has one becomes a folder of links to the rest."""
    entries = []
    for number, entry in enumerate(map(Path, path.split(os.pathsep))):
        if any((entry / tool).exists() for tool in TOOLS):
            (folder / str(number)).mkdir(parents=True)
            for program in entry.iterdir():
                if program.name not in TOOLS:
                    (folder / str(number) / program.name).symlink_to(program)
            entries.append(str(folder / str(number)))
        else:
            entries.append(str(entry))
    return os.pathsep.join(entries)


def start_of(question: str) -> str:
    """Return how a question begins on the terminal."""
    return str(QUESTIONS[question]["help"]).partition("\n")[0].partition("{{")[0][:40]


def keys_for(question: str) -> str:
    """Return the keys that answer a question: Enter accepts the default."""
    if question != "python_version":
        return ENTER
    # The default is the first choice. A machine without network may not have this Python.
    choices = QUESTIONS[question]["choices"]
    values = list(choices.values() if isinstance(choices, dict) else choices)
    return DOWN * values.index(PYTHON_VERSION) + ENTER


def generate(shown: str, folder: Path, env: dict[str, str]) -> str:
    """Run the command that generates a project, and accept the defaults on a terminal.

    Return what was on the terminal.
    """
    output = io.StringIO()
    program = pexpect.spawn(
        "bash",
        ["-c", shown],
        cwd=str(folder),
        env=env,
        timeout=180,
        encoding="utf-8",
        codec_errors="replace",
        dimensions=(40, 1000),  # wide enough for every line
    )
    program.logfile_read = output
    open_questions = list(QUESTIONS)
    try:
        while True:
            patterns = [start_of(question) for question in open_questions]
            index = program.expect_exact([*patterns, pexpect.EOF])
            if index == len(patterns):
                break
            program.send(keys_for(open_questions.pop(index)))
    except pexpect.ExceptionPexpect as error:
        raise AssertionError(f"{type(error).__name__} after {output.getvalue()[-3000:]}") from None
    finally:
        program.close(force=True)
    assert program.exitstatus == 0, output.getvalue()
    assert open_questions == ["service_kind"], output.getvalue()
    return output.getvalue()


def check_project(
    project: Path, said: str, *, source: str, version: str, has_uv: bool = True
) -> None:
    """Check the promises of the README about a new project, in whose generation Copier `said` something."""
    assert (project / ".git").is_dir()
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert answers["_src_path"] == source
    assert answers["_commit"] == version
    assert answers["python_version"] == PYTHON_VERSION
    for service in ("api", "worker", "frontend"):
        assert (project / "services" / service / "Dockerfile").is_file()
    assert os.access(project / "scripts/test-service.sh", os.X_OK)
    for folder in ("services/api", "services/worker", "tests/integration"):
        assert (project / folder / "uv.lock").is_file() == has_uv, said[-2000:]
    if shutil.which("npm"):
        assert (project / "services/frontend/package-lock.json").is_file(), said[-2000:]


def make(target: str, project: Path, env: dict[str, str]) -> str:
    """Run a make target that must succeed, and return its output."""
    done = sh("make", target, cwd=project, **env)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_project_from_the_clone_can_be_updated(
    clone: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    said = generate(command("copy-command"), clone, environment)
    project = tmp_path / "my-project"
    old = git("describe", "--tags", "--always", cwd=clone).strip()
    check_project(project, said, source=str(clone), version=old)

    git("add", "--all", cwd=project)
    git("commit", "--quiet", "--message=Start", cwd=project)
    assert old in make("template-check", project, environment)
    with (clone / "template/.editorconfig").open("a") as file:
        file.write("# A change of the template.\n")
    git("commit", "--quiet", "--all", "--message=Change", cwd=clone)
    new = git("describe", "--tags", "--always", cwd=clone).strip()
    assert new in make("template-check", project, environment)
    make("template-update", project, environment)
    assert "# A change of the template.\n" in (project / ".editorconfig").read_text()


def test_a_project_from_the_published_address(
    clone: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    git("tag", "v0.1.0", cwd=clone)
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    said = generate(command("copy-command-url"), workplace, environment)
    check_project(workplace / "my-project", said, source=published_address(), version="v0.1.0")


def test_a_project_without_uv(clone: Path, environment: dict[str, str], tmp_path: Path) -> None:
    environment["PATH"] = without_tools(environment["PATH"], tmp_path / "path")
    assert not any(shutil.which(tool, path=environment["PATH"]) for tool in TOOLS)
    said = generate(command("copy-command-pip"), clone, environment)
    version = git("describe", "--tags", "--always", cwd=clone).strip()
    check_project(tmp_path / "my-project", said, source=str(clone), version=version, has_uv=False)


@pytest.mark.parametrize("has_uv", [True, False], ids=["uv", "pip"])
def test_the_test_command(
    clone: Path, environment: dict[str, str], tmp_path: Path, has_uv: bool
) -> None:
    if not has_uv:
        environment["PATH"] = without_tools(environment["PATH"], tmp_path / "path")
    done = sh(
        *("bash", "-c", command("test-command" if has_uv else "test-command-pip")),
        cwd=clone,
        **environment,
        NOXSESSION="tests",
        PYTEST_ADDOPTS="--collect-only --quiet",
    )
    assert done.returncode == 0, done.stdout
    assert "test_words.py" in done.stdout
    assert "Session tests was successful" in done.stdout


def test_every_block_of_the_readme_is_run() -> None:
    blocks = re.findall(r"(?:<!-- (\S+) -->\n)?```sh\n(.*?)\n```", (ROOT / "README.md").read_text())
    tested = set(re.findall(r'"((?:copy|test)-command[a-z-]*)"', Path(__file__).read_text()))
    assert {marker for marker, _ in blocks} <= tested
    assert all(shlex.split(text) for _, text in blocks)
