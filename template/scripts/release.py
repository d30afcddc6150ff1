#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
# Kept by the template: copier update merges its changes into this file.
"""Decide about a release: what its tag means, and which of an image's tags move to it.

A release is a tag vMAJOR.MINOR.PATCH, or vMAJOR.MINOR.PATCH-PRERELEASE. Its images get its version
as a tag that never moves again; `latest`, MAJOR.MINOR and MAJOR (of 1 and later) follow the newest
release of their line, and only forwards: a pre-release moves nothing, and v1.2.4 after v2.0.0 moves
1.2 and 1. Exit codes: 0 done, 1 refused, 2 usage, 3 git, docker or the registry failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: Semantic Versioning 2.0.0 without build metadata, after a `v`.
NUMBER = "0|[1-9][0-9]*"
TAG = re.compile(
    rf"v(?P<major>{NUMBER})\.(?P<minor>{NUMBER})\.(?P<patch>{NUMBER})"
    rf"(-(?P<prerelease>(?:{NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
    rf"(\.(?:{NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
)

#: What an image's tag may have at most.
MAX_TAG = 128

REVISION = "org.opencontainers.image.revision"

#: How registries say that an image is not there: some deny what does not exist. Where it is the
#: login that they deny, the push of the image fails, and says so.
ABSENT = re.compile(
    r": not found$|(name|manifest) unknown|access denied|: denied|unauthorized|authorization failed"
    r"|\b40[134] ",
    re.IGNORECASE,
)


class Refusal(Exception):
    """What was asked for is no good. The text is one line: what, why, and a way out."""


class Trouble(Exception):
    """Git, docker or the registry failed. The text is one line."""


@dataclass(frozen=True)
class Release:
    """What a tag means."""

    version: str  #: of its images
    prerelease: bool
    floating: list[str]  #: the tags that move to it


def parsed(tag: str) -> re.Match[str]:
    """Take a release's tag apart.

    Raises:
        Refusal: it is none.
    """
    found = TAG.fullmatch(tag)
    if not found:
        shown = tag if tag and tag.isprintable() else ascii(tag)
        raise Refusal(f"{shown} is no version: {hint(tag)}")
    length = len(tag) - 1  # without the `v`
    if length > MAX_TAG:
        raise Refusal(f"{tag[:20]}… is {length} characters long, {MAX_TAG} at most: shorten it")
    return found


def hint(tag: str) -> str:
    """Say what is wrong with a tag that is no release's, and what to write instead."""
    before, plus, _ = tag.partition("+")
    if plus and TAG.fullmatch(before):
        return f"no tag of an image may hold a '+'; write {before}"
    if TAG.fullmatch(f"v{tag}"):
        return f"write v{tag}"
    numbers = re.fullmatch(r"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(-[0-9A-Za-z.-]+)?", tag)
    if numbers:
        # An identifier of digits has no leading zero in a pre-release either.
        rest = re.sub(r"(?<=[-.])0+(?=[0-9]+(\.|$))", "", numbers[4] or "")
        meant = "v" + ".".join(str(int(part or 0)) for part in numbers.group(1, 2, 3)) + rest
        if TAG.fullmatch(meant):
            what = "it needs three numbers" if numbers[3] is None else "a number has a leading zero"
            return f"{what}; write {meant}"
    return (
        "write vMAJOR.MINOR.PATCH or vMAJOR.MINOR.PATCH-PRERELEASE, such as v1.2.3 or v1.2.3-rc.1"
    )


def release(tag: str, tags: Iterable[str]) -> Release:
    """Tell what a tag means among all tags of its repository, of which some are no versions.

    Raises:
        Refusal: it is no version itself.
    """
    found = parsed(tag)
    version = tag.removeprefix("v")
    if found["prerelease"]:
        return Release(version, prerelease=True, floating=[])
    own = numbers(found)
    others = [
        numbers(other) for other in map(TAG.fullmatch, tags) if other and not other["prerelease"]
    ]
    # What a floating tag stands for is how much of the version it shares.
    lines = {f"{own[0]}.{own[1]}": own[:2], f"{own[0]}": own[:1], "latest": ()}
    if own[0] == 0:  # Below 1.0.0, every minor version may break what the one before it had.
        del lines["0"]
    floating = [
        name
        for name, line in lines.items()
        if own >= max((o for o in others if o[: len(line)] == line), default=own)
    ]
    return Release(version, prerelease=False, floating=floating)


def numbers(match: re.Match[str]) -> tuple[int, ...]:
    """Return a version's three numbers."""
    return tuple(int(part) for part in match.group("major", "minor", "patch"))


def repository_tags() -> list[str]:
    """List the tags of this repository.

    Raises:
        Trouble: it is none, or a clone that may lack some of them.
    """
    if run("git", "rev-parse", "--is-shallow-repository").strip() == "true":
        raise Trouble(
            "this clone is shallow, and may lack newer tags: git fetch --unshallow --tags "
            "(in a workflow: fetch-depth: 0)"
        )
    return run("git", "for-each-ref", "--format=%(refname:strip=2)", "refs/tags").splitlines()


def run(*command: str) -> str:
    """Run a command in the project's folder and return what it prints.

    Raises:
        Trouble: it failed; the text is its last line.
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
        raise Trouble(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["it did not say why"]
        raise Trouble(f"{command[0]}: {told[-1].removeprefix('ERROR: ')}")
    return done.stdout


def revisions(image: str) -> set[str] | None:
    """Return the commits that an image in its registry was built from, one for each platform.

    Returns:
        None where there is no such image; an empty set where it does not say.

    Raises:
        Trouble: the registry did not answer.
    """
    command = ("docker", "buildx", "imagetools", "inspect", image, "--format", "{{json .Image}}")
    try:
        said = run(*command)
    except Trouble as trouble:
        if ABSENT.search(str(trouble)):
            return None
        raise
    return set(labels(json.loads(said), REVISION))


def labels(node: Any, name: str) -> Iterator[str]:
    """Find a label, wherever it is in what buildx tells of an image of one platform or of many."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield str(value)
            else:
                yield from labels(value, name)


def published(image: str, revision: str) -> bool:
    """Tell whether an image of this commit is in its registry already.

    Raises:
        Refusal: it is there, built from another commit.
    """
    found = revisions(image)
    if found is None:
        return False
    if found == {revision}:
        return True
    whose = " and ".join(sorted(found)) or "a commit that it does not name"
    raise Refusal(
        f"{image} is there already, built from {whose}, not from {revision}: "
        "what is released does not change; tag the next version"
    )


def promote(tag: str, images: list[str]) -> None:
    """Move the floating tags of some images to a release, once all of them are there.

    Raises:
        Refusal: an image of this version is missing; then nothing has moved.
    """
    meant = release(tag, repository_tags())
    if not meant.floating:
        print(f"{meant.version} moves no tag")
        return
    for image in images:
        if revisions(f"{image}:{meant.version}") is None:
            raise Refusal(f"{image}:{meant.version} is not in the registry: build it first")
    for image in images:
        names = [f"--tag={image}:{name}" for name in meant.floating]
        run("docker", "buildx", "imagetools", "create", *names, f"{image}:{meant.version}")
        print(f"{image}: {', '.join(meant.floating)} -> {meant.version}")


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    doc = (__doc__ or "").split("\n\n")
    top = argparse.ArgumentParser(description=doc[0], epilog=doc[1], allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("tag", help="say what a tag means, or would mean")
    command.add_argument("tag", metavar="TAG")
    command = commands.add_parser(
        "published", help="say whether an image of a commit is in its registry"
    )
    command.add_argument("image", metavar="IMAGE:VERSION")
    command.add_argument("revision", metavar="COMMIT")
    command = commands.add_parser("promote", help="move the floating tags of images to a release")
    command.add_argument("tag", metavar="TAG")
    command.add_argument("images", metavar="IMAGE", nargs="+")
    return top


def main() -> int:
    """Run the command line."""
    options = parser().parse_args()
    try:
        if options.command == "tag":
            meant = release(options.tag, repository_tags())
            print(f"version={meant.version}")
            print(f"prerelease={str(meant.prerelease).lower()}")
            print(f"floating={' '.join(meant.floating)}")
        elif options.command == "published":
            there = published(options.image, options.revision)
            print(f"published={str(there).lower()}")
        else:
            promote(options.tag, options.images)
    except (Refusal, Trouble) as error:
        # Forges show such a line on the page of the run.
        mark = "::error::" if os.environ.get("GITHUB_ACTIONS") == "true" else "release.py: "
        print(f"{mark}{error}", file=sys.stderr)
        return 1 if isinstance(error, Refusal) else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
