"""The commands that README.md shows, run as they stand there, the way a stranger would.

A snapshot of this working tree, committed and tagged as a release would be, stands in for the
repository on GitHub: git's own configuration leads its address there. The home is empty, apart from
the caches of uv, pip and npm, which are the machine's, so that nothing is downloaded twice.

The test command runs all of nox's sessions, of which one would run these tests again. NOXSESSION
limits it, and lets the two variants check one session each: `lint` where there is only Python with
pip, whose tools come from the same requirements, and `tests` with uv.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest
import yaml

from .conftest import PYTHON_VERSION, ROOT, clean_environment, sh

URL = "https://github.com/copier-docker-services/copier-docker-services.git"
DOWN, ENTER = "\x1b[B", "\r"

COPIER = yaml.safe_load((ROOT / "copier.yml").read_text())

#: What a machine that has only Python with pip does not have.
TOOLS = ("uv", "uvx", "copier", "nox")


def command(marker: str) -> str:
    """The text of the fenced block that follows a marker in README.md."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(rf"<!-- {marker} -->\n```sh\n(.*?)\n```\n", text, re.DOTALL)
    assert len(found) == 1, f"README.md has {len(found)} blocks marked {marker}"
    return str(found[0])


def git(*args: str, cwd: Path) -> str:
    """Run git as nobody in particular."""
    identity = ["-c", "user.name=e2e", "-c", "user.email=e2e@example.com"]
    return subprocess.run(
        ["git", *identity, *args], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What GitHub would serve: the working tree as one commit, tagged as a release."""
    repository = tmp_path_factory.mktemp("github") / "repository"
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, repository / name)
    git("init", "--quiet", "--initial-branch=main", cwd=repository)
    git("add", "--all", cwd=repository)
    git("commit", "--quiet", "--message=Release", cwd=repository)
    git("tag", "v0.1.0", cwd=repository)
    return repository


@pytest.fixture
def environment(tmp_path: Path, repository: Path) -> dict[str, str]:
    """An empty home, and the repository in GitHub's place."""
    home, old = tmp_path / "home", Path.home()
    home.mkdir()
    caches = {
        "UV_CACHE_DIR": old / ".cache/uv",
        "UV_PYTHON_INSTALL_DIR": old / ".local/share/uv/python",
        "PIP_CACHE_DIR": old / ".cache/pip",
        "npm_config_cache": old / ".npm",
        "PYENV_ROOT": old / ".pyenv",  # no cache, but its Pythons are found nowhere else
    }
    kept = {name: str(path) for name, path in caches.items() if path.is_dir()}
    env = clean_environment(
        HOME=str(home),
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.{repository.as_uri()}.insteadOf",
        GIT_CONFIG_VALUE_0=URL,
        TERM="xterm",
        PROMPT_TOOLKIT_NO_CPR="1",  # this terminal does not tell where its cursor is
    )
    for name in [name for name in env if name.startswith(("XDG_", "COPIER_"))]:
        del env[name]
    return kept | env


def without_tools(path: str, folder: Path) -> str:
    """The PATH without uv: a folder that has it is replaced by links to whatever else it has."""
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


def questions() -> dict[str, str]:
    """What a project of several services is asked: the first line of each question's help."""
    return {
        key: value["help"].splitlines()[0]
        for key, value in COPIER.items()
        if isinstance(value, dict) and "help" in value and key != "service_kind"
    }


def generate(shown: str, folder: Path, env: dict[str, str]) -> Path:
    """Run the command that makes a project, and answer on a terminal: every default, by Enter."""
    said = io.StringIO()
    program = pexpect.spawn(
        "bash",
        ["-c", shown],
        cwd=str(folder),
        env=env,
        timeout=180,
        encoding="utf-8",
        codec_errors="replace",
        dimensions=(40, 1000),  # so wide that no question is wrapped
    )
    program.logfile_read = said
    try:
        for key, question in questions().items():
            program.expect_exact(question)
            # The default is the first choice, which a machine may not have and cannot download.
            downs = COPIER[key]["choices"].index(PYTHON_VERSION) if key == "python_version" else 0
            program.send(DOWN * downs + ENTER)
        program.expect_exact(pexpect.EOF)
    except pexpect.ExceptionPexpect as error:
        raise AssertionError(f"{type(error).__name__} after {said.getvalue()[-3000:]}") from None
    finally:
        program.close(force=True)
    assert program.exitstatus == 0, said.getvalue()
    return folder / "my-project"


def check(project: Path, *, locked: bool) -> None:
    """A project as the README promises it."""
    assert (project / ".git").is_dir()
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert answers["_src_path"] == URL
    assert answers["_commit"] == "v0.1.0"
    assert answers["python_version"] == PYTHON_VERSION
    for service in ("api", "worker", "frontend"):
        assert (project / "services" / service / "Dockerfile").is_file()
    assert os.access(project / "scripts/test-service.sh", os.X_OK)
    for folder in ("services/api", "services/worker", "tests/integration"):
        assert (project / folder / "uv.lock").is_file() == locked
    if shutil.which("npm"):
        assert (project / "services/frontend/package-lock.json").is_file()


def clone(tmp_path: Path, env: dict[str, str]) -> Path:
    """A clean clone, by the address that the README names."""
    done = sh("git", "clone", "--quiet", URL, "clone", cwd=tmp_path, **env)
    assert done.returncode == 0, done.stdout
    return tmp_path / "clone"


@pytest.mark.parametrize(
    ("suffix", "session", "has_uv"),
    [("", "tests", True), ("-pip", "lint", False)],
    ids=["uv", "pip"],
)
def test_the_commands_of_the_readme(
    suffix: str, session: str, has_uv: bool, environment: dict[str, str], tmp_path: Path
) -> None:
    env = environment
    if not has_uv:
        env["PATH"] = without_tools(env["PATH"], tmp_path / "path")
        assert not any(shutil.which(tool, path=env["PATH"]) for tool in TOOLS)
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    check(generate(command(f"copy-command{suffix}"), workplace, env), locked=has_uv)

    tested = sh(
        *("bash", "-c", command(f"test-command{suffix}")),
        cwd=clone(tmp_path, env), **env, NOXSESSION=session,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    assert f"Session {session} was successful" in tested.stdout
