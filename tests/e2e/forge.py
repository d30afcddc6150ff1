"""A forge on this machine: runs a project's workflows, and has a registry to push to.

act runs the workflows as they are rendered, and replaces each third-party action by one in
`actions/`. The work is real: docker builds, logs in and pushes. The registry comes from Debian and
requires a token.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import clean_environment, docker

ACTIONS = Path(__file__).with_name("actions")

#: The replacement for each action. act itself performs actions/checkout.
REPLACEMENTS = {
    "actions/setup-node": "nothing",
    "astral-sh/setup-uv": "nothing",
    "docker/setup-qemu-action": "nothing",
    "docker/setup-buildx-action": "setup-buildx",
    "docker/login-action": "login",
    "docker/build-push-action": "build-push",
    "sigstore/cosign-installer": "nothing",
}

CACHES = {
    "UV_CACHE_DIR": ".cache/uv",
    "UV_PYTHON_INSTALL_DIR": ".local/share/uv/python",
    "npm_config_cache": ".npm",
    "PYENV_ROOT": ".pyenv",  # not a cache, but pyenv's Pythons need it
}

USER, TOKEN = "releaser", "a-token"
#: bcrypt of the token, with the lowest cost.
HTPASSWD = f"{USER}:$2b$04$y2003dDES6muhEyq/Q7ZDuy9PjWqpCsdqiY9wSWXa2ETcJ3RLq.Sy\n"

#: The types of a manifest: a list of images (INDEXES), or one image (MANIFESTS).
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def program(name: str) -> str:
    """Return the path of a program. If it is missing, skip the test; in CI, fail it."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found:
        return found
    reason = f"{name} is not installed: act comes with nox, the others from .ci/engine/up tools"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def buildx() -> str:
    """Return the path of buildx, which is a plugin of docker or a separate program."""
    plugins = json.loads(docker("info", "--format={{json .ClientInfo.Plugins}}"))
    found = [plugin["Path"] for plugin in plugins if plugin["Name"] == "buildx"]
    return str(found[0]) if found else program("docker-buildx")


@dataclass(frozen=True)
class Registry:
    """A registry on this machine, which requires the token."""

    host: str

    def get(self, path: str, *accept: str) -> tuple[Any, str]:
        """Return the response and its digest. Raises urllib.error.HTTPError."""
        credentials = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Accept": ", ".join(accept)}
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer), answer.headers.get("Docker-Content-Digest", "")

    def tags(self, image: str) -> set[str]:
        """Return all tags of an image."""
        try:
            return set(self.get(f"{image}/tags/list")[0]["tags"] or [])
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return set()
            raise

    def images(self, image: str, tag: str) -> dict[str, str]:
        """Return the digest for each platform of a tag; an image reports its own platform."""
        manifest, digest = self.get(f"{image}/manifests/{tag}", *INDEXES, *MANIFESTS)
        if manifest["mediaType"] in INDEXES:
            return {
                f"{one['platform']['os']}/{one['platform']['architecture']}": one["digest"]
                for one in manifest["manifests"]
                if one["platform"]["os"] != "unknown"  # an attestation
            }
        config = self.config(image, digest)
        return {f"{config['os']}/{config['architecture']}": digest}

    def config(self, image: str, digest: str) -> dict[str, Any]:
        """Return the configuration of an image."""
        manifest, _ = self.get(f"{image}/manifests/{digest}", *MANIFESTS)
        config: dict[str, Any] = self.get(f"{image}/blobs/{manifest['config']['digest']}")[0]
        return config

    def labels(self, image: str, tag: str) -> dict[str, str]:
        """Return the labels of an image with one platform."""
        (digest,) = self.images(image, tag).values()
        labels: dict[str, str] = self.config(image, digest)["config"]["Labels"]
        return labels

    def version(self, image: str, tag: str) -> str:
        """Return the version that the labels of a tag's images contain."""
        label = "org.opencontainers.image.version"
        (version,) = {
            self.config(image, digest)["config"]["Labels"][label]
            for digest in self.images(image, tag).values()
        }
        return str(version)

    def pull(self, image: str, tag: str, scratch: Path) -> str:
        """Pull an image and return its local name."""
        name = f"{self.host}/{image}:{tag}"
        config = f"--config={scratch}"
        docker(config, "login", f"--username={USER}", f"--password={TOKEN}", self.host)
        docker(config, "pull", "--quiet", name)
        return name

    def state(self, image: str) -> dict[str, dict[str, str]]:
        """Return the digests of every tag of an image, by platform."""
        return {tag: self.images(image, tag) for tag in self.tags(image)}


@contextmanager
def running_registry(folder: Path) -> Iterator[Registry]:
    """Run a registry, and afterwards remove its images from the engine."""
    executable = program("docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "config.yml").write_text(
        yaml.safe_dump(
            {
                "version": 0.1,
                "log": {"level": "warn"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
                "http": {"addr": host},
                "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
            }
        )
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [executable, "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    registry = Registry(host)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                registry.get("")
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield registry
    finally:
        process.terminate()
        process.wait(10)
        listed = docker("image", "ls", "--format={{.Repository}} {{.ID}}").splitlines()
        if mine := {line.split()[1] for line in listed if line.startswith(f"{host}/")}:
            docker("image", "rm", "--force", *mine)


@dataclass
class Run:
    """The result of a workflow."""

    passed: bool
    jobs: dict[str, str] = field(default_factory=dict)  #: the result of each job, by id and matrix
    seconds: dict[str, float] = field(default_factory=dict)  #: the duration of each job's steps
    said: str = ""


class Forge:
    """Runs the workflows of a project, which is a git repository."""

    def __init__(self, project: Path, scratch: Path, folder: str = ".github") -> None:
        self.project, self.scratch, self.folder = project, scratch, folder
        self.marks = scratch / "marks"
        self.options: tuple[str, ...] = ()  #: more options of act, for every run
        self.scratch.mkdir(parents=True, exist_ok=True)

    def git(self, *args: str) -> str:
        """Run git in the project, with a fixed identity."""
        identity = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.com")
        done = subprocess.run(
            ["git", *identity, *args], cwd=self.project, capture_output=True, text=True
        )
        assert done.returncode == 0, f"git {args}: {done.stderr}"
        return done.stdout.strip()

    def start(self, files: Mapping[str, str]) -> None:
        """Create the first commit on main, in a repository whose owner has capital letters."""
        self.git("init", "--quiet")
        self.git("checkout", "--quiet", "-B", "main")
        self.git("remote", "add", "origin", "https://github.com/Acme/Shop.git")
        self.commit(files)

    def commit(self, files: Mapping[str, str] | None = None, *removed: str) -> str:
        """Write some files, remove others, commit everything, and return the commit."""
        for name, text in (files or {}).items():
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            (self.project / name).write_text(text)
        for name in removed:
            path = self.project / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=more")
        return self.git("rev-parse", "HEAD")

    def push(self, before: str = "") -> Run:
        """Run CI for a push to main; `before` is its previous commit, empty if it is new."""
        event = {"ref": "refs/heads/main", "before": before or "0" * 40}
        return self.run("ci.yml", "push", event)

    def pull_request(self, base: str) -> Run:
        """Run CI for a pull request with the current commit."""
        event = {"pull_request": {"number": 7, "base": {"ref": "main", "sha": base}}}
        return self.run("ci.yml", "pull_request", event)

    def release(
        self,
        tag: str,
        *,
        token: str = TOKEN,
        new: bool = True,
        branches: str = "",
        private: bool = True,
        options: Sequence[str] = (),
    ) -> Run:
        """Run the release of a tag, and create the tag if it is new."""
        if new:
            self.git("tag", tag)
        self.git("checkout", "--quiet", "--detach", tag)
        event = {
            "ref": f"refs/tags/{tag}",
            "repository": {"default_branch": "main", "private": private},
        }
        options = [*options, f"--var=REGISTRY_USER={USER}", f"--var=RELEASE_BRANCHES={branches}"]
        if token:
            options.append(f"--secret=REGISTRY_TOKEN={token}")
        return self.run("release.yml", "push", event, *options)

    def run(self, workflow: str, name: str, event: Mapping[str, Any], *options: str) -> Run:
        """Run a workflow for an event."""
        path = self.project / self.folder / "workflows" / workflow
        (self.scratch / "event.json").write_text(json.dumps(event))
        self.marks.unlink(missing_ok=True)
        home = self.scratch / "home"
        home.mkdir(exist_ok=True)
        env = clean_environment()
        passed_on = {"MARKS": str(self.marks), "PATH": env["PATH"]}
        if workflow in ("release.yml", "deploy.yml"):
            passed_on["BUILDX"] = buildx()
        # The home folder is empty, but the caches are the machine's.
        kept = {name: env.get(name, str(Path.home() / path)) for name, path in CACHES.items()}
        passed_on |= {name: path for name, path in kept.items() if Path(path).is_dir()}
        done = subprocess.run(
            [
                *(program("act"), name, "--json", "--no-cache-server", "--workflows", str(path)),
                *("--eventpath", str(self.scratch / "event.json")),
                *("--platform", "ubuntu-latest=-self-hosted"),
                *(f"--env={key}={value}" for key, value in passed_on.items()),
                *replacements(path),
                *self.options,
                *options,
            ],
            cwd=self.project,
            env=env | {"HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        return read(done)

    def did(self) -> list[str]:
        """Return the marks of the last run's make targets, sorted because jobs run in parallel."""
        return sorted(self.marks.read_text().splitlines()) if self.marks.exists() else []


def replacements(workflow: Path) -> list[str]:
    """Return the options of act that replace each action of a workflow."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    used = {step["uses"] for job in jobs for step in job["steps"] if "uses" in step}
    return [
        f"--local-repository={action}={ACTIONS / REPLACEMENTS[action.partition('@')[0]]}"
        for action in sorted(used)
        if not action.startswith("actions/checkout@")
    ]


def read(done: subprocess.CompletedProcess[str]) -> Run:
    """Parse the output of act: one JSON event a line."""
    run = Run(passed=done.returncode == 0)
    lines: list[str] = []
    failed: set[str] = set()
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            lines.append(line)
            continue
        event = json.loads(line)
        if event["msg"].startswith("LocalRepositoryCache "):
            continue
        job = " ".join([event.get("jobID", ""), *map(str, event.get("matrix", {}).values())])
        lines.append(f"{job} | {event['msg'].rstrip()}")
        if event.get("stepResult") == "failure":
            failed.add(job)
        if "jobResult" in event:
            # When a job of a matrix fails, act reports the failure for all unfinished jobs too.
            alone = not event["matrix"] or event["jobResult"] == "success"
            run.jobs[job] = event["jobResult"] if alone or job in failed else "success"
        if "executionTime" in event and len(event.get("stepID", ())) == 1:
            run.seconds[job] = run.seconds.get(job, 0.0) + event["executionTime"] / 1e9
    run.said = "\n".join([*lines, done.stderr])
    return run
