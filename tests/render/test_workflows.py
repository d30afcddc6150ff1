"""The workflows of both forges are the same, complete and safe, and pass their linters."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator

from . import pairwise
from .conftest import Project
from .test_files import ROOT, program, run

FORGES = {"github": [".github"], "gitea": [".gitea"], "both": [".gitea", ".github"]}


@pytest.fixture(scope="session")
def schema() -> Draft7Validator:
    """Return the JSON schema of workflows."""
    return Draft7Validator(get_builtin_schema("vendor.github-workflows"))


def workflows(root: Path) -> list[Path]:
    return sorted(root.glob(".g*/workflows/*.yml"))


def lint(root: Path, names: list[str], schema: Draft7Validator) -> Iterator[str]:
    """Yield the problems that the linters of workflows report."""
    # zizmor and actionlint recognize a workflow by the path of its folder.
    shellcheck = f"-shellcheck={program('shellcheck')}"
    yield from run("actionlint", "-no-color", shellcheck, *names, cwd=root)
    yield from run("zizmor", "--offline", "--quiet", "--persona=auditor", *names, cwd=root)
    for name in names:
        # YAML 1.1 reads the key `on` as a boolean.
        found = yaml.load((root / name).read_text(encoding="utf-8"), yaml.CBaseLoader)
        errors = schema.iter_errors(typed(found))
        yield from (f"{name}: {error.json_path}: {error.message}" for error in errors)


def typed(node: Any) -> Any:
    """Convert numbers and booleans, because the YAML was read as text."""
    if isinstance(node, dict):
        return {key: typed(value) for key, value in node.items()}
    if isinstance(node, list):
        return [typed(value) for value in node]
    if node in ("true", "false"):
        return node == "true"
    return int(node) if re.fullmatch("[0-9]+", node) else node or None


@pytest.mark.programs
def test_every_workflow_passes_the_linters(
    project: Project, schema: Draft7Validator, first: Callable[[str], bool]
) -> None:
    new = []
    for path in workflows(project.root):
        # Image names differ between projects, but no linter checks them.
        text = path.read_text(encoding="utf-8")
        for answer, default in (("registry", ""), ("project_slug", "my-project")):
            value = project.answers.get(answer, default)
            text = text.replace(f"{value}/", "IMAGE/").replace(f"/{value}", "/IMAGE")
        if first(text):
            new.append(path.relative_to(project.root).as_posix())
    if new:
        project.check(list(lint(project.root, new, schema)))


@pytest.mark.programs
@pytest.mark.parametrize(
    ("pattern", "text", "problem"),
    [
        (r"          persist-credentials: false\n", "", "artipacked"),
        (r"checkout@\S+ # v\S+", "checkout@v7", "unpinned-uses"),
        (r"enable-cache: false", "enable-cache: true", "cache-poisoning"),
        (r'"\$IMAGE:\$VERSION" "\$GITHUB_SHA"', "${{ matrix.service }}", "template-injection"),
        (r"needs: \[test, build\]$", "needs: [test, biuld]", "biuld"),
        (r"runs-on: ubuntu-latest", "run-on: ubuntu-latest", "run-on"),
        (r"timeout-minutes: 60", "timeout-minutes: long", "timeout-minutes"),
        (r'>> "\$GITHUB_OUTPUT"', ">> $GITHUB_OUTPUT", "SC2086"),
    ],
)
def test_a_bad_workflow_is_found(
    render: Callable[..., Path], schema: Draft7Validator, tmp_path: Path, pattern: str, text: str,
    problem: str,
) -> None:  # fmt: skip
    found = (render({}) / ".github/workflows/release.yml").read_text()
    bad = re.sub(pattern, lambda _: text, found, count=1, flags=re.MULTILINE)
    assert bad != found
    name = ".github/workflows/release.yml"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(bad)
    (tmp_path / ".git").mkdir()
    assert re.search(problem, "\n".join(lint(tmp_path, [name], schema)))


def test_the_forge_decides_where_workflows_are(project: Project) -> None:
    folders = FORGES[project.answers.get("forge", "github")]
    found = [path.relative_to(project.root).as_posix() for path in workflows(project.root)]
    names = ("ci", "deploy", "release", "template-update")
    assert found == [f"{folder}/workflows/{name}.yml" for folder in folders for name in names]


#: The lines about signatures without a key, which only GitHub supports.
SIGNING = re.compile(
    r"id-token: write|KEYLESS|by=identity|is not signed|certificate|^ +(workflow|issuer)="
)


@pytest.mark.parametrize("layout", ["multi", "single"])
@pytest.mark.parametrize("registry", ["ghcr.io/my-org", "registry.example.com:5000/my-org"])
def test_both_forges_have_the_same_workflows(
    render: Callable[..., Path], layout: str, registry: str
) -> None:
    """Only the tokens differ: GitHub's may push to GitHub's registry, and sign without a key."""
    root = render({"layout": layout, "forge": "both", "registry": registry})
    password = "password: ${{ secrets.REGISTRY_TOKEN || secrets.GITHUB_TOKEN }}"
    packages = [
        f"packages: {access}"
        for access in (
            "write # to push the image",
            "write # to move the tags",
            "read # to read the images",
        )
    ]
    needs = {
        "release.yml": [line for package in packages for line in (package, password)],
        "deploy.yml": [packages[2], password],
    }
    for name in ("ci.yml", "deploy.yml", "release.yml", "template-update.yml"):
        github, gitea = (
            (root / folder / "workflows" / name).read_text().splitlines()
            for folder in (".github", ".gitea")
        )
        only_github, only_gitea = (
            [line.strip() for line in these if line not in others and not SIGNING.search(line)]
            for these, others in ((github, gitea), (gitea, github))
        )
        if name not in needs or not registry.startswith("ghcr.io/"):
            assert only_github == only_gitea == []
            continue
        assert only_github == needs[name]
        assert only_gitea[-1] == "password: ${{ secrets.REGISTRY_TOKEN }}"
        assert (only_gitea[0] == "- name: Require the registry's token") == (name == "release.yml")
    for folder in (".github", ".gitea"):
        text = (root / folder / "workflows/release.yml").read_text()
        own = folder == ".github" and registry.startswith("ghcr.io/")
        assert ("GITHUB_TOKEN" in text) == own
        assert ("packages: write" in text) == own


@pytest.mark.parametrize("layout", ["multi", "single"])
def test_a_deploy_runs_the_code_of_its_branch(render: Callable[..., Path], layout: str) -> None:
    """A tag may be on a branch without a review, and the version may contain anything."""
    root = render({"layout": layout, "forge": "both"})
    for folder in (".github", ".gitea"):
        deploy = yaml.safe_load((root / folder / "workflows/deploy.yml").read_text())
        steps = deploy["jobs"]["deploy"]["steps"]
        assert "ref" not in steps[0]["with"]
        # A rollback has no version. Otherwise, the tag is checked before anything else reads it.
        [checked] = [step for step in steps if step.get("if") == "${{ !inputs.rollback }}"]
        assert checked["run"].startswith(
            'scripts/release.py tag "v$VERSION" --branches "$BRANCHES"\n'
        )
        for step in steps:
            assert "inputs.version" not in step.get("run", "")
            assert "make " not in step.get("run", "")  # make expands $(shell …) in a version


def test_uv_has_the_version_of_the_images(render: Callable[..., Path]) -> None:
    root = render({"forge": "both", "services": "api, frontend"})
    found = [
        step["with"]["version"]
        for path in workflows(root)
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("astral-sh/setup-uv@")
    ]
    [version] = set(found)
    image = f"ghcr.io/astral-sh/uv:{version.removesuffix('.x')} "
    assert image in (root / "services/api/Dockerfile").read_text()


def test_an_action_has_one_version_everywhere(render: Callable[..., Path]) -> None:
    """Check a project's workflows and our own, which Renovate updates first."""
    pins: dict[str, set[str]] = {}
    paths = workflows(ROOT)
    for answers in ({"forge": "both"}, {"layout": "single", "service_kind": "node-web"}):
        paths += workflows(render(answers))
    for path in paths:
        for action, pin in re.findall(r"uses: ([\w/-]+)@(\w+ # \S+)", path.read_text()):
            pins.setdefault(action, set()).add(pin)
    assert len(pins) == 8
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}
    for found in pins.values():
        assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", found.pop())


@pytest.mark.parametrize(
    ("results", "passes"),
    [
        ("success", True),
        ("success success", True),
        ("success skipped success", True),
        ("skipped", True),
        ("", False),
        ("failure", False),
        ("success failure skipped", False),
        ("cancelled", False),
        ("success cancelled", False),
        ("success  success", False),
        ("success unknown", False),
        ("success successful", False),
    ],
)
def test_the_gate(render: Callable[..., Path], results: str, passes: bool) -> None:
    jobs = yaml.safe_load((render({}) / ".github/workflows/ci.yml").read_text())["jobs"]
    (step,) = jobs["gate"]["steps"]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(command, env={"RESULTS": results}, capture_output=True)
    assert (done.returncode == 0) == passes


@pytest.mark.programs
@pytest.mark.parametrize("layout", ["multi", "single"])
@pytest.mark.parametrize("forge", ["github", "gitea"])
def test_a_second_architecture_can_be_enabled(
    render: Callable[..., Path], schema: Draft7Validator, tmp_path: Path, layout: str, forge: str
) -> None:
    root = render({"layout": layout, "forge": forge})
    name = f".{forge}/workflows/release.yml"
    text = (root / name).read_text()
    on = re.sub(r"# (- uses: docker/setup-qemu|  with:|    cache-image:|platforms: )", r"\1", text)
    assert len(on) == len(text) - 8
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(on)
    (tmp_path / ".git").mkdir()
    assert list(lint(tmp_path, [name], schema)) == []
    build = yaml.safe_load(on)["jobs"]["build"]["steps"]
    uses = [step["uses"].split("@")[0] for step in build if "uses" in step]
    assert uses.index("docker/setup-qemu-action") < uses.index("docker/setup-buildx-action")
    (push,) = (step for step in build if step.get("id") == "build")
    assert push["with"]["platforms"] == "linux/amd64,linux/arm64"
    # A release must not use a cache, because another job may have written to it.
    assert "cache-image: false" in on


def test_renovate_is_configured(render: Callable[..., Path]) -> None:
    found = json.loads((render({}) / "renovate.json").read_text())
    schema = get_builtin_schema("vendor.renovate")
    assert [error.message for error in Draft7Validator(schema).iter_errors(found)] == []
    groups = {
        manager: rule["groupName"]
        for rule in found["packageRules"]
        for manager in rule.get("matchManagers", [])
        if manager != "copier"
    }
    [copier] = [rule for rule in found["packageRules"] if "copier" in rule.get("matchManagers", [])]
    assert copier["enabled"] is False
    assert set(groups) == {"github-actions", "dockerfile", "docker-compose", "pep621", "npm"}
    assert found["minimumReleaseAge"] == "7 days"
    # The preset ignores every folder called test or tests.
    assert found["ignorePaths"] == ["**/node_modules/**", "scripts/**"]


def test_renovate_also_updates_the_template() -> None:
    """Renovate only reads files that match the patterns of its managers."""
    config = json.loads((ROOT / ".github/renovate.json").read_text())
    pins = {
        "github-actions": re.compile(r"(?m)^ +(- )?uses: [\w/-]+@[0-9a-f]{40}"),
        "pep723": re.compile(r'(?m)^# dependencies = \[$|^# dependencies = \["'),
        "dockerfile": re.compile(r"(?m)^FROM [\w./-]+:\d"),
    }
    for manager, pin in pins.items():
        patterns = [pattern.strip("/") for pattern in config[manager]["managerFilePatterns"]]
        for folder in ("includes", "migrations", "template"):
            for path in (ROOT / folder).rglob("*"):
                name = path.relative_to(ROOT).as_posix()
                if path.is_file() and "__pycache__" not in name and pin.search(path.read_text()):
                    assert any(re.search(one, name) for one in patterns), (manager, name)


def test_the_workflow_in_the_docs_is_valid(schema: Draft7Validator, tmp_path: Path) -> None:
    page = (ROOT / "docs/ci.md").read_text()
    (shown,) = re.findall(r"<!-- renovate-workflow -->\n```yaml\n(.*?)```\n", page, re.DOTALL)
    name = ".gitea/workflows/renovate.yml"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(shown)
    assert list(lint(tmp_path, [name], schema)) == []


def test_the_answers_of_the_pairs_include_every_forge() -> None:
    assert {answers.get("forge") for answers in pairwise.pairwise().values()} == set(FORGES)


def release(root: Path, folder: str) -> dict[str, Any]:
    """Return the jobs of a rendered release.yml."""
    text = (root / folder / "workflows/release.yml").read_text()
    jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return jobs


@pytest.mark.parametrize("layout", ["multi", "single"])
@pytest.mark.parametrize("folder", [".github", ".gitea"])
def test_an_image_is_signed_by_its_digest_before_it_has_a_tag(
    render: Callable[..., Path], layout: str, folder: str
) -> None:
    build = release(render({"layout": layout, "forge": "both"}), folder)["build"]
    steps = {step.get("name", step.get("uses", "").split("@")[0]): step for step in build["steps"]}
    names = list(steps)
    sign, tag = steps["Sign the image, its SBOM and its provenance"], steps["Tag the image"]
    order = ["Build and push", "sigstore/cosign-installer", sign["name"], tag["name"]]
    assert sorted(order, key=names.index) == order
    pushed = steps["Build and push"]["with"]
    assert "push-by-digest=true" in pushed["outputs"]
    assert pushed["tags"] == "${{ env.IMAGE }}"
    assert "push" not in pushed
    assert ":" not in build["env"]["IMAGE"].partition("/")[2].replace("${{ matrix.service }}", "")
    for step in (sign, tag):
        assert step["env"]["DIGEST"] == "${{ steps.build.outputs.digest }}"
        assert '"$IMAGE@$DIGEST"' in step["run"]
    assert "cosign sign --yes --recursive" in sign["run"]


@pytest.mark.parametrize("registry", ["ghcr.io/my-org", "registry.example.com/my-org"])
def test_only_the_job_that_signs_gets_an_identity(
    render: Callable[..., Path], registry: str
) -> None:
    root = render({"forge": "both", "registry": registry})
    found = {
        (path.relative_to(root).as_posix(), name)
        for path in workflows(root)
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
        if "id-token" in job.get("permissions", {})
    }
    assert found == {(".github/workflows/release.yml", "build")}


def test_only_the_step_that_signs_gets_the_key(render: Callable[..., Path]) -> None:
    root = render({"forge": "both"})
    for path in workflows(root):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                used = re.findall(r"\{\{ (secrets\.COSIGN_[^}]*) \}\}", json.dumps(step))
                if used and step["name"] != "Sign the image, its SBOM and its provenance":
                    assert used == ["secrets.COSIGN_PRIVATE_KEY != ''"]


@pytest.mark.parametrize("name", ["deploy.yml", "release.yml"])
@pytest.mark.parametrize("folder", [".github", ".gitea"])
def test_a_deploy_verifies_the_signatures_of_the_digests(
    render: Callable[..., Path], tmp_path: Path, name: str, folder: str
) -> None:
    root = render({"forge": "both"})
    jobs = yaml.safe_load((root / folder / "workflows" / name).read_text())["jobs"]
    steps = {step.get("name"): step for step in jobs["deploy"]["steps"]}
    verify = steps["Verify the signatures"]
    assert verify["env"]["DIGESTS"] == "${{ steps.release.outputs.digests }}"
    names = list(steps)
    last = next(step for step in names if step and step.startswith("Deploy"))
    assert names.index("Verify the signatures") < names.index(last)

    (tmp_path / "cosign").write_text(
        '#!/bin/sh\necho "$@" >> calls\ncase $* in *bad*) exit 1 ;; esac\n'
    )
    (tmp_path / "git").write_text("#!/bin/sh\necho 0a1b\n")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/release.py").write_text(
        '#!/bin/sh\n[ "$2" != unknown ] && [ "$2" != vunknown ] || exit 1\n'
        "[ $1 = tag ] || echo digests=a@1\n"
    )
    for fake in ("cosign", "git", "scripts/release.py"):
        (tmp_path / fake).chmod(0o755)
    (tmp_path / "deploy/prod").mkdir(parents=True)

    def run(step: str, **env: str) -> tuple[int, str]:
        command = ["bash", "--noprofile", "--norc", "-e", "-c", steps[step]["run"]]
        settings = {
            "GITHUB_OUTPUT": "output",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "acme/shop",
            "PATH": f"{tmp_path}:/usr/bin:/bin",
        }
        (tmp_path / "output").write_text("")
        done = subprocess.run(command, cwd=tmp_path, env=settings | env, capture_output=True)
        return done.returncode, (tmp_path / "output").read_text()

    def found(version: str = "1.2.3", **env: str) -> tuple[int, str]:
        step = "Find the images of the release, and how they are signed"
        return run(step, VERSION=version, BRANCHES="main", **env)

    digests = "digests=a@1\n"
    assert found(KEYLESS="false") == (0, digests)
    assert found("unknown", KEYLESS="true") == (1, "")
    identity = (
        "options=--certificate-identity=https://github.com/acme/shop/.github/workflows/release.yml"
        "@refs/tags/v1.2.3 --certificate-oidc-issuer=https://token.actions.githubusercontent.com\n"
    )
    expected = identity if folder == ".github" else ""
    assert found(KEYLESS="true") == (0, digests + expected)
    (tmp_path / "deploy/prod/cosign.pub").touch()
    options = "--key=deploy/prod/cosign.pub --insecure-ignore-tlog"
    assert found(KEYLESS="true") == (0, f"{digests}options={options}\n")

    assert run("Verify the signatures", OPTIONS=options, DIGESTS="a@1 b@2")[0] == 0
    assert (tmp_path / "calls").read_text() == f"verify {options} a@1\nverify {options} b@2\n"
    assert run("Verify the signatures", OPTIONS=options, DIGESTS="bad@1 b@2")[0] == 1


@pytest.mark.parametrize(
    ("fail_on", "code", "said"),
    [("", 0, "::warning::the scan has no result: bad"), ("high", 1, "::error::"), ("", 0, "")],
)
def test_a_scan_only_reports_unless_it_is_told_to_stop(
    render: Callable[..., Path], tmp_path: Path, fail_on: str, code: int, said: str
) -> None:
    steps = release(render({"services": "api, worker"}), ".github")["promote"]["steps"]
    names = [step.get("name", "") for step in steps]
    (scan,) = (step for step in steps if step.get("name", "").startswith("Scan"))
    assert names.index(scan["name"]) < names.index("Move the floating tags")
    text = scan["run"].replace("ghcr.io/my-org/my-project-api", "bad" if said else "good")
    (tmp_path / "scripts").mkdir()
    programs = {
        "scripts/release.py": '#!/bin/sh\necho "SBOM of $2"\n',
        "docker": '#!/bin/sh\necho "$@" >> calls\nread -r sbom\necho "found in $sbom"\n'
        "case $sbom in *bad*) exit 1 ;; esac\n",
    }
    for name, program_text in programs.items():
        (tmp_path / name).write_text(program_text)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-c", text],
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin", "VERSION": "1.2.3", "FAIL_ON": fail_on,
            "SCANNER": scan["env"]["SCANNER"], "RUNNER_TEMP": str(tmp_path),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        },
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert said in done.stdout
    assert ("::" in done.stdout) == bool(said)
    summary = (tmp_path / "summary").read_text()
    assert "### ghcr.io/my-org/my-project-worker:1.2.3\n\n    found in SBOM of" in summary
    # The scanner gets nothing but its input.
    calls = (tmp_path / "calls").read_text().splitlines()
    gate = f" --fail-on={fail_on}" if fail_on else ""
    one = f"run --rm --interactive --cap-drop=ALL {scan['env']['SCANNER']} --only-fixed{gate}"
    assert calls == [one, one]
    assert re.fullmatch(r"[\w./-]+:v[\d.]+@sha256:[0-9a-f]{64}", scan["env"]["SCANNER"])


@pytest.mark.parametrize(("fails", "code"), [("", 0), ("create", 2), ("cp", 2)])
def test_a_host_without_cosign_takes_the_program_from_its_image(
    render: Callable[..., Path], tmp_path: Path, fails: str, code: int
) -> None:
    script = (render({}) / "deploy/prod/deploy.sh").read_text()
    functions = [
        re.search(rf"(?ms)^{name}\(\) {{.*?}}$", script)[0]  # type: ignore[index]
        for name in ("say", "fail", "find_cosign")
    ]
    (tmp_path / ".state").mkdir()
    (tmp_path / "docker").write_text(
        f'#!/bin/sh\necho "$@" >> calls\n[ "$1" != "{fails}" ] || exit 1\ncase $1 in\n'
        'create) echo 0a1b ;;\ncp) printf "#!/bin/sh\\n" > "$3" && chmod +x "$3" ;;\nesac\n'
    )
    (tmp_path / "docker").chmod(0o755)
    for name in ("sh", "mv", "chmod"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    text = "\n".join(["set -eu", *functions, "find_cosign", '"$cosign" verify'])

    def run() -> subprocess.CompletedProcess[str]:
        command = ["/bin/sh", "-c", text]
        return subprocess.run(
            command, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True
        )

    done = run()
    assert done.returncode == code, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert re.fullmatch(
        r"create ghcr\.io/sigstore/cosign/cosign:v[\d.]+@sha256:[0-9a-f]{64}", calls[0]
    )
    if fails:
        assert "deploy.sh: cosign cannot be" in done.stderr
        assert "install it" in done.stderr
        assert fails == "create" or calls[-1] == "rm 0a1b"
        assert not list((tmp_path / ".state").glob("cosign-*[0-9]"))
    else:
        assert calls[-1] == "rm 0a1b"
        # The second time, it is there.
        assert run().returncode == 0
        assert (tmp_path / "calls").read_text().splitlines() == calls
