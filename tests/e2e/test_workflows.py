"""The rendered workflows, run: the right jobs for each history, and a registry that never goes back.

The project is one of small services whose make targets write down that they were called, so that a
run takes seconds. Everything else is real: git, the scripts, docker, the registry. One test runs the
workflows of a project as it comes, with all of its tests.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ..forge_api import running_api
from .conftest import NOTHING, Project, docker, sh
from .forge import INDEXES, MANIFESTS, TOKEN, USER, Forge, Registry, Run, program, running_registry
from .test_environments import free_ports

#: The api's test stack holds the worker, the page's the api.
SERVICES = (
    "[{name: api, kind: custom, needs: [worker]}, {name: worker, kind: custom, needs: []}, "
    "{name: page, kind: custom, needs: [api]}]"
)
ALL = ("api", "worker", "page")

WRITES_DOWN = "\t@echo '$@'$(if $(SERVICE),' $(SERVICE)') >> $$MARKS\n"
#: Of what the project's owner writes: make targets and Dockerfiles.
OWN_FILES = {
    "Makefile.local": f"setup test test-service test-integration lint-integration:\n{WRITES_DOWN}",
    **{
        f"services/{service}/{name}": text
        for service in ALL
        for name, text in {
            "Makefile": f"SERVICE := {service}\nsetup lint test-unit:\n{WRITES_DOWN}",
            "Dockerfile": "FROM scratch\nCOPY app.py /\n",
        }.items()
    },
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that all tests of this file share; each has images of its own there."""
    with running_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def template(generate: Callable[..., Project], registry: Registry) -> Path:
    """The project, in a repository with one commit on main; only to be copied."""
    project = generate(services=SERVICES, registry=f"{registry.host}/acme", forge="both")
    forge = Forge(project.path, project.path.parent / "forge")
    forge.start(OWN_FILES)
    return project.path


@pytest.fixture
def forge(template: Path, tmp_path: Path) -> Forge:
    """The project in a copy of its own."""
    shutil.copytree(template, tmp_path / "shop", symlinks=True)
    return Forge(tmp_path / "shop", tmp_path / "forge")


def expect(
    run: Run, forge: Forge, *services: str, others: str = "", integration: bool = True
) -> None:
    """Expect that just the tests of some services ran, and passed."""
    jobs = {"changes", "gate", *(f"service-{service}" for service in services)}
    jobs |= {"others"} if others else set()
    jobs |= {"integration"} if integration else set()
    assert run.jobs == dict.fromkeys(jobs, "success"), run.said
    assert run.passed
    did = [
        f"{target} {service}"
        for service in (*services, *others.split())
        for target in ("setup", "lint", "test-unit", "test-service")
    ]
    did += ["lint-integration", "test-integration"] if integration else []
    assert forge.did() == sorted(did)


class TestChangedOnly:
    def test_one_service(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"services/page/app.py": "2\n"})
        expect(forge.push(before), forge, "page")

    def test_a_service_that_another_one_is_tested_with(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"services/worker/app.py": "2\n"})
        expect(forge.push(before), forge, "api", "worker")

    @pytest.mark.parametrize("name", ["scripts/stack.py", "deploy/test/docker-compose.yml", "new"])
    def test_a_shared_path(self, forge: Forge, name: str) -> None:
        before = forge.git("rev-parse", "HEAD")
        path = forge.project / name
        forge.commit({name: f"{path.read_text() if path.exists() else ''}# 2\n"})
        expect(forge.push(before), forge, *ALL)

    def test_only_the_integration_tests(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"tests/integration/test_more.py": "2\n"})
        expect(forge.push(before), forge)

    def test_only_documents(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"README.md": "2\n", "docs/guide.md": "2\n", "deploy/prod/notes": "2\n"})
        expect(forge.push(before), forge, integration=False)

    def test_a_deleted_service(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({}, "services/worker")
        expect(forge.push(before), forge, "api")

    def test_a_renamed_file(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.git("mv", "services/worker/app.py", "services/page/ü 2.py")
        forge.commit()
        expect(forge.push(before), forge, *ALL)  # the api is tested with the worker

    def test_a_merge_commit(self, forge: Forge) -> None:
        forge.git("checkout", "--quiet", "-b", "topic")
        forge.commit({"services/page/app.py": "2\n"})
        forge.git("checkout", "--quiet", "main")
        before = forge.commit({"services/worker/app.py": "2\n"})
        forge.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
        expect(forge.push(before), forge, "page")

    @pytest.mark.parametrize(
        "merged", [True, False], ids=["merged for the run", "the branch itself"]
    )
    def test_a_pull_request_of_a_branch_behind_main(self, forge: Forge, merged: bool) -> None:
        """GitHub checks out what the merge would be, Gitea the branch."""
        forge.git("checkout", "--quiet", "-b", "topic")
        forge.commit({"services/page/app.py": "2\n"})
        forge.git("checkout", "--quiet", "main")
        base = forge.commit({"Makefile.local": OWN_FILES["Makefile.local"] + "# more\n"})
        forge.git("checkout", "--quiet", "--detach", "main" if merged else "topic")
        if merged:
            forge.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
        expect(forge.pull_request(base), forge, "page")

    def test_a_force_push_over_what_is_gone(self, forge: Forge) -> None:
        forge.commit({"services/page/app.py": "2\n"})
        expect(forge.push("1" * 40), forge, *ALL)

    def test_a_force_push_over_what_is_still_there(self, forge: Forge) -> None:
        before = forge.commit({"services/worker/app.py": "2\n"})
        forge.git("reset", "--quiet", "--hard", "HEAD~1")
        forge.commit({"services/page/app.py": "2\n"})
        expect(forge.push(before), forge, "page")

    def test_a_first_push(self, forge: Forge) -> None:
        expect(forge.push(), forge, *ALL)

    def test_a_shallow_clone(self, forge: Forge, tmp_path: Path) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"services/page/app.py": "2\n"})
        forge.git(
            "clone", "--quiet", "--depth=1", forge.project.as_uri(), str(tmp_path / "shallow")
        )
        shallow = Forge(tmp_path / "shallow", tmp_path / "forge")
        shallow.git("remote", "set-url", "origin", "https://github.com/Acme/Shop.git")
        expect(shallow.push(before), shallow, *ALL)

    def test_by_hand(self, forge: Forge) -> None:
        expect(forge.run("ci.yml", "workflow_dispatch", {}), forge, *ALL)

    def test_a_service_that_nobody_has_put_on_the_list(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit(
            {
                "services/billing/Makefile": OWN_FILES["services/api/Makefile"].replace(
                    "api", "billing"
                ),
                "services/billing/deploy/test/docker-compose.yml": "services: {}\n",
                "services/notes/README.md": "No service\n",
            }
        )
        expect(forge.push(before), forge, others="billing")

    def test_gitea_runs_the_same(self, forge: Forge) -> None:
        gitea = Forge(forge.project, forge.scratch, ".gitea")
        before = gitea.git("rev-parse", "HEAD")
        gitea.commit({"services/page/app.py": "2\n"})
        expect(gitea.push(before), gitea, "page")


class TestGate:
    def test_a_service_fails(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        broken = OWN_FILES["services/page/Makefile"] + "test-unit: fail\nfail:\n\tfalse\n"
        forge.commit({"services/page/Makefile": broken, "services/api/app.py": "2\n"})
        run = forge.push(before)
        assert run.jobs == {
            "changes": "success",
            "service-api": "success",
            "service-page": "failure",
            "gate": "failure",
        }
        assert not run.passed

    def test_a_service_off_the_list_fails(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"services/billing/Makefile": "setup lint:\n"})
        run = forge.push(before)
        assert run.jobs == {"changes": "success", "others": "failure", "gate": "failure"}

    def test_the_integration_tests_fail(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        broken = OWN_FILES["Makefile.local"] + "test-integration: fail\nfail:\n\tfalse\n"
        forge.commit({"Makefile.local": broken})
        run = forge.push(before)
        assert run.jobs.pop("integration") == "failure"
        assert run.jobs.pop("gate") == "failure"
        assert set(run.jobs.values()) == {"success"}

    def test_nobody_can_tell_what_changed(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"scripts/test_runner/changes.py": "raise SystemExit(1)\n"})
        run = forge.push(before)
        assert run.jobs == {"changes": "failure", "gate": "failure"}
        assert not run.passed


def tags(registry: Registry, *services: str) -> dict[str, str]:
    """What each tag of the services' images stands for, which must be the same of all of them."""
    found = [
        {tag: registry.version(image, tag) for tag in registry.tags(image)} for image in services
    ]
    assert all(one == found[0] for one in found), found
    return found[0]


@pytest.fixture
def images(forge: Forge) -> list[str]:
    """The images of this test alone."""
    return own_images(forge, *ALL)


def own_images(forge: Forge, *services: str) -> list[str]:
    """Give the images a slug that no other test uses. Return their names."""
    old = yaml.safe_load((forge.project / ".copier-answers.yml").read_text())["project_slug"]
    name = f"shop-{secrets.token_hex(3)}"
    for path in (forge.project).glob(".g*/workflows/release.yml"):
        path.write_text(path.read_text().replace(f"/{old}-", f"/{name}-"))
    forge.commit()
    return [f"acme/{name}-{service}" for service in services]


@pytest.fixture
def small(generate: Callable[..., Project], registry: Registry, tmp_path: Path) -> Forge:
    """A project with one service."""
    project = generate(services="api:custom", registry=f"{registry.host}/acme", forge="both")
    forge = Forge(project.path, tmp_path / "forge")
    forge.start({name: text for name, text in OWN_FILES.items() if "s/worker" not in name and
                 "s/page" not in name})  # fmt: skip
    return forge


@pytest.mark.xdist_group("releases")
class TestRelease:
    def test_a_life_of_releases(self, small: Forge, registry: Registry) -> None:
        forge, images = small, own_images(small, "api")

        def release(tag: str, *, new: bool = True) -> Run:
            run = forge.release(tag, new=new, branches="main v*")
            assert run.passed, run.said
            assert run.jobs == dict.fromkeys(["test", "promote", "build api"], "success")
            assert forge.did() == ["setup", "test"]
            return run

        def now(expected: dict[str, str]) -> None:
            assert tags(registry, *images) == expected

        # A pre-release before there is any release is itself and nothing else.
        release("v1.0.0-rc.1")
        now(state := {"1.0.0-rc.1": "1.0.0-rc.1"})
        # The first release.
        forge.git("checkout", "--quiet", "main")
        forge.commit({"services/api/app.py": "1.2.3\n"})
        release("v1.2.3")
        now(state := state | dict.fromkeys(["1.2.3", "1.2", "1", "latest"], "1.2.3"))
        # A pre-release of the next one moves nothing.
        release("v2.0.0-rc.1")
        now(state := state | {"2.0.0-rc.1": "2.0.0-rc.1"})
        release("v2.0.0")
        now(state := state | dict.fromkeys(["2.0.0", "2.0", "2", "latest"], "2.0.0"))
        # A fix of the old line.
        forge.git("checkout", "--quiet", "-b", "v1", "v1.2.3")
        forge.commit({"services/api/app.py": "1.2.4\n"})
        release("v1.2.4")
        now(state := state | dict.fromkeys(["1.2.4", "1.2", "1"], "1.2.4"))
        # A pre-release of what is long out.
        release("v1.2.4-rc.1")
        now(state := state | {"1.2.4-rc.1": "1.2.4-rc.1"})
        forge.git("checkout", "--quiet", "main")
        forge.commit({"services/api/app.py": "2.0.1\n"})
        release("v2.0.1")
        now(state := state | dict.fromkeys(["2.0.1", "2.0", "2", "latest"], "2.0.1"))

        # The same tags again, new and old: not a digest changes, and nothing is built.
        before = [registry.state(image) for image in images]
        for tag in ("v2.0.1", "v1.2.3", "v2.0.0-rc.1"):
            run = release(tag, new=False)
            assert "Main Build and push" not in run.said
        assert [registry.state(image) for image in images] == before

        # A tag that was moved to another commit is no release.
        forge.git("checkout", "--quiet", "main")
        forge.commit({"services/api/app.py": "2.0.1 again\n"})
        forge.git("tag", "--force", "v2.0.1")
        run = forge.release("v2.0.1", new=False)
        assert not run.passed
        assert "a released image never changes; tag the next version" in run.said
        assert [registry.state(image) for image in images] == before

    @pytest.mark.parametrize("tag", ["v1.2", "vnext.1.2", "v01.2.3", "v1.0.0+build.1"])
    def test_an_invalid_tag(
        self, forge: Forge, registry: Registry, images: list[str], tag: str
    ) -> None:
        run = forge.release(tag)
        assert run.jobs == {"test": "failure"}
        assert f"::error::{tag} is not a release tag: " in run.said
        assert forge.did() == []
        assert not any(registry.tags(image) for image in images)

    def test_a_tag_that_is_not_on_the_default_branch(
        self, forge: Forge, registry: Registry, images: list[str]
    ) -> None:
        forge.git("checkout", "--quiet", "-b", "topic")
        forge.commit({"services/api/app.py": "2\n"})
        run = forge.release("v1.0.0")
        assert run.jobs == {"test": "failure"}
        assert "::error::v1.0.0 is not on main: " in run.said
        assert forge.did() == []
        assert not any(registry.tags(image) for image in images)

    @pytest.mark.parametrize(
        "folder", [".github", pytest.param(".gitea", marks=pytest.mark.drills)]
    )
    def test_a_service_that_fails_to_build_in_the_middle(
        self, forge: Forge, registry: Registry, images: list[str], folder: str
    ) -> None:
        forge.folder = folder
        assert forge.release("v1.0.0").passed
        released = tags(registry, *images)
        forge.git("checkout", "--quiet", "main")
        dockerfile = OWN_FILES["services/worker/Dockerfile"]
        forge.commit({"services/worker/Dockerfile": dockerfile + "COPY missing /\n"})
        run = forge.release("v1.1.0")
        assert not run.passed
        assert run.jobs == {
            "test": "success",
            "build api": "success",
            "build page": "success",
            "build worker": "failure",
        }
        api, worker, page = images
        assert tags(registry, api, page) == released | {"1.1.0": "1.1.0"}
        assert tags(registry, worker) == released
        # The next version fixes it. The failed version is never published.
        forge.git("checkout", "--quiet", "main")
        forge.commit({"services/worker/Dockerfile": dockerfile})
        assert forge.release("v1.1.1").passed
        moved = dict.fromkeys(["1.1.1", "1.1", "1", "latest"], "1.1.1")
        assert tags(registry, worker) == released | moved
        assert tags(registry, api, page) == released | {"1.1.0": "1.1.0"} | moved

    def test_every_image_says_where_it_comes_from(
        self, forge: Forge, registry: Registry, images: list[str]
    ) -> None:
        """The owner's name has capitals, which no image's name may have."""
        commit = forge.git("rev-parse", "HEAD")
        assert forge.release("v3.1.4").passed
        created = set()
        for image in images:
            labels = registry.labels(image, "latest")
            created.add(labels.pop("org.opencontainers.image.created"))
            assert labels == {
                "org.opencontainers.image.source": "https://github.com/Acme/Shop",
                "org.opencontainers.image.revision": commit,
                "org.opencontainers.image.version": "3.1.4",
            }
        assert len(created) == 1
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", created.pop())

    @pytest.mark.parametrize(("token", "job"), [("", "build api"), ("wrong", "build api")])
    def test_without_a_good_token(
        self, forge: Forge, registry: Registry, images: list[str], token: str, job: str
    ) -> None:
        run = forge.release("v1.0.0", token=token)
        assert not run.passed
        assert run.jobs[job] == "failure"
        assert "promote" not in run.jobs
        assert ("the secret REGISTRY_TOKEN is not set" in run.said) == (not token)
        assert "wrong" not in run.said
        assert not any(registry.tags(image) for image in images)

    @pytest.mark.drills
    def test_for_two_architectures_once_that_is_switched_on(
        self, forge: Forge, registry: Registry, images: list[str]
    ) -> None:
        for path in forge.project.glob(".g*/workflows/release.yml"):
            switch_on_arm64(path)
        forge.commit()
        assert forge.release("v1.0.0").passed
        for image in images:
            state = registry.state(image)
            assert set(state) == {"1.0.0", "1.0", "1", "latest"}
            assert all(set(one) == {"linux/amd64", "linux/arm64"} for one in state.values())
            assert len({str(one) for one in state.values()}) == 1
        before = [registry.state(image) for image in images]
        assert "Main Build and push" not in forge.release("v1.0.0", new=False).said
        assert [registry.state(image) for image in images] == before


def switch_on_arm64(workflow: Path) -> None:
    """Do what the workflow's comment says."""
    text = workflow.read_text()
    text = text.replace("# - uses: docker/setup-qemu", "- uses: docker/setup-qemu")
    text = text.replace("#   with:", "  with:").replace("#     cache-image:", "    cache-image:")
    text = text.replace("# platforms:", "platforms:")
    workflow.write_text(text)


@pytest.fixture(scope="module")
def single_template(generate: Callable[..., Project], registry: Registry) -> Path:
    """The same of a project of a single service."""
    project = generate(
        layout="single", service_kind="custom", registry=f"{registry.host}/acme", forge="both"
    )
    forge = Forge(project.path, project.path.parent / "forge")
    forge.start({"Makefile.local": f"setup lint test:\n{WRITES_DOWN}"})
    return project.path


class TestSingle:
    @pytest.fixture
    def forge(self, single_template: Path, tmp_path: Path) -> Forge:
        shutil.copytree(single_template, tmp_path / "shop", symlinks=True)
        return Forge(tmp_path / "shop", tmp_path / "forge")

    @pytest.mark.parametrize(
        ("name", "tested"),
        [("app.py", True), ("Makefile.local", True), ("README.md", False), ("docs/a.md", False)],
    )
    def test_the_gate_tests_what_tests_could_notice(
        self, forge: Forge, name: str, tested: bool
    ) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({name: (forge.project / name).read_text() + "# 2\n" if tested else "2\n"})
        run = forge.push(before)
        assert run.jobs == {"gate": "success"}
        assert forge.did() == (["lint", "setup", "test"] if tested else [])

    def test_a_first_push(self, forge: Forge) -> None:
        assert forge.push().passed
        assert forge.did() == ["lint", "setup", "test"]

    def test_failing_tests_fail_the_gate(self, forge: Forge) -> None:
        before = forge.git("rev-parse", "HEAD")
        forge.commit({"Makefile.local": "setup lint:\ntest:\n\tfalse\n"})
        run = forge.push(before)
        assert run.jobs == {"gate": "failure"}
        assert not run.passed

    @pytest.mark.parametrize("folder", [".github", ".gitea"])
    def test_a_release(self, forge: Forge, registry: Registry, folder: str) -> None:
        forge.folder = folder
        slug = f"shop-{secrets.token_hex(3)}"
        old = yaml.safe_load((forge.project / ".copier-answers.yml").read_text())["project_slug"]
        for path in forge.project.glob(".g*/workflows/release.yml"):
            path.write_text(path.read_text().replace(f"/{old}", f"/{slug}"))
        forge.commit({"Dockerfile": "FROM scratch\nCOPY app.py /\n"})
        run = forge.release("v0.1.0")
        assert run.jobs == dict.fromkeys(["test", "build", "promote"], "success"), run.said
        assert forge.did() == ["setup", "test"]
        # Below 1.0.0 there is no tag of the major version.
        image = f"acme/{slug}"
        assert tags(registry, image) == dict.fromkeys(["0.1.0", "0.1", "latest"], "0.1.0")


@contextmanager
def running_host(folder: Path, registry: Registry) -> Iterator[tuple[str, str, str]]:
    """Run an SSH server that lets one key in. Yield its address, the private key and its public key."""
    folder.mkdir()
    for name in ("host", "user"):
        make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        subprocess.run(make, check=True)
    (port,) = free_ports(1)
    (folder / "docker").mkdir()
    login = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    (folder / "docker/config.json").write_text(
        json.dumps({"auths": {registry.host: {"auth": login}}})
    )
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication no\n"
        f"SetEnv DOCKER_CONFIG={folder}/docker PATH={os.environ['PATH']}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([program("sshd"), "-D", "-e", "-f", folder / "config"])
    try:
        public = (folder / "host.pub").read_text()
        yield (
            f"ssh://{getpass.getuser()}@127.0.0.1:{port}",
            (folder / "user").read_text(),
            f"[127.0.0.1]:{port} {public}",
        )
    finally:
        server.terminate()
        server.wait()


@pytest.mark.drills
def test_a_release_is_deployed_over_ssh_and_rolled_back(
    generate: Callable[..., Project], registry: Registry, tmp_path: Path
) -> None:
    project = generate(
        layout="single", service_kind="custom", database="none", registry=f"{registry.host}/acme"
    )
    forge = Forge(project.path, tmp_path / "forge")
    forge.start({"Makefile.local": "setup lint test: ;\n"})
    source = (project.path / "app.py").read_text()
    folder, (port,) = tmp_path / "on the host", free_ports(1)
    name = f"{registry.host}/acme/{project.slug}"

    with running_host(tmp_path / "ssh", registry) as (address, key, known):
        (tmp_path / "known").write_text(known)
        said = project.run(
            *("scripts/deploy-over-ssh.sh", "init"), HOST=address, DEPLOY_DIR=str(folder),
            SSH_OPTIONS=f"-i {tmp_path}/ssh/user -o UserKnownHostsFile={tmp_path}/known",
        )  # fmt: skip
        assert "created .env" in said
        with (folder / ".env").open("a") as file:
            file.write(f"APP_PORT={port}\nWATCH=1\n")

        settings = (
            f"--var=DEPLOY_HOST={address}", f"--var=DEPLOY_DIR={folder}",
            f"--var=REGISTRY_USER={USER}", f"--secret=REGISTRY_TOKEN={TOKEN}",
            f"--secret=DEPLOY_SSH_KEY={key}",
        )  # fmt: skip
        trusted = (*settings, f"--secret=DEPLOY_KNOWN_HOSTS={known}")

        def deploy(*options: str, **inputs: str) -> Run:
            event = {"inputs": inputs, "repository": {"default_branch": "main", "private": True}}
            return forge.run("deploy.yml", "workflow_dispatch", event, *options)

        def serving() -> list[str]:
            label = f"--filter=label=com.docker.compose.project={project.slug}"
            images = docker("ps", label, "--format={{.Image}}").split()
            return [image.rpartition(":")[2] for image in images if project.slug in image]

        try:
            forge.commit({"app.py": source})
            assert forge.release("v1.0.0").jobs["promote"] == "success"
            # A server with another key is not trusted.
            other = known.rpartition(" ")[0].replace(known.split()[2], known.split()[2][::-1])
            run = deploy(*settings, f"--secret=DEPLOY_KNOWN_HOSTS={other}", version="1.0.0")
            assert not run.passed, run.said
            assert serving() == []

            run = deploy(*trusted, version="1.0.0")
            assert run.passed, run.said
            assert serving() == ["1.0.0"]
            assert key.splitlines()[1] not in run.said

            # A tag whose code is not merged.
            forge.git("checkout", "--quiet", "-b", "side", "main")
            forge.commit({"scripts/release.py": "print('digests=')\n"})
            forge.git("tag", "v6.6.6")
            forge.git("checkout", "--quiet", "main")
            run = deploy(*trusted, version="6.6.6")
            assert not run.passed
            assert "v6.6.6 is not on main" in run.said

            forge.commit({"app.py": source + "# 2\n"})
            run = forge.release("v1.1.0", options=(*trusted, "--var=DEPLOY_ON_RELEASE=true"))
            assert run.jobs["deploy"] == "success", run.said
            assert serving() == ["1.1.0"]

            run = deploy(*trusted, rollback="true")
            assert run.passed, run.said
            assert serving() == ["1.0.0"]

            # An image that is not the released one is not deployed.
            docker("tag", "redis:8-alpine", f"{name}:1.1.0")
            run = deploy(*trusted, version="1.1.0")
            assert not run.passed
            assert "is not the released image" in run.said
            assert serving() == ["1.0.0"]
        finally:
            sh("docker", "compose", "down", "--volumes", cwd=folder, VERSION="1.0.0")
            for version in ("1.0.0", "1.1.0"):
                docker("image", "rm", "--force", f"{name}:{version}")


@dataclass(frozen=True)
class Signer:
    """A pair of keys of cosign."""

    private: str
    public: str

    def options(self) -> list[str]:
        """Return the secrets of a workflow that signs."""
        return [f"--secret=COSIGN_PRIVATE_KEY={self.private}", "--secret=COSIGN_PASSWORD=a word"]


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """Create a pair of keys. Without cosign, skip the test."""
    if not shutil.which("cosign"):
        pytest.skip("cosign is not installed: .ci/engine/up tools")
    (tmp_path / "keys").mkdir()
    environment = os.environ | {"COSIGN_PASSWORD": "a word"}
    command = ("cosign", "generate-key-pair")
    subprocess.run(command, cwd=tmp_path / "keys", env=environment, check=True, capture_output=True)
    private, public = (tmp_path / "keys" / name for name in ("cosign.key", "cosign.pub"))
    return Signer(private.read_text(), public.read_text())


@pytest.mark.drills
@pytest.mark.parametrize("folder", [".github", ".gitea"])
def test_every_image_is_signed_with_a_key(
    forge: Forge, registry: Registry, images: list[str], signer: Signer, tmp_path: Path, folder: str
) -> None:
    forge.folder = folder
    # A key whose public part is not committed: nothing gets a tag.
    run = forge.release("v1.0.0", options=signer.options())
    assert run.jobs["build api"] == "failure"
    assert "deploy/prod/cosign.pub" in run.said
    assert not any(re.match(r"\d|latest", tag) for image in images for tag in registry.tags(image))

    forge.git("checkout", "--quiet", "main")
    forge.commit({"deploy/prod/cosign.pub": signer.public})
    run = forge.release("v1.0.1", options=signer.options())
    assert run.passed, run.said
    assert signer.private.splitlines()[1] not in run.said
    (tmp_path / "cosign.pub").write_text(signer.public)
    for image in images:
        index, digest = registry.get(f"{image}/manifests/1.0.1", *INDEXES)
        # The image and its SBOM are signed one by one too.
        assert len(index["manifests"]) == 2
        for signed in (digest, *(one["digest"] for one in index["manifests"])):
            name = f"{registry.host}/{image}@{signed}"
            assert verified(tmp_path, name).returncode == 0
        assert registry.get(f"{image}/manifests/latest", *INDEXES)[1] == digest
    # The signed digest is the one that a deploy verifies, and its SBOM can be read.
    said = "\n".join(line for line in run.said.splitlines() if "promote" in line)
    assert "has no SBOM" not in said


def verified(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Verify the signature of an image with the key in a folder."""
    login = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    auths = {"auths": {name.partition("/")[0]: {"auth": login}}}
    (folder / "config.json").write_text(json.dumps(auths))
    return subprocess.run(
        ["cosign", "verify", "--key=cosign.pub", "--insecure-ignore-tlog", name],
        cwd=folder, env=os.environ | {"DOCKER_CONFIG": str(folder)}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.drills
def test_without_a_key_nothing_is_signed(
    forge: Forge, registry: Registry, images: list[str]
) -> None:
    run = forge.release("v1.0.0")
    assert run.passed, run.said
    assert run.said.count(" is not signed: set the secret COSIGN_PRIVATE_KEY") == len(images)
    assert "Main sigstore/cosign-installer" not in run.said
    for image in images:
        assert not [tag for tag in registry.tags(image) if tag.startswith("sha256-")]


@pytest.mark.drills
def test_a_host_deploys_only_signed_images(
    generate: Callable[..., Project], registry: Registry, signer: Signer, tmp_path: Path
) -> None:
    project = generate(
        layout="single", service_kind="custom", database="none", registry=f"{registry.host}/acme"
    )
    name = f"{registry.host}/acme/{project.slug}"
    folder, (port,) = tmp_path / "host", free_ports(1)
    # docker builds without BuildKit where buildx is not its plugin.
    dockerfile = project.path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("--chmod=644 ", ""))
    shutil.copytree(project.path / "deploy/prod", folder)
    (folder / "cosign.pub").write_text(signer.public)
    login = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
    config = {"auths": {registry.host: {"auth": login}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    environment = {
        "DOCKER_CONFIG": str(tmp_path),
        "COSIGN_PRIVATE_KEY": signer.private,
        "COSIGN_PASSWORD": "a word",
    }

    def run(*command: str, cwd: Path = folder, **env: str) -> subprocess.CompletedProcess[str]:
        return sh(*command, cwd=cwd, **environment | env)

    def push(version: str, *, source: str = "") -> str:
        """Push an image, new or with another tag, and return its name with its digest."""
        if source:
            docker("tag", source, f"{name}:{version}")
        else:
            label = f"--label=org.opencontainers.image.version={version}"
            docker("build", "--quiet", label, "--tag", f"{name}:{version}", str(project.path))
        assert run("docker", "push", "--quiet", f"{name}:{version}").returncode == 0
        docker("image", "rm", "--force", f"{name}:{version}")
        return f"{name}@{registry.get(f'acme/{project.slug}/manifests/{version}', *MANIFESTS)[1]}"

    def sign(image: str) -> None:
        run("cosign", "signing-config", "create", "--out", "services.json", cwd=tmp_path)
        done = run("cosign", "sign", "--yes", "--key=env://COSIGN_PRIVATE_KEY",
                   "--signing-config=services.json", image, cwd=tmp_path)  # fmt: skip
        assert done.returncode == 0, done.stdout

    def deploy(*words: str, code: int, **env: str) -> str:
        done = run("./deploy.sh", *words, cwd=folder, **env)
        assert done.returncode == code, done.stdout
        return done.stdout

    def state() -> tuple[str, str]:
        """Return the containers, and what .env says."""
        label = f"--filter=label=com.docker.compose.project={project.slug}"
        return docker("ps", "--all", "--quiet", "--no-trunc", label), (folder / ".env").read_text()

    try:
        deploy("init", code=0)
        with (folder / ".env").open("a") as file:
            file.write(f"APP_PORT={port}\nWATCH=1\nCOSIGN_KEY=./cosign.pub\n")
        first = push("1.0.0")
        before = state()
        said = deploy("deploy", "1.0.0", code=2)
        assert f"{name}:1.0.0 is not signed by ./cosign.pub" in said
        assert state() == before

        sign(first)
        assert "1.0.0 serves" in deploy("deploy", "1.0.0", code=0)
        # What was verified needs neither cosign nor its network again.
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/cosign").write_text(
            '#!/bin/sh\nprintf \'%s\\n\' "$@" >> "$0.log"\nexit 1\n'
        )
        (tmp_path / "bin/cosign").chmod(0o755)
        without = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
        deploy("up", code=0, **without)
        assert not (tmp_path / "bin/cosign.log").exists()
        before = state()

        # An image without a signature, and the signed old image as a new release.
        push("1.1.0")
        assert "is not signed by ./cosign.pub" in deploy("deploy", "1.1.0", code=2)
        push("1.2.0", source=f"{name}:1.0.0")
        run("docker", "pull", "--quiet", f"{name}:1.0.0")
        assert "is the image of the release 1.0.0" in deploy("deploy", "1.2.0", code=2)
        # The key of another person, and a key that is missing.
        run("cosign", "generate-key-pair", cwd=tmp_path)
        other = {"COSIGN_KEY": str(tmp_path / "cosign.pub")}
        assert "is not signed by" in deploy("deploy", "1.0.0", code=2, **other)
        assert "cannot be read" in deploy("up", code=2, COSIGN_KEY="./missing.pub")
        # A workflow that must have signed: cosign gets its identity at this release.
        workflow = "https://github.com/acme/shop/.github/workflows/release.yml"
        host = without | {"COSIGN_KEY": "", "COSIGN_IDENTITY": workflow}
        env = (folder / ".env").read_text()
        (folder / ".env").write_text(env.replace("COSIGN_KEY=./cosign.pub\n", ""))
        assert f"is not signed by {workflow}" in deploy("up", code=2, **host)
        assert (tmp_path / "bin/cosign.log").read_text().splitlines() == [
            "verify",
            f"--certificate-identity={workflow}@refs/tags/v1.0.0",
            "--certificate-oidc-issuer=https://token.actions.githubusercontent.com",
            first,
        ]
        (folder / ".env").write_text(env)
        assert state() == before
    finally:
        run("docker", "compose", "down", "--volumes", VERSION="1.0.0")
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            docker("image", "rm", "--force", f"{name}:{version}")


#: Replaces scripts/template.py: an update that writes what it can find of the token.
UPDATE = """\
import os, pathlib, sys
if sys.argv[1] == "check":
    print('{"newer": NEWER, "version": "v1", "newest": "v2", "changes": "More."}')
    sys.exit()
pid, found = os.getpid(), b""
while pid > 1:
    found += pathlib.Path(f"/proc/{pid}/environ").read_bytes() if IN_JOB(pid) else b""
    pid = int(pathlib.Path(f"/proc/{pid}/status").read_text().partition("PPid:")[2].split()[0])
for path in pathlib.Path(".git").rglob("config*"):
    found += path.read_bytes()
pathlib.Path("found").write_bytes(found.replace(b"\\0", b"\\n"))
"""


def test_an_update_is_proposed_without_giving_it_the_token(forge: Forge, tmp_path: Path) -> None:
    # The environment of act itself has everything.
    in_job = (
        'def IN_JOB(pid): return b"/act" not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()\n'
    )
    update = UPDATE.replace("import os, pathlib, sys\n", f"import os, pathlib, sys\n{in_job}")
    forge.commit({"scripts/template.py": update.replace("NEWER", "true")})
    bare = tmp_path / "origin.git"
    forge.git("init", "--quiet", "--bare", str(bare))
    forge.git("config", f"url.{bare}.insteadOf", "https://github.com/Acme/Shop.git")
    with running_api() as api:
        options = (
            "--secret=TEMPLATE_UPDATE_TOKEN=secret",
            *(f"--env=GITHUB_{name}" for name in (
                f"API_URL={api.url}/api", f"SERVER_URL={api.url}", "REPOSITORY=me/shop")),
        )  # fmt: skip
        run = forge.run("template-update.yml", "workflow_dispatch", {}, *options)
        assert run.passed, run.said
        assert run.jobs == {"update": "success", "propose": "success"}
        assert "Opened http://f/pulls/1" in run.said
        found = forge.git(f"--git-dir={bare}", "show", "template-update-v2:found")
        assert "GITHUB_OUTPUT=" in found
        assert "secret" not in found
        forge.commit({"scripts/template.py": update.replace("NEWER", "false")})
        run = forge.run("template-update.yml", "workflow_dispatch", {}, *options)
        assert run.jobs == {"update": "success"}
        assert len(api.posted) == 1


@pytest.mark.xdist_group("workflows as they come")
def test_the_workflows_of_a_project_as_it_comes(
    generate: Callable[..., Project], registry: Registry, tmp_path: Path
) -> None:
    """All tests for a first push, and then its release, with nothing made easier."""
    project = generate(services="api", registry=f"{registry.host}/acme", forge="gitea")
    forge = Forge(project.path, tmp_path, ".gitea")
    forge.start({})
    run = forge.push()
    assert run.passed, run.said
    jobs = ("changes", "service-api", "integration", "gate")
    assert run.jobs == dict.fromkeys(jobs, "success")
    run = forge.release("v1.0.0")
    assert run.passed, run.said
    assert project.left() == NOTHING
    image = f"acme/{project.slug}-api"
    assert registry.tags(image) == {"1.0.0", "1.0", "1", "latest"}
    # What was pushed can be run.
    name = registry.pull(image, "latest", tmp_path)
    assert docker("run", "--rm", name, "python", "--version").startswith("Python 3")
