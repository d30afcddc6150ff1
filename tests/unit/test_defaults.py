"""The defaults that come from the destination: its folder's name and its repository's remote."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extensions import defaults, rules


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("shop-backend", "Shop Backend"),
        ("shop_backend", "Shop Backend"),
        ("ShopBackend", "ShopBackend"),
        ("--a--b--", "A B"),
        (".dotfiles", "Dotfiles"),
        ("v2.0", "V2.0"),
        ("münchen", "München"),
        ("متجر", "متجر"),
        ("a\nb\x1b", "A B"),
        ("a\udcff", "A"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
        ("🚀", "My Project"),
        ("...", "My Project"),
        ("", "My Project"),
    ],
)
def test_a_folder_has_a_project_name(folder: str, name: str) -> None:
    assert defaults.project_name(folder) == name


@given(st.text(st.characters(exclude_characters="/\0")))
def test_every_folder_has_a_valid_project_name(
    folder: str,
) -> None:
    rules.check_text("project_name", defaults.project_name(folder), required=True)


@pytest.mark.parametrize(
    ("address", "host", "owner"),
    [
        ("git@github.com:Owner/repo.git", "github.com", "owner"),
        ("github.com:Owner/repo.git", "github.com", "owner"),
        ("https://github.com/Owner/repo", "github.com", "owner"),
        ("https://user:secret@GitHub.com/owner/repo.git/", "github.com", "owner"),
        ("ssh://git@github.com:22/owner/repo.git", "github.com", "owner"),
        ("ssh://git@gitea.acme.dev:2222/owner/repo.git", "gitea.acme.dev", "owner"),
        ("https://gitea.acme.dev:3000/owner/repo.git", "gitea.acme.dev:3000", "owner"),
        ("https://acme.dev/gitea/owner/repo.git", "acme.dev", "owner"),
    ],
)
def test_an_address_with_a_host_and_an_owner_is_parsed(address: str, host: str, owner: str) -> None:
    assert defaults.parse_remote(address) == defaults.Remote(host, owner)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/srv/git/owner/repo.git",
        "../owner/repo.git",
        "file:///srv/git/owner/repo.git",
        "C:\\git\\owner\\repo",
        "C:/git/owner/repo",
        "git@work:owner/repo.git",
        "https://github.com/repo.git",
        "https://github.com",
        "https://github.com:port/owner/repo.git",
        "https://[broken/owner/repo.git",
    ],
)
def test_other_addresses_are_ignored(address: str) -> None:
    assert defaults.parse_remote(address) is None


@pytest.mark.parametrize(
    ("address", "forge", "registries"),
    [
        (
            "git@github.com:Some-Owner/repo.git",
            "github",
            {
                "github": "ghcr.io/some-owner",
                "gitea": "gitea.example.com/my-org",
                "both": "ghcr.io/some-owner",
            },
        ),
        (
            "https://forgejo.acme.dev:3000/Team/repo.git",
            "gitea",
            {
                "github": "ghcr.io/my-org",
                "gitea": "forgejo.acme.dev:3000/team",
                "both": "forgejo.acme.dev:3000/team",
            },
        ),
        ("git@codeberg.org:team/repo.git", "gitea", {"gitea": "codeberg.org/team"}),
        # It is unknown what this host runs, so it is only used if Gitea is chosen.
        (
            "git@git.acme.dev:team/repo.git",
            "github",
            {"github": "ghcr.io/my-org", "gitea": "git.acme.dev/team", "both": "ghcr.io/my-org"},
        ),
        # An owner that no image name can have.
        ("git@github.com:-owner-/repo.git", "github", {"github": "ghcr.io/my-org"}),
        ("", "github", {"github": "ghcr.io/my-org", "gitea": "gitea.example.com/my-org"}),
    ],
)
def test_a_remote_decides_the_forge_and_the_registry(
    address: str,
    forge: str,
    registries: dict[str, str],
) -> None:
    remote = defaults.parse_remote(address)
    assert defaults.default_forge(remote) == forge
    for chosen, registry in registries.items():
        assert defaults.default_registry(remote, chosen) == registry
        rules.check_registry(registry)


@pytest.mark.parametrize(
    ("name", "temporary"),
    [
        ("copier._main.old_copy.abc123", True),
        ("template-ab_12x9z", True),
        ("template-engine", False),
        ("copier", False),
    ],
)
def test_a_temporary_folder_does_not_name_the_project(
    name: str, temporary: bool, tmp_path: Path
) -> None:
    assert (defaults.name_of(tmp_path / name) == "My Project") == temporary


def generate(template: Path, destination: Path | str, **data: str) -> dict[str, Any]:
    """Generate a small project with all defaults. Return the answers that it remembers."""
    copier.run_copy(
        str(template),
        destination,
        data={"layout": "single", "service_kind": "custom"} | data,
        defaults=True,
        overwrite=True,
        quiet=True,
        skip_tasks=True,
        unsafe=True,
    )
    found = yaml.safe_load((Path(destination) / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_copier_uses_the_defaults(
    template_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "shop-backend"
    project.mkdir()
    monkeypatch.chdir(project)
    subprocess.run(["git", "init", "--quiet"], check=True)
    origin = "https://codeberg.org/Team/shop.git"
    subprocess.run(["git", "remote", "add", "origin", origin], check=True)
    answers = generate(template_copy, ".")
    assert answers["project_name"] == "Shop Backend"
    assert answers["project_slug"] == "shop-backend"
    assert answers["forge"] == "gitea"
    assert answers["registry"] == "codeberg.org/team"

    # A stored answer takes precedence over a default, and the command line over both.
    subprocess.run(["git", "remote", "remove", "origin"], check=True)
    renamed = project.rename(tmp_path / "other")
    answers = generate(template_copy, renamed, registry="localhost:5000")
    assert answers["project_name"] == "Shop Backend"
    assert answers["forge"] == "gitea"
    assert answers["registry"] == "localhost:5000"
