#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Check a release tag, move the floating image tags to a release, and print its digests and SBOMs.

A release tag is vMAJOR.MINOR.PATCH or vMAJOR.MINOR.PATCH-PRERELEASE. The images of a release are tagged
with its version, and this tag never moves. The floating tags `latest`, MAJOR.MINOR and MAJOR (from 1
on) move to a newer release, never to an older one. A pre-release moves no tag; v1.2.4 after v2.0.0
moves only 1.2 and 1. Exit codes: 0 success, 1 refused, 2 usage error, 3 git, docker or the registry
failed.
"""

from __future__ import annotations

import sys

# This folder last, because it may contain a module of yours with the name of another, such as types.py.
# With PYTHONSAFEPATH, Python leaves the folder out.
sys.path = [*sys.path[not sys.flags.safe_path :], __file__.rpartition("/")[0]]

import argparse
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: A `v`, then a version of Semantic Versioning 2.0.0 without build metadata.
NUMBER = "0|[1-9][0-9]*"
TAG = re.compile(
    rf"v(?P<major>{NUMBER})\.(?P<minor>{NUMBER})\.(?P<patch>{NUMBER})"
    rf"(-(?P<prerelease>(?:{NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
    rf"(\.(?:{NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
)

#: The maximum length of an image tag.
MAX_TAG = 128

REVISION = "org.opencontainers.image.revision"

#: How registries report that an image does not exist.
ABSENT = re.compile(r": not found$|(name|manifest) unknown|\b404 ", re.IGNORECASE)

#: How registries refuse access. That says nothing about the image, except on registries that answer so
#: for an image that does not exist, and whose tokens cannot write without reading.
DENIED = re.compile(
    r"access denied|: denied|unauthorized|authorization failed|\b40[13] ", re.IGNORECASE
)
DENY_ABSENT = ("ghcr.io/",)


class RefusedError(Exception):
    """The request breaks a rule. The text is one line: the fact, the reason, the fix."""


class ToolError(Exception):
    """Git, docker or the registry failed. The text is one line."""


@dataclass(frozen=True)
class Release:
    """What a release tag stands for."""

    version: str  #: the tag of its images
    prerelease: bool
    floating: list[str]  #: the image tags that move to this release


def parsed(tag: str) -> re.Match[str]:
    """Parse a release tag.

    Raises:
        RefusedError: the tag is not a valid release tag.
    """
    found = TAG.fullmatch(tag)
    if not found:
        shown = tag if tag and tag.isprintable() else ascii(tag)
        raise RefusedError(f"{shown} is not a release tag: {hint(tag)}")
    length = len(tag) - 1  # without the `v`
    if length > MAX_TAG:
        raise RefusedError(
            f"{tag[:20]}… has {length} characters, but at most {MAX_TAG} are allowed: shorten it"
        )
    return found


def hint(tag: str) -> str:
    """Return what is wrong with an invalid release tag, and what to use instead."""
    before, plus, _ = tag.partition("+")
    if plus and TAG.fullmatch(before):
        return f"an image tag cannot contain '+'; use {before}"
    if TAG.fullmatch(f"v{tag}"):
        return f"use v{tag}"
    numbers = re.fullmatch(r"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(-[0-9A-Za-z.-]+)?", tag)
    if numbers:
        # A numeric identifier of a pre-release cannot have a leading zero either.
        rest = re.sub(r"(?<=[-.])0+(?=[0-9]+(\.|$))", "", numbers[4] or "")
        meant = "v" + ".".join(str(int(part or 0)) for part in numbers.group(1, 2, 3)) + rest
        if TAG.fullmatch(meant):
            what = "it needs three numbers" if numbers[3] is None else "a number has a leading zero"
            return f"{what}; use {meant}"
    return "use vMAJOR.MINOR.PATCH or vMAJOR.MINOR.PATCH-PRERELEASE, such as v1.2.3 or v1.2.3-rc.1"


def release(tag: str, tags: Iterable[str]) -> Release:
    """Return the release of a tag.

    Args:
        tag: the release tag.
        tags: all tags of the repository; those that are not release tags are ignored.

    Raises:
        RefusedError: the tag is not a release tag.
    """
    found = parsed(tag)
    version = tag.removeprefix("v")
    if found["prerelease"]:
        return Release(version, prerelease=True, floating=[])
    own = numbers(found)
    others = [
        numbers(other) for other in map(TAG.fullmatch, tags) if other and not other["prerelease"]
    ]
    # Each floating tag, with the start of the version that all its releases share.
    lines = {f"{own[0]}.{own[1]}": own[:2], f"{own[0]}": own[:1], "latest": ()}
    if own[0] == 0:  # Below 1.0.0, a minor version may be a breaking change.
        del lines["0"]
    floating = [
        name
        for name, line in lines.items()
        if own >= max((o for o in others if o[: len(line)] == line), default=own)
    ]
    return Release(version, prerelease=False, floating=floating)


def numbers(match: re.Match[str]) -> tuple[int, ...]:
    """Return the three numbers of a version."""
    return tuple(int(part) for part in match.group("major", "minor", "patch"))


def repository_tags() -> list[str]:
    """List the tags of this repository.

    Raises:
        ToolError: this is not a repository, or a shallow clone that may lack tags.
    """
    if run("git", "rev-parse", "--is-shallow-repository").strip() == "true":
        raise ToolError(
            "this clone is shallow and may lack newer tags: run git fetch --unshallow --tags "
            "(in a workflow: fetch-depth: 0)"
        )
    return run("git", "for-each-ref", "--format=%(refname:strip=2)", "refs/tags").splitlines()


def check_branch(tag: str, patterns: list[str]) -> None:
    """Check that a tag is on a branch from which releases are allowed.

    Args:
        tag: an existing tag.
        patterns: names of branches, such as `main` or `v*`. Slashes have no special meaning.

    Raises:
        RefusedError: the tag is on none of them.
        ToolError: git failed.
    """
    form = ("--contains", f"refs/tags/{tag}", "--format=%(refname)")
    found = run("git", "for-each-ref", *form, "refs/heads", "refs/remotes/origin").splitlines()
    names = [ref.removeprefix("refs/heads/").removeprefix("refs/remotes/origin/") for ref in found]
    if not any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
        allowed = " or ".join(patterns) or "no branch"
        raise RefusedError(
            f"{tag} is not on {allowed}: merge its commit and tag the next version, or allow its branch "
            "in the variable RELEASE_BRANCHES, such as: main v*"
        )


def run(*command: str) -> str:
    """Run a command in the project's folder and return its output.

    Raises:
        ToolError: the command failed; the text is its last line of output.
    """
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ToolError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no error message"]
        raise ToolError(f"{command[0]}: {lines[-1].removeprefix('ERROR: ')}")
    return done.stdout


def revisions(image: str) -> set[str] | None:
    """Return the commits from which an image in the registry was built, one for each platform.

    Returns:
        None if the image does not exist; an empty set if it has no label with its commit.

    Raises:
        RefusedError: the registry does not let this token read the image.
        ToolError: the registry did not answer.
    """
    command = ("docker", "buildx", "imagetools", "inspect", image, "--format", "{{json .Image}}")
    try:
        output = run(*command)
    except ToolError as error:
        if ABSENT.search(str(error)):
            return None
        if DENIED.search(str(error)):
            if image.startswith(DENY_ABSENT):
                return None
            raise RefusedError(
                f"the registry does not let this token read {image}, so the image may exist already: "
                "use a token that may read and write"
            ) from None
        raise
    return set(labels(json.loads(output), REVISION))


def labels(node: Any, name: str) -> Iterator[str]:
    """Yield the values of a label anywhere in the output of buildx, for one or several platforms."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield str(value)
            else:
                yield from labels(value, name)


def published(image: str, revision: str) -> bool:
    """Return whether the registry has the image, built from this commit.

    Raises:
        RefusedError: the registry has the image, but built from another commit.
    """
    found = revisions(image)
    if found is None:
        return False
    if found == {revision}:
        return True
    origin = " and ".join(sorted(found)) or "an unknown commit"
    raise RefusedError(
        f"{image} already exists, built from {origin}, not from {revision}: "
        "a released image never changes; tag the next version"
    )


def promote(tag: str, images: list[str]) -> None:
    """Move the floating tags of some images to a release.

    Raises:
        RefusedError: an image of this release is not in the registry; no tag has moved.
    """
    found = release(tag, repository_tags())
    if not found.floating:
        print(f"{found.version} moves no tag")
        return
    for image in images:
        if revisions(f"{image}:{found.version}") is None:
            raise RefusedError(f"{image}:{found.version} is not in the registry: build it first")
    for image in images:
        names = [f"--tag={image}:{name}" for name in found.floating]
        run("docker", "buildx", "imagetools", "create", *names, f"{image}:{found.version}")
        print(f"{image}: {', '.join(found.floating)} -> {found.version}")


def digests(version: str, revision: str, images: list[str]) -> list[str]:
    """Return the images of a release, each as IMAGE@DIGEST.

    Raises:
        RefusedError: an image is not in the registry, or was not built from this commit.
        ToolError: the registry did not answer.
    """
    found = []
    for image in images:
        if not published(f"{image}:{version}", revision):
            raise RefusedError(f"{image}:{version} is not in the registry: release it first")
        form = ("--format", "{{json .Manifest}}")
        manifest = run("docker", "buildx", "imagetools", "inspect", f"{image}:{version}", *form)
        found.append(f"{image}@{json.loads(manifest)['digest']}")
    return found


def sbom(image: str) -> Any:
    """Return the SBOM of an image in the registry, in the format SPDX.

    If the image has several platforms, this is the SBOM of the first: their packages hardly differ.

    Raises:
        RefusedError: the image has no SBOM.
        ToolError: the registry did not answer.
    """
    form = ("--format", "{{json .SBOM}}")
    found = json.loads(run("docker", "buildx", "imagetools", "inspect", image, *form)) or {}
    if "SPDX" not in found:
        found = found[min(found)] if found else {}
    if not found.get("SPDX"):
        raise RefusedError(f"{image} has no SBOM: build it with `sbom: true`")
    return found["SPDX"]


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    doc = (__doc__ or "").split("\n\n")
    top = argparse.ArgumentParser(description=doc[0], epilog=doc[1], allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("tag", help="check a tag, and print which image tags it moves")
    command.add_argument("tag", metavar="TAG")
    command.add_argument(
        "--branches",
        metavar="NAMES",
        help="refuse an existing tag that is on none of these branches; `v*` is a pattern",
    )
    command = commands.add_parser(
        "published", help="print whether the registry has an image, built from a commit"
    )
    command.add_argument("image", metavar="IMAGE:VERSION")
    command.add_argument("revision", metavar="COMMIT")
    command = commands.add_parser("promote", help="move the floating tags of images to a release")
    command.add_argument("tag", metavar="TAG")
    command.add_argument("images", metavar="IMAGE", nargs="+")
    command = commands.add_parser(
        "digests", help="print the images of a release with their digests, built from a commit"
    )
    command.add_argument("version", metavar="VERSION")
    command.add_argument("revision", metavar="COMMIT")
    command.add_argument("images", metavar="IMAGE", nargs="+")
    command = commands.add_parser("sbom", help="print the SBOM of an image in the format SPDX")
    command.add_argument("image", metavar="IMAGE:VERSION")
    return top


def main() -> int:
    """Run the command line."""
    options = parser().parse_args()
    try:
        if options.command == "tag":
            found = release(options.tag, repository_tags())
            if options.branches is not None:
                check_branch(options.tag, options.branches.split())
            print(f"version={found.version}")
            print(f"prerelease={str(found.prerelease).lower()}")
            print(f"floating={' '.join(found.floating)}")
        elif options.command == "published":
            exists = published(options.image, options.revision)
            print(f"published={str(exists).lower()}")
        elif options.command == "digests":
            print(f"digests={' '.join(digests(options.version, options.revision, options.images))}")
        elif options.command == "sbom":
            print(json.dumps(sbom(options.image)))
        else:
            promote(options.tag, options.images)
    except (RefusedError, ToolError) as error:
        # Forges show a line with this mark on the page of the run.
        mark = "::error::" if os.environ.get("GITHUB_ACTIONS") == "true" else "release.py: "
        print(f"{mark}{error}", file=sys.stderr)
        return 1 if isinstance(error, RefusedError) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
