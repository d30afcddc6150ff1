"""check-tools.sh with missing and old tools, which small programs replace."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "template" / "scripts" / "check-tools.sh"

#: A fake docker that answers the script. With the engine version `down`, the engine does not answer.
DOCKER = """#!/bin/sh
case "$*" in
  "version --format {{{{.Server.Version}}}}")
    [ '{engine}' != down ] || {{ echo 'Cannot connect to the Docker daemon' >&2; exit 1; }}
    echo '{engine}' ;;
  "compose version --short")
    [ '{compose}' != none ] || {{ echo "docker: 'compose' is not a docker command." >&2; exit 1; }}
    echo '{compose}' ;;
  *) echo "not expected: $*" >&2; exit 64 ;;
esac
"""


class Tools:
    """A PATH with only the programs that the script itself uses, and those that a test adds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bash", "env", "sort"):
            found = shutil.which(name)
            assert found
            (folder / name).symlink_to(found)

    def add(self, name: str, text: str = "#!/bin/sh\n") -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def docker(self, engine: str, compose: str) -> None:
        self.add("docker", DOCKER.format(engine=engine, compose=compose))

    def node(self, version: str) -> None:
        self.add("node", f"#!/bin/sh\necho {version}\n")
        self.add("npm")

    def check(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.folder / "bash", SCRIPT, *arguments],
            env={"PATH": str(self.folder)},
            capture_output=True,
            text=True,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


@pytest.mark.parametrize("engine", ["25", "25.0.0", "25.0.3", "26.1.5+dfsg1", "28.2.2", "100.0.0"])
@pytest.mark.parametrize("compose", ["2.24.0", "v2.24.0", "2.24.0-desktop.1", "2.40.3", "5.1.0"])
def test_new_enough(tools: Tools, engine: str, compose: str) -> None:
    tools.docker(engine, compose)
    assert tools.check("docker") == (0, "")


@pytest.mark.parametrize(
    ("engine", "compose", "says"),
    [
        ("24.0.9", "2.40.3", "Docker Engine 24.0.9 is too old"),
        ("9.0.0", "2.40.3", "Docker Engine 9.0.0 is too old"),
        ("20.10.24+dfsg1", "2.40.3", "Docker Engine 20.10.24+dfsg1 is too old"),
        ("26.1.5", "2.20.0", "Docker Compose 2.20.0 is too old"),
        ("26.1.5", "v2.3.3", "Docker Compose v2.3.3 is too old"),
        ("26.1.5", "1.29.2", "Docker Compose 1.29.2 is too old"),
        ("26.1.5", "none", "Docker Compose is not installed"),
        ("down", "2.40.3", "Docker is not running or you have no permission to use it"),
    ],
)
def test_an_unusable_docker(tools: Tools, engine: str, compose: str, says: str) -> None:
    tools.docker(engine, compose)
    code, line = tools.check("docker")
    assert code == 1
    assert line.startswith(says)
    assert len(line.splitlines()) == 1
    assert "https://" in line or "check with: " in line


@pytest.mark.parametrize("tool", ["docker", "uv", "node", "node=24.2"])
def test_a_missing_tool(tools: Tools, tool: str) -> None:
    code, line = tools.check(tool)
    assert code == 1
    assert line.startswith(tool.partition("=")[0])
    assert "not installed" in line
    assert "https://" in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(("there", "code"), [(["uv"], 0), ([], 1)])
def test_uv(tools: Tools, there: list[str], code: int) -> None:
    for name in there:
        tools.add(name)
    assert tools.check("uv")[0] == code


@pytest.mark.parametrize(
    ("version", "minimum"),
    [("v24.2.0", "24.2"), ("v24.19.0", "24.2"), ("v26.0.0", "24.2"), ("v22.13.1", "22.13")],
)
def test_a_node_that_is_new_enough(tools: Tools, version: str, minimum: str) -> None:
    tools.node(version)
    assert tools.check(f"node={minimum}") == (0, "")


@pytest.mark.parametrize(
    ("version", "minimum"),
    [("v20.20.2", "24.2"), ("v24.1.0", "24.2"), ("v9.0.0", "22.13"), ("v22.2.0", "22.13")],
)
def test_a_node_that_is_too_old(tools: Tools, version: str, minimum: str) -> None:
    tools.node(version)
    code, line = tools.check(f"node={minimum}")
    assert code == 1
    assert line.startswith(f"Node.js {version} is too old: ")
    assert f"need {minimum} or later" in line
    assert "https://" in line
    assert len(line.splitlines()) == 1


def test_a_node_that_does_not_start(tools: Tools) -> None:
    tools.add("node", "#!/bin/sh\nexit 127\n")
    tools.add("npm")
    code, line = tools.check("node=24.2")
    assert code == 1
    assert line.startswith("node --version fails; install Node.js again")


@pytest.mark.parametrize(
    ("there", "code"), [(["node", "npm"], 0), (["node"], 1), (["npm"], 1), ([], 1)]
)
def test_node_needs_npm(tools: Tools, there: list[str], code: int) -> None:
    for name in there:
        tools.add(name)
    assert tools.check("node")[0] == code


def test_only_the_named_tools_are_checked(tools: Tools) -> None:
    tools.add("uv")
    tools.docker("down", "none")
    assert tools.check("uv") == (0, "")


def test_the_first_missing_tool_is_reported(tools: Tools) -> None:
    tools.add("uv")
    code, line = tools.check("uv", "docker", "node")
    assert code == 1
    assert line.startswith("docker is not installed")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["dcoker"], ["uv", "-h"], [""], ["node="], ["uv=1"]])
def test_an_unknown_tool(tools: Tools, arguments: list[str]) -> None:
    tools.add("uv")
    code, line = tools.check(*arguments)
    assert code == 2
    assert "choose from docker, uv and node" in line
    assert len(line.splitlines()) == 1


def test_no_tool(tools: Tools) -> None:
    assert tools.check() == (2, "usage: check-tools.sh docker|uv|node[=MINIMUM] …\n")


def test_the_linters_of_node_name_make_setup(tmp_path: Path) -> None:
    [script] = SCRIPT.parent.glob("*lint*/node.sh")
    done = subprocess.run(
        ["bash", str(script), "check"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == f"the packages of {tmp_path.name} are not installed: run make setup\n"
