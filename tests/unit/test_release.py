"""scripts/release.py: tags in every order, and the answers of docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

# They start git and other programs.
pytestmark = pytest.mark.programs

SCRIPT = Path(__file__).resolve().parents[2] / "template/scripts/release.py"

#: The pattern that semver.org suggests, unchanged. Its last group is the build metadata.
SEMVER = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$",
    re.ASCII,
)


@pytest.fixture(scope="module")
def module(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("template/scripts/release.py")


#: A tag and the other tags of its repository: the version, and the tags that move.
MEANINGS = {
    ("v1.0.0", ""): ("1.0.0", "1.0 1 latest"),
    ("v1.2.5", "v1.2.4 v1.10.0 v2.0.0"): ("1.2.5", "1.2"),
    ("v1.10.0", "v1.9.9 v1.2.5 v2.0.0"): ("1.10.0", "1.10 1"),
    ("v2.0.0", "v1.2.5 v1.10.0"): ("2.0.0", "2.0 2 latest"),
    ("v2.0.1", "v2.0.0 v1.2.5"): ("2.0.1", "2.0 2 latest"),
    ("v1.2.4", "v2.0.0 v1.2.3"): ("1.2.4", "1.2 1"),
    ("v1.2.3", "v1.2.4"): ("1.2.3", ""),
    ("v2.1.0-rc.1", "v2.0.0"): ("2.1.0-rc.1", ""),
    ("v1.0.0-rc.1", ""): ("1.0.0-rc.1", ""),
    ("v1.0.0", "v1.0.0-rc.1 v1.0.1-rc.1 v2.0.0-beta"): ("1.0.0", "1.0 1 latest"),
    ("v0.9.0", ""): ("0.9.0", "0.9 latest"),
    ("v0.9.0", "v0.10.0"): ("0.9.0", "0.9"),
    ("v0.0.0", ""): ("0.0.0", "0.0 latest"),
    ("v1.0.0", "v0.9.0"): ("1.0.0", "1.0 1 latest"),
    # Tags that are not release tags are ignored.
    ("v1.0.0", "v2 v2.0 2.0.0 v2.0.0+build v02.0.0 vnext nightly v1.0.0.1 release/v3.0.0"): (
        *("1.0.0", "1.0 1 latest"),
    ),
    ("v1.0.0--", ""): ("1.0.0--", ""),
    ("v1.0.0-0", ""): ("1.0.0-0", ""),
    ("v1.0.0-0a.RC-1", ""): ("1.0.0-0a.RC-1", ""),
}


@pytest.mark.parametrize(
    ("given", "expected"), MEANINGS.items(), ids=[" ".join(m) for m in MEANINGS]
)
def test_what_a_tag_means(
    module: ModuleType, given: tuple[str, str], expected: tuple[str, str]
) -> None:
    tag, others = given
    for tags in (others.split(), [tag, *others.split()], [*others.split(), tag, tag]):
        found = module.release(tag, tags)
        assert (found.version, " ".join(found.floating)) == expected
        assert found.prerelease == ("-" in tag)


REFUSALS = {
    "v1.2": "needs three numbers; use v1.2.0",
    "v1": "needs three numbers; use v1.0.0",
    "1.2.3": "use v1.2.3",
    "1.2": "needs three numbers; use v1.2.0",
    "vnext.1.2": "use vMAJOR.MINOR.PATCH",
    "v01.2.3": "a number has a leading zero; use v1.2.3",
    "v1.02.3": "a number has a leading zero; use v1.2.3",
    "v1.2.03-rc.01": "a number has a leading zero; use v1.2.3-rc.1",
    "v1.0.0-01": "a number has a leading zero; use v1.0.0-1",
    "v1.0.0+build.1": "cannot contain '+'; use v1.0.0",
    "v1.0.0-rc.1+5": "cannot contain '+'; use v1.0.0-rc.1",
    "v1.2.3.4": "use vMAJOR.MINOR.PATCH",
    "v1.2.x": "use vMAJOR.MINOR.PATCH",
    "v1.2.3-": "use vMAJOR.MINOR.PATCH",
    "v1.2.3-rc..1": "use vMAJOR.MINOR.PATCH",
    "v1.2.3_1": "use vMAJOR.MINOR.PATCH",
    "V1.2.3": "use vMAJOR.MINOR.PATCH",
    "v-1.2.3": "use vMAJOR.MINOR.PATCH",
    "v1.2.3 ": "use vMAJOR.MINOR.PATCH",
    "v1.2.3\n": "'v1.2.3\\n' is not a release tag",
    "v١.٢.٣": "use vMAJOR.MINOR.PATCH",
    "v1.2.3-ü": "use vMAJOR.MINOR.PATCH",
    "": "'' is not a release tag",
    "v": "use vMAJOR.MINOR.PATCH",
    "v1.2.3-" + "a" * 123: "has 129 characters, but at most 128 are allowed",
}


@pytest.mark.parametrize(("tag", "reason"), REFUSALS.items(), ids=[ascii(t)[:30] for t in REFUSALS])
def test_invalid_tags(module: ModuleType, tag: str, reason: str) -> None:
    with pytest.raises(module.RefusedError) as refusal:
        module.release(tag, [])
    assert reason in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    # The suggested tag is valid.
    for better in re.findall(r"use (v[0-9]\S*)", str(refusal.value)):
        module.release(better, [])


def test_the_longest_valid_version(module: ModuleType) -> None:
    tag = "v1.2.3-" + "a" * 122
    assert len(module.release(tag, []).version) == 128


PIECES = st.sampled_from([*"0123456789", "00", "10", "a", "Z", "rc", "-", ".", "+", "v", "é", " "])


@given(st.lists(PIECES, max_size=9).map("".join))
def test_valid_tags_are_those_of_semver_without_build_metadata(
    module: ModuleType, text: str
) -> None:
    oracle = SEMVER.match(text) if text.strip() == text else None
    try:
        found = module.release(f"v{text}", [])
    except module.RefusedError:
        assert oracle is None or oracle[5]
    else:
        assert oracle and not oracle[5]
        assert found.version == text
        assert found.prerelease == bool(oracle[4])
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", text), "no tag of an image"


VERSIONS = st.builds(
    lambda major, minor, patch, rest: f"{major}.{minor}.{patch}{rest}",
    *(st.sampled_from([0, 1, 2, 9, 10, 11]),) * 3,
    st.sampled_from(["", "", "", "-rc.1", "-alpha"]),
)


@settings(max_examples=75)
@given(st.lists(VERSIONS, min_size=1, max_size=12, unique=True))
def test_in_any_order_tags_only_move_forwards(module: ModuleType, versions: list[str]) -> None:
    """Simulate a registry through a history of releases. Each release runs twice."""
    registry: dict[str, str] = {}
    tags: list[str] = []
    for version in versions:
        tags.append(f"v{version}")
        for _ in range(2):
            for name in module.release(f"v{version}", tags).floating:
                assert Version(registry.get(name, "0")) <= Version(version), name
                registry[name] = version
            # The expected position of each tag, ordered by another implementation.
            final = sorted(Version(v) for v in versions[: len(tags)] if "-" not in v)
            expected: dict[str, str] = {}
            for one in final:
                expected[f"{one.major}.{one.minor}"] = expected["latest"] = str(one)
                if one.major:
                    expected[str(one.major)] = str(one)
            assert registry == expected


@given(st.lists(VERSIONS, min_size=1, max_size=8, unique=True), st.randoms())
def test_the_order_of_the_list_does_not_matter(
    module: ModuleType, versions: list[str], random: object
) -> None:
    tags = [f"v{version}" for version in versions]
    found = module.release(tags[0], tags)
    assert module.release(tags[0], sorted(tags)) == found
    assert module.release(tags[0], reversed(tags)) == found


#: A fake docker. It answers from the file `answers` and logs its arguments.
DOCKER = """#!/bin/sh
echo "$@" >> {folder}/asked
[ "$3" = inspect ] || exit 0
file={folder}/$(printf %s "$4" | tr /: __)
[ -e "$file" ] || {{ cat {folder}/missing >&2; exit 1; }}
case $6 in *Manifest*) file=$file.manifest ;; esac
cat "$file"
"""


class Project:
    """A repository with the script, and a fake docker."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin = root / "project", root / "bin"
        (self.root / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy2(SCRIPT, self.root / "scripts")
        (self.bin / "docker").write_text(DOCKER.format(folder=self.bin))
        (self.bin / "docker").chmod(0o755)
        (self.bin / "missing").write_text("ERROR: registry.test/x: not found\n")
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("-c", "user.name=u", "-c", "user.email=u@example.com", "commit", "-qm", "one")

    def git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self.root, check=True, capture_output=True)

    def tag(self, *tags: str) -> None:
        for tag in tags:
            self.git("tag", tag)

    def image(self, name: str, *commits: str) -> None:
        """Add an image to the registry. Several commits mean one platform for each commit."""
        key = "org.opencontainers.image.revision"
        configs: dict[str, Any] = {
            f"linux/{number}": {"os": "linux", "config": {"Labels": {key: commit, "a": "b"}}}
            for number, commit in enumerate(commits)
        }
        told = configs if len(configs) > 1 else next(iter(configs.values()), {"config": {}})
        path = self.bin / re.sub("[/:]", "_", name)
        path.write_text(json.dumps(told))
        path.with_name(f"{path.name}.manifest").write_text(
            json.dumps({"digest": f"sha256:{path.name}"})
        )

    def run(self, *args: str, **env: str) -> tuple[int, str, str]:
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", **env}
        done = subprocess.run(
            [sys.executable, self.root / "scripts/release.py", *args],
            cwd="/", env=environment, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def asked(self) -> list[str]:
        path = self.bin / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return Project(tmp_path)


class TestTag:
    def test_among_the_tags_of_the_repository(self, project: Project) -> None:
        project.tag("v1.2.3", "v1.2.4", "v2.0.0", "v3.0.0-rc.1", "nightly")
        assert project.run("tag", "v1.2.4") == (
            *(0, "version=1.2.4\nprerelease=false\nfloating=1.2 1\n", ""),
        )
        assert project.run("tag", "v3.0.0-rc.1")[1].splitlines()[1:] == [
            *("prerelease=true", "floating="),
        ]

    def test_a_tag_that_does_not_exist_yet(self, project: Project) -> None:
        project.tag("v1.2.3")
        assert "floating=1.3 1 latest\n" in project.run("tag", "v1.3.0")[1]

    def test_an_invalid_tag(self, project: Project) -> None:
        line = "v1.2 is not a release tag: it needs three numbers; use v1.2.0\n"
        assert project.run("tag", "v1.2") == (1, "", f"release.py: {line}")
        assert project.run("tag", "v1.2", GITHUB_ACTIONS="true") == (1, "", f"::error::{line}")

    def test_on_which_branches_it_must_be(self, project: Project, tmp_path: Path) -> None:
        project.git("branch", "--move", "main")
        project.tag("v1.0.0")
        project.git("checkout", "--quiet", "-b", "release/1")
        project.git(
            "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qm", "2", "--allow-empty"
        )
        project.tag("v1.0.1")
        clone = tmp_path / "clone"
        project.git("clone", "--quiet", "--branch=v1.0.1", project.root.as_uri(), str(clone))
        for folder in (project.root, clone):
            project.root = folder
            assert project.run("tag", "v1.0.0", "--branches", "main")[0] == 0
            assert project.run("tag", "v1.0.1", "--branches", "main release/*")[0] == 0
            code, said, error = project.run("tag", "v1.0.1", "--branches", "main v*")
            assert (code, said) == (1, "")
            assert error.startswith("release.py: v1.0.1 is not on main or v*: merge its commit")
            assert "is not on no branch" in project.run("tag", "v1.0.1", "--branches", "")[2]

    def test_a_clone_that_may_lack_tags(self, project: Project, tmp_path: Path) -> None:
        project.git("clone", "--quiet", "--depth=1", project.root.as_uri(), str(tmp_path / "s"))
        project.root = tmp_path / "s"
        code, said, error = project.run("tag", "v1.0.0")
        assert (code, said) == (3, "")
        assert "fetch-depth: 0" in error
        assert len(error.splitlines()) == 1

    def test_no_repository(self, project: Project) -> None:
        shutil.rmtree(project.root / ".git")
        code, said, error = project.run("tag", "v1.0.0", GIT_CEILING_DIRECTORIES="/")
        assert (code, said) == (3, "")
        assert error.startswith("release.py: git: ")


class TestPublished:
    IMAGE = "registry.test/acme/shop-api:1.0.0"

    def test_an_image_that_does_not_exist(self, project: Project) -> None:
        assert project.run("published", self.IMAGE, "abc") == (0, "published=false\n", "")
        asked = "buildx imagetools inspect " + self.IMAGE + " --format {{json .Image}}"
        assert project.asked() == [asked]

    @pytest.mark.parametrize("platforms", [1, 2])
    def test_an_image_of_the_same_commit(self, project: Project, platforms: int) -> None:
        project.image(self.IMAGE, *["abc"] * platforms)
        assert project.run("published", self.IMAGE, "abc") == (0, "published=true\n", "")

    @pytest.mark.parametrize(
        ("commits", "whose"),
        [(["def"], "def"), (["abc", "def"], "abc and def"), ([], "an unknown commit")],
    )
    def test_built_from_another_commit(
        self, project: Project, commits: list[str], whose: str
    ) -> None:
        project.image(self.IMAGE, *commits)
        code, said, error = project.run("published", self.IMAGE, "abc")
        assert (code, said) == (1, "")
        assert f"built from {whose}, not from abc: " in error
        assert len(error.splitlines()) == 1

    @pytest.mark.parametrize(
        "words",
        [
            "ERROR: ghcr.io/acme/shop-api:1.0.0: not found",
            "ERROR: name unknown: repository name not known to registry",
            "ERROR: unexpected status from HEAD request to https://x/v2/y: 404 Not Found",
        ],
    )
    def test_how_registries_report_a_missing_image(self, project: Project, words: str) -> None:
        (project.bin / "missing").write_text(f"{words}\n")
        assert project.run("published", self.IMAGE, "abc")[:2] == (0, "published=false\n")

    @pytest.mark.parametrize(
        "words",
        [
            "ERROR: pull access denied, server message: insufficient_scope: authorization failed",
            "ERROR: failed to fetch anonymous token: denied: denied",
            "ERROR: unexpected status from HEAD request to https://x/v2/y: 403 Forbidden",
            "ERROR: unexpected status from HEAD request to https://x/v2/y: 401 Unauthorized",
        ],
    )
    def test_an_image_that_the_token_may_not_read(self, project: Project, words: str) -> None:
        (project.bin / "missing").write_text(f"{words}\n")
        project.tag("v1.0.0")
        for command in (("published", self.IMAGE, "abc"), ("promote", "v1.0.0", self.IMAGE[:-6])):
            code, said, error = project.run(*command)
            assert (code, said) == (1, "")
            assert f"does not let this token read {self.IMAGE}, so the image may exist" in error
        # GitHub's registry answers so for every image that does not exist.
        image = "ghcr.io/acme/shop-api:1.0.0"
        assert project.run("published", image, "abc")[:2] == (0, "published=false\n")

    @pytest.mark.parametrize(
        "words",
        [
            "ERROR: failed to do request: Head https://x: dial tcp 10.0.0.1:443: i/o timeout",
            "ERROR: unexpected status from HEAD request to https://x/v2/y: 503 Service Unavailable",
            "ERROR: failed to do request: Head https://x: x509: signed by unknown authority",
            "ERROR: failed to do request: dial tcp 127.0.0.1:40301: connect: connection refused",
            "permission denied while trying to connect to the Docker daemon socket",
            'ERROR: exec: "docker-credential-x": executable file not found in $PATH',
            'context "x": context not found: open /home/me/.docker/x: no such file or directory',
        ],
    )
    def test_a_registry_that_does_not_answer(self, project: Project, words: str) -> None:
        (project.bin / "missing").write_text(f"{words}\n")
        code, said, error = project.run("published", self.IMAGE, "abc")
        assert (code, said) == (3, "")
        assert error == f"release.py: docker: {words.removeprefix('ERROR: ')}\n"


class TestPromote:
    IMAGES = ("registry.test/acme/shop-api", "registry.test/acme/shop-web")

    def test_all_images_move_all_tags(self, project: Project) -> None:
        project.tag("v1.2.3", "v1.2.4", "v2.0.0")
        for image in self.IMAGES:
            project.image(f"{image}:1.2.4", "abc")
        code, said, error = project.run("promote", "v1.2.4", *self.IMAGES)
        assert (code, error) == (0, "")
        assert said.splitlines() == [f"{image}: 1.2, 1 -> 1.2.4" for image in self.IMAGES]
        assert [line for line in project.asked() if "create" in line] == [
            f"buildx imagetools create --tag={image}:1.2 --tag={image}:1 {image}:1.2.4"
            for image in self.IMAGES
        ]

    @pytest.mark.parametrize("tag", ["v1.2.3", "v2.1.0-rc.1"])
    def test_nothing_to_move(self, project: Project, tag: str) -> None:
        project.tag("v1.2.3", "v1.2.4", "v2.0.0", "v2.1.0-rc.1")
        assert project.run("promote", tag, *self.IMAGES) == (0, f"{tag[1:]} moves no tag\n", "")
        assert project.asked() == []

    def test_an_image_that_is_missing_moves_none(self, project: Project) -> None:
        project.tag("v1.2.3")
        project.image(f"{self.IMAGES[0]}:1.2.3", "abc")
        code, said, error = project.run("promote", "v1.2.3", *self.IMAGES)
        assert (code, said) == (1, "")
        assert f"{self.IMAGES[1]}:1.2.3 is not in the registry" in error
        assert not [line for line in project.asked() if "create" in line]


class TestDigests:
    IMAGES = TestPromote.IMAGES

    def test_of_a_release(self, project: Project) -> None:
        for image in self.IMAGES:
            project.image(f"{image}:1.2.3", "abc")
        found = [f"{image}@sha256:{re.sub('[/:]', '_', image)}_1.2.3" for image in self.IMAGES]
        expected = (0, f"digests={' '.join(found)}\n", "")
        assert project.run("digests", "1.2.3", "abc", *self.IMAGES) == expected

    def test_an_image_that_is_missing(self, project: Project) -> None:
        project.image(f"{self.IMAGES[0]}:1.2.3", "abc")
        code, said, error = project.run("digests", "1.2.3", "abc", *self.IMAGES)
        assert (code, said) == (1, "")
        assert f"{self.IMAGES[1]}:1.2.3 is not in the registry: release it first" in error

    def test_built_from_another_commit(self, project: Project) -> None:
        project.image(f"{self.IMAGES[0]}:1.2.3", "def")
        code, said, _ = project.run("digests", "1.2.3", "abc", *self.IMAGES)
        assert (code, said) == (1, "")


SPDX = {"spdxVersion": "SPDX-2.3", "packages": []}


class TestSbom:
    IMAGE = "registry.test/acme/shop-api:1.2.3"

    @pytest.mark.parametrize("platforms", [("",), ("linux/amd64", "linux/arm64")])
    def test_of_the_first_platform(self, project: Project, platforms: tuple[str, ...]) -> None:
        one = {"SPDX": SPDX}
        found = {name: one for name in platforms} if len(platforms) > 1 else one
        (project.bin / re.sub("[/:]", "_", self.IMAGE)).write_text(json.dumps(found))
        code, said, error = project.run("sbom", self.IMAGE)
        assert (code, json.loads(said), error) == (0, SPDX, "")

    @pytest.mark.parametrize("found", ["null", "{}", '{"SPDX": null}'])
    def test_an_image_without_one(self, project: Project, found: str) -> None:
        (project.bin / re.sub("[/:]", "_", self.IMAGE)).write_text(found)
        code, said, error = project.run("sbom", self.IMAGE)
        assert (code, said) == (1, "")
        assert f"{self.IMAGE} has no SBOM" in error

    def test_an_image_that_is_missing(self, project: Project) -> None:
        assert project.run("sbom", self.IMAGE)[:2] == (3, "")


@pytest.mark.parametrize("args", [[], ["tga", "v1.0.0"], ["tag"], ["promote", "v1.0.0"]])
def test_a_wrong_command_line(project: Project, args: list[str]) -> None:
    code, said, error = project.run(*args)
    assert (code, said) == (2, "")
    assert error.startswith("usage: release.py")


def test_help_explains_the_floating_tags(project: Project) -> None:
    code, said, _ = project.run("--help")
    assert code == 0
    for word in ("published", "promote", "latest", "3 git"):
        assert word in said
