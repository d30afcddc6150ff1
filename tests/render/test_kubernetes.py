"""The manifests of deploy/kubernetes: Kustomize builds them, Kubernetes knows them, references resolve."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from extensions.services import Service, resolve

from . import pairwise
from .conftest import SETS, Project
from .contracts import texts
from .kubernetes import Manifests, container_of, problems

OVERLAYS = ("prod", "staging")
FOLDER = "deploy/kubernetes"

#: The sets of answers with Kubernetes, and a few of them for the default run.
CHOSEN = [name for name, answers in SETS.items() if "kubernetes" in answers.get("orchestrator", [])]
ODD: dict[str, Any] = {
    "orchestrator": ["kubernetes"],
    "services": [
        {"name": "api", "kind": "custom", "health": 'check "$HOST"', "aliases": ["old", "my_api"],
         "needs": ["database", "seeder", "tcp", "engine"]},
        {"name": "seeder", "kind": "custom", "one_shot": True, "needs": ["database"]},
        {"name": "tcp", "kind": "custom", "http": False, "health": ["nc", "-z", "::1"]},
        {"name": "engine", "kind": "custom", "port": 3000, "health": "/healthz"},
        {"name": "users", "needs": ["worker", "engine"]},
        "worker",
        {"name": "shop", "kind": "node-web", "needs": ["users"]},
        {"name": "admin", "kind": "node-web", "needs": ["api"]},
    ],
}  # fmt: skip
DEFAULT: dict[str, Any] = {"orchestrator": ["kubernetes"], "cache": "redis"}
SINGLE = {"orchestrator": ["kubernetes"], "layout": "single"}
SAMPLE: dict[str, dict[str, Any]] = {
    "default": DEFAULT,
    "odd": ODD,
    "single-python-api": SINGLE | {"service_kind": "python-api", "cache": "valkey"},
    "single-node-web": SINGLE | {"service_kind": "node-web"},
    "node-api-without-database": DEFAULT | {"services": "orders:node-api", "database": "none"},
}

#: The findings of checkov that are accepted, each with its reason.
ACCEPTED = {
    "CKV_K8S_40": "the image of a page is nginx, whose user has the number 101",
    "CKV_K8S_9": "a worker has no Service, so nothing waits until it is ready",
}

pytestmark = pytest.mark.programs


@pytest.fixture(scope="session", autouse=True)
def kustomize_cli() -> None:
    if not shutil.which("kustomize"):
        reason = "there is no `kustomize`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@functools.cache
def schemas() -> Any:
    """Return the module with Kubernetes' schemas, which reads each file once."""
    try:
        module = import_module("kubernetes_validate")
    except ImportError:
        reason = "there is no `kubernetes-validate`"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    utils = sys.modules["kubernetes_validate.utils"]
    vars(utils)["schema_contents"] = functools.cache(vars(utils)["schema_contents"])
    return module


def released(root: Path, to: Path) -> Path:
    """Return a copy of a project's folder, in which every image has a version and a digest."""
    shutil.copytree(root / FOLDER, to)
    names = {
        name.partition(":unreleased")[0].rpartition(" ")[2]
        for file in to.rglob("*.yaml")
        for name in file.read_text().splitlines()
        if name.endswith(":unreleased")
    }
    pins = [f"{name}={name}:0.1.0@sha256:{7:064d}" for name in sorted(names)]
    for overlay in OVERLAYS:
        folder = to / "overlays" / overlay / "release"
        subprocess.run(["kustomize", "edit", "set", "image", *pins], cwd=folder, check=True)
    return to


def build(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kustomize", "build", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]


def services_of(answers: dict[str, Any]) -> list[Service]:
    defaults = {"layout": "multi", "services": ["api", "worker", "frontend"], "service_kind": ""}
    page = answers.get("service_kind") == "node-web" and answers.get("layout") == "single"
    defaults |= {"database": "none" if page else "postgres", "cache": "none"}
    keys = {name: answers.get(name, default) for name, default in defaults.items()}
    return resolve(**keys, project_slug="my-project", registry="ghcr.io/my-org")


def findings(
    folder: Path, answers: dict[str, Any], versions: slice, overlays: tuple[str, ...] = OVERLAYS
) -> list[str]:
    """Return the problems of a project's overlays, for some of the versions of Kubernetes."""
    services, found = services_of(answers), []
    known = schemas().utils.all_versions()[versions]
    for overlay in overlays:
        objects = build(folder / "overlays" / overlay)
        found += [f"{overlay}: {problem}" for problem in problems(Manifests(objects), services)]
        for version in known:
            for one in objects:
                if one["kind"] == "HTTPRoute":  # `problems` has its schema.
                    continue
                try:
                    schemas().validate(one, version, strict=True)
                except schemas().ValidationError as error:
                    where = ".".join(map(str, error.path))
                    found.append(f"{overlay}: {version}: {one['kind']} {where}: {error.message}")
    return found


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_is_valid(name: str, render: Callable[..., Path], tmp_path: Path) -> None:
    newest = slice(-3 if name == "default" else -1, None)
    folder = released(render(SAMPLE[name]), tmp_path / "kubernetes")
    assert findings(folder, SAMPLE[name], newest) == []


@pytest.mark.drills
@pytest.mark.parametrize("name", CHOSEN)
def test_every_project_is_valid_for_the_three_newest_versions(
    name: str, render: Callable[..., Path], tmp_path: Path
) -> None:
    folder = released(render(SETS[name]), tmp_path / "kubernetes")
    assert findings(folder, SETS[name], slice(-3, None)) == []


@pytest.fixture(scope="module")
def objects(
    render: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """The objects of prod in the default project."""
    folder = released(render(DEFAULT), tmp_path_factory.mktemp("default") / "kubernetes")
    return build(folder / "overlays/prod")


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


#: A mistake: the kind and the name of an object, the path of a value in it, another value, and a part
#: of the problem.
MISTAKES: list[tuple[str, str, str, Any, str]] = [
    ("Deployment", "api", "spec/template/metadata/labels", {}, "selector does not match"),
    ("Deployment", "api", "spec/template/spec/serviceAccountName", "x", "ServiceAccount x"),
    ("Deployment", "api", "spec/template/spec/containers/0/image", "api:1.2.3", "no digest"),
    ("Deployment", "api", "spec/template/spec/volumes/1/secret/secretName", "x", "Secret x"),
    ("Deployment", "api", "spec/template/spec/volumes/1/name", "x", "are not its mounts"),
    ("Deployment", "api", "spec/template/spec/containers/0/env/0/name", "X", "uses DATABASE_SERVER"),
    ("Deployment", "api", "spec/template/spec/containers/0/env/3/value", "/x", "reads the secrets"),
    (
        *("Deployment", "api", "spec/template/spec/containers/0/env/0/valueFrom/configMapKeyRef/key"),
        *("X", "has no key X"),
    ),
    (
        *("Deployment", "api", "spec/template/spec/containers/0/readinessProbe/httpGet/port"),
        *("web", "the port 'web'"),
    ),
    ("Deployment", "api", "spec/replicas", 2, "either a number of replicas or an autoscaler"),
    ("Deployment", "api", "metadata/namespace", "x", "not in the namespace"),
    ("Service", "api", "spec/selector", {"app.kubernetes.io/name": "x"}, "selects 0 workloads"),
    ("Service", "api", "spec/ports/0/targetPort", "web", "target port 'web'"),
    ("Service", "api", "spec/ports/0/port", 80, "api has no port 8000"),
    ("PodDisruptionBudget", "api", "spec/selector/matchLabels", {"x": "y"}, "does not select one"),
    ("HorizontalPodAutoscaler", "api", "spec/scaleTargetRef/name", "x", "the target x"),
    ("HTTPRoute", "frontend", "spec/rules/0/backendRefs/0/name", "frontend", "has the paths"),
    ("HTTPRoute", "frontend", "spec/hostnames", [], "has no host name"),
    ("HTTPRoute", "frontend", "spec/parentRefs/0", {"nam": "x"}, "'nam' was unexpected"),
    ("HTTPRoute", "frontend", "spec/parentRefs", [], "has no Gateway"),
    ("HTTPRoute", "frontend", "spec/rules/0/matches/0/path/type", "Prefix", "'Prefix' is not one"),
    ("HTTPRoute", "frontend", "spec/hostnames/0", "shop.test:443", "does not match"),
    ("NetworkPolicy", "default-deny", "spec/policyTypes", ["Ingress"], "does not deny everything"),
    ("NetworkPolicy", "from-gateway", "spec/ingress/0/ports/0/port", "web", "has no port web"),
    ("NetworkPolicy", "to-collector", "spec/podSelector", {"matchLabels": {}}, "need it"),
    ("NetworkPolicy", "to-cache", "spec/podSelector", {"matchLabels": {}}, "need it"),
    ("NetworkPolicy", "dns", "spec/policyTypes", ["Ingress"], "types without rules"),
    (
        *("NetworkPolicy", "to-database", "spec/podSelector/matchExpressions/0/values"),
        *(["x"], "selects ['x']"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: " ".join(mistake[:3]))
def test_a_mistake_is_found(
    objects: list[dict[str, Any]], mistake: tuple[str, str, str, Any, str]
) -> None:
    kind, name, path, value, expected = mistake
    broken = copy.deepcopy(objects)
    place: Any = named(broken, kind, name)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        place = place[part]
    place[last] = value
    if path.endswith("metadata/labels"):
        place[last] = {"app.kubernetes.io/name": "x"}
    assert any(expected in problem for problem in problems(Manifests(broken), services_of(DEFAULT)))


def test_the_connections_of_needs_are_checked(render: Callable[..., Path]) -> None:
    objects = build(render(ODD) / FOLDER / "overlays/prod")
    named(objects, "NetworkPolicy", "users")["spec"]["egress"][0]["ports"][0]["port"] = 1
    assert any("egress is allowed" in p for p in problems(Manifests(objects), services_of(ODD)))


def test_every_object_of_a_service_has_its_name_as_a_label(objects: list[dict[str, Any]]) -> None:
    """So that `kubectl delete --selector` finds what remains of a service that was removed."""
    shared = {"Namespace", "ConfigMap"}
    for one in objects:
        if one["kind"] not in shared and one["metadata"]["name"] in ("api", "worker", "frontend"):
            assert one["metadata"]["labels"]["app.kubernetes.io/name"] == one["metadata"]["name"]


def test_nginx_needs_no_resolver_for_the_paths_that_a_cluster_sends_to_it(
    render: Callable[..., Path], objects: list[dict[str, Any]]
) -> None:
    """The Gateway sends /api to the API, so nginx never asks Docker's DNS, which does not exist."""
    config = (render(DEFAULT) / "services/frontend/nginx.conf").read_text()
    before, _, location = config.partition("    location /api/ {")
    assert "resolver" not in before
    assert "proxy_pass" not in before
    assert "proxy_pass $api;" in location
    rules = named(objects, "HTTPRoute", "frontend")["spec"]["rules"]
    assert rules[0]["matches"][0]["path"] == {"type": "PathPrefix", "value": "/api"}
    assert rules[0]["backendRefs"][0]["name"] == "api"


def test_every_pod_has_the_hardening_of_compose(objects: list[dict[str, Any]]) -> None:
    for workload in Manifests(objects).workloads:
        spec, container = workload["spec"]["template"]["spec"], container_of(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert {"cpu", "memory"} == container["resources"]["limits"].keys()
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_pods_run_as_the_user_of_their_image(render: Callable[..., Path]) -> None:
    root = render(DEFAULT)
    for one in Manifests(build(root / FOLDER / "overlays/prod")).by_kind["Deployment"].values():
        text = (root / "services" / one["metadata"]["name"] / "Dockerfile").read_text()
        users = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
        security = one["spec"]["template"]["spec"]["securityContext"]
        assert security["runAsUser"] == int(users[-1])


def test_the_version_is_in_the_names_of_jobs_and_settings_restart_pods(
    render: Callable[..., Path], tmp_path: Path
) -> None:
    root = released(render(DEFAULT), tmp_path / "kubernetes")
    prod = root / "overlays/prod"
    before = Manifests(build(prod)).by_kind["ConfigMap"].keys()
    text = (prod / "kustomization.yaml").read_text()
    (prod / "kustomization.yaml").write_text(text.replace("cache.example.com", "cache.test"))
    command = ["kustomize", "edit", "set", "namesuffix", "--", "-1-2-3"]
    subprocess.run(command, cwd=prod / "release/jobs", check=True)
    after = Manifests(build(prod))
    assert [*after.by_kind["Job"]] == ["api-migrate-1-2-3"]
    assert after.by_kind["ConfigMap"].keys() != before
    assert [*problems(after, services_of(DEFAULT))] == []


@pytest.mark.drills
@pytest.mark.parametrize("name", SAMPLE)
def test_checkov_has_no_finding_without_a_reason(
    name: str, render: Callable[..., Path], tmp_path: Path
) -> None:
    # It has a hundred dependencies, some of them older than ours, so it gets its own environment.
    uvx = shutil.which("uvx")
    if not uvx:
        pytest.skip("there is no `uvx`, which installs checkov")
    checkov = [uvx, f"--python={sys.executable}", "checkov>=3.3,<4"]
    file = tmp_path / "prod.yaml"
    folder = released(render(SAMPLE[name]), tmp_path / "kubernetes")
    file.write_text(yaml.safe_dump_all(build(folder / "overlays/prod")))
    options = ["--framework=kubernetes", "--output=json", "--quiet", "--compact", "--skip-download"]
    done = subprocess.run([*checkov, *options, "--file", file], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    found = {(one["check_id"], one["resource"]) for one in report["results"]["failed_checks"]}
    assert report["summary"]["passed"] > 0
    assert {check for check, _ in found} <= ACCEPTED.keys(), sorted(found)


def test_lint_builds_every_overlay(render: Callable[..., Path], tmp_path: Path) -> None:
    root = Path(shutil.copytree(render(DEFAULT), tmp_path / "project"))
    lint = functools.partial(
        subprocess.run, ["make", "lint-kubernetes"], cwd=root, capture_output=True, text=True
    )
    assert lint().returncode == 0
    (root / FOLDER / "overlays/staging/cluster.yaml").write_text("kind: [")
    assert lint().returncode != 0


def test_without_kubernetes_a_project_has_no_line_of_it(render: Callable[..., Path]) -> None:
    for answers in ({}, {"orchestrator": ["compose", "swarm"]}, {"layout": "single"}):
        root = render(answers)
        assert not (root / FOLDER).exists()
        for name, text in texts(root):
            assert not re.search(r"kubernetes|kustom|kubectl", text, re.IGNORECASE), name


# DEPLOY.SH --------------------------------------------------------------------
#: Replaces kubectl, docker and cosign: writes its arguments to a file, and answers as a cluster would.
STAND_IN = """#!/bin/sh
echo "${0##*/} $*" >>"$CALLS"
case "$*" in
  *"json .Image}"*) printf '{"a/b": {"config": {"Labels": {"org.opencontainers.image.version":"%s"}}}}\\n' "${RELEASE:-1.2.3}" ;;
  *imagetools*) [ -z "${NO_IMAGE:-}" ] || exit 1; printf '{"mediaType": "a", "digest": "sha256:%064d", "manifests": [{"digest": "sha256:0"}]}\\n' 7 ;;
  verify*) echo "these checks were performed" >&2; case "$*" in *"${UNSIGNED:-nothing}"*) exit 1 ;; esac ;;
  kustomize*) exec kustomize build "$2" ;;
  *"get secret"*) [ -z "${NO_SECRET:-}" ] ;;
  *"get jobs"*) printf "api-migrate-1 succeeded=%s failed=%s\\\\n" "${SUCCEEDED-1}" "${FAILED-}" ;;
  *"rollout status"*) [ -z "${NOT_READY:-}" ] ;;
esac
"""


class Cluster:
    """A project's deploy.sh, with programs that replace kubectl, docker and cosign."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.root = Path(shutil.copytree(project / FOLDER, folder / "kubernetes"))
        self.calls = folder / "calls"
        (folder / "bin").mkdir()
        for name in ("kubectl", "docker", "cosign"):
            (folder / "bin" / name).write_text(STAND_IN)
            (folder / "bin" / name).chmod(0o755)
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self.env = {"PATH": path, "HOME": str(folder), "CALLS": str(self.calls)}

    def run(self, *arguments: str, **env: str) -> tuple[int, str, list[str]]:
        """Run deploy.sh; return its exit code, its errors and the calls."""
        self.calls.write_text("")
        command = ["sh", str(self.root / "deploy.sh"), *arguments]
        done = subprocess.run(command, env=self.env | env, capture_output=True, text=True)
        return done.returncode, done.stderr, self.calls.read_text().splitlines()


@pytest.fixture
def cluster(render: Callable[..., Path], tmp_path: Path) -> Cluster:
    return Cluster(render(DEFAULT), tmp_path)


def applied(calls: list[str]) -> list[str]:
    """Return what was applied and awaited, in order."""
    steps = {
        "notin (service, job)": "settings",
        "delete jobs": "delete",
        "apply --filename": "apply",
        "get jobs": "wait",
        "rollout status": "rollout",
    }
    found = []
    for call in calls:
        step = next((word for text, word in steps.items() if text in call), "")
        if step == "apply":
            step = call.rpartition("=")[2]
        found += [step] if step else []
    return found


def test_a_deployment_migrates_before_the_services_change(cluster: Cluster) -> None:
    code, errors, calls = cluster.run("prod", "deploy", "1.2.3")
    assert (code, errors) == (0, "")
    assert applied(calls) == ["settings", "delete", "job", "wait", "service", "rollout"]
    built = Manifests(build(cluster.root / "overlays/prod"))
    assert [*built.by_kind["Job"]] == ["api-migrate-1-2-3"]
    for workload in built.workloads:
        assert container_of(workload)["image"].endswith(f":1.2.3@sha256:{7:064d}")
    # The other environment keeps its version.
    assert [*Manifests(build(cluster.root / "overlays/staging")).by_kind["Job"]] == ["api-migrate"]


def test_a_rollback_runs_no_migration(cluster: Cluster) -> None:
    code, errors, calls = cluster.run("prod", "rollback", "1.2.2-RC.1")
    assert (code, errors) == (0, "")
    assert applied(calls) == ["settings", "service", "rollout"]
    jobs = Manifests(build(cluster.root / "overlays/prod")).by_kind["Job"]
    assert [*jobs] == ["api-migrate-1-2-2-rc-1"]


@pytest.mark.parametrize(
    ("env", "reason", "steps"),
    [
        ({"NO_IMAGE": "1"}, "cannot be read from its registry; nothing was changed", []),
        ({"NO_SECRET": "1"}, "the Secret api-database-password does not exist", []),
        (
            {"SUCCEEDED": "", "FAILED": "True"},
            "this Job failed, and the services are unchanged",
            ["settings", "delete", "job", "wait"],
        ),
        (
            {"SUCCEEDED": "", "JOBS_TIMEOUT": "0"},
            "did not end within 0 seconds, and the services are unchanged",
            ["settings", "delete", "job", "wait"],
        ),
        (
            {"NOT_READY": "1"},
            "to go back: ./deploy.sh prod rollback VERSION",
            ["settings", "delete", "job", "wait", "service", "rollout"],
        ),
    ],
)  # fmt: skip
def test_a_deployment_stops_at_the_first_failure(
    cluster: Cluster, env: dict[str, str], reason: str, steps: list[str]
) -> None:
    code, errors, calls = cluster.run("prod", "deploy", "1.2.3", **env)
    assert code == 1
    assert reason in errors
    assert applied(calls) == steps


def test_nothing_is_applied_before_a_version_is_pinned(cluster: Cluster) -> None:
    code, errors, calls = cluster.run("prod", "apply")
    assert code == 1
    assert "run: ./deploy.sh prod pin VERSION" in errors
    assert applied(calls) == []


@pytest.mark.parametrize("arguments", [(), ("prod",), ("test", "apply"), ("prod", "up")])
def test_a_wrong_command_line_shows_the_usage(cluster: Cluster, arguments: tuple[str]) -> None:
    code, errors, calls = cluster.run(*arguments)
    assert (code, calls) == (2, [])
    assert errors.startswith("usage: ")


def test_only_projects_with_the_answer_have_the_folder(project: Project) -> None:
    chosen = "kubernetes" in project.answers.get(
        "orchestrator", pairwise.asked()["orchestrator"]["default"]
    )
    assert (project.root / FOLDER).is_dir() == chosen


@pytest.fixture
def signer(cluster: Cluster) -> dict[str, str]:
    """Return the setting that names a key, whose path starts at deploy.sh."""
    (cluster.root / "cosign.pub").touch()
    return {"COSIGN_KEY": "./cosign.pub"}


def test_only_signed_images_are_pinned(cluster: Cluster, signer: dict[str, str]) -> None:
    code, errors, calls = cluster.run("prod", "pin", "1.2.3", **signer)
    assert (code, errors) == (0, "")
    assert [call for call in calls if call.startswith("cosign")] == [
        "cosign verify --key=./cosign.pub --insecure-ignore-tlog"
        f" ghcr.io/my-org/my-project-{name}@sha256:{7:064d}"
        for name in ("api", "worker", "frontend")
    ]
    release = (cluster.root / "overlays/prod/release/kustomization.yaml").read_text()
    assert release.count(f"digest: sha256:{7:064d}\n") == 3


def test_a_workflow_must_have_signed_at_the_tag_of_the_version(cluster: Cluster) -> None:
    workflow = "https://github.com/my-org/shop/.github/workflows/release.yml"
    code, _, calls = cluster.run("prod", "pin", "1.2.3", COSIGN_IDENTITY=workflow)
    assert code == 0
    assert calls[1] == (
        f"cosign verify --certificate-identity={workflow}@refs/tags/v1.2.3"
        " --certificate-oidc-issuer=https://token.actions.githubusercontent.com"
        f" ghcr.io/my-org/my-project-api@sha256:{7:064d}"
    )


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"UNSIGNED": "worker@"}, "my-project-worker:1.2.3 is not signed by ./cosign.pub"),
        ({"RELEASE": "1.0.0"}, "my-project-api:1.2.3 is the image of the release 1.0.0"),
        ({"COSIGN_KEY": "./none.pub"}, "COSIGN_KEY=./none.pub cannot be read"),
    ],
    ids=["not signed", "an older release", "no key"],
)
@pytest.mark.parametrize("command", ["deploy", "rollback"])
def test_an_image_that_is_not_verified_changes_nothing(
    cluster: Cluster, signer: dict[str, str], command: str, env: dict[str, str], reason: str
) -> None:
    before = [path.read_bytes() for path in sorted(cluster.root.rglob("*.yaml"))]
    code, errors, calls = cluster.run("prod", command, "1.2.3", **(signer | env))
    assert code == 1
    *of_cosign, last = errors.splitlines()
    assert of_cosign == (["these checks were performed"] if "UNSIGNED" in env else [])
    assert last.removeprefix("deploy.sh: ").removeprefix("ghcr.io/my-org/") == (
        f"{reason}; nothing was changed"
    )
    assert not [call for call in calls if call.startswith("kubectl")]
    assert [path.read_bytes() for path in sorted(cluster.root.rglob("*.yaml"))] == before


def test_a_signer_needs_cosign(cluster: Cluster, signer: dict[str, str], tmp_path: Path) -> None:
    programs = tmp_path / "without-cosign"
    programs.mkdir()
    (programs / "docker").symlink_to(tmp_path / "bin/docker")
    for name in ("sh", "dirname", "grep", "head", "cut", "cat"):
        (programs / name).symlink_to(str(shutil.which(name)))
    code, errors, _ = cluster.run("prod", "pin", "1.2.3", **signer, PATH=str(programs))
    assert code == 1
    assert errors.startswith("deploy.sh: cosign is not installed")
    assert errors.count("\n") == 1
