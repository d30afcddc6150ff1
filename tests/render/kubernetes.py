"""Contracts between the Kubernetes objects of one overlay.

The schemas of Kubernetes cover the keys and types of each object. These contracts cover what one
object says about another: names, keys, ports, labels and connections.
"""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from extensions.services import Service

Object = dict[str, Any]

NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
DIGEST = re.compile(r"[a-z0-9./:_-]+:[\w.-]+@sha256:[0-9a-f]{64}")
REFERENCE = re.compile(r"\$\((\w+)\)")
SERVICE_URL = re.compile(r"http://([a-z0-9-]+):(\d+)")

#: The schema of HTTPRoute, which is not part of Kubernetes.
ROUTE = Path(__file__).parent / "schemas/httproute-v1.schema.json"


@functools.cache
def route_schema() -> jsonschema.Draft7Validator:
    """Return the validator of an HTTPRoute."""
    return jsonschema.Draft7Validator(json.loads(ROUTE.read_text()))


class Manifests:
    """The objects of one overlay."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects
        self.by_kind: dict[str, dict[str, Object]] = defaultdict(dict)
        for one in objects:
            self.by_kind[one["kind"]][one["metadata"]["name"]] = one

    @property
    def workloads(self) -> list[Object]:
        """The objects that start pods."""
        return [*self.by_kind["Deployment"].values(), *self.by_kind["Job"].values()]

    def selected(self, selector: Mapping[str, Any]) -> list[Object]:
        """Return the workloads whose pods match a selector."""
        return [one for one in self.workloads if matches(selector, labels_of(one))]


def labels_of(workload: Object) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def pod_name(workload: Object) -> str:
    """Return the name of a workload, without the version that a Job's own name ends with."""
    return labels_of(workload)[NAME]


def container_of(workload: Object) -> Object:
    """Return the only container of a workload's pods."""
    [found] = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


def ports_of(workload: Object) -> dict[str, int]:
    """Return the ports of a workload's container, by their names."""
    return {port["name"]: port["containerPort"] for port in container_of(workload).get("ports", [])}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels match a selector."""
    pairs = selector.get("matchLabels", {}).items()
    lists = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in lists)
    return all(labels.get(key) == value for key, value in pairs) and all(
        labels.get(one["key"]) in one["values"] for one in lists
    )


def problems(manifests: Manifests, services: list[Service]) -> Iterator[str]:
    """Yield the problems of one overlay of a project with these services."""
    yield from names(manifests)
    for workload in manifests.workloads:
        for problem in pods(manifests, workload, secrets(services)):
            yield f"{workload['kind']} {workload['metadata']['name']}: {problem}"
    yield from targets(manifests)
    yield from routes(manifests, services)
    yield from policies(manifests)
    yield from connections(manifests, services)


def secrets(services: list[Service]) -> set[str]:
    """Return the Secrets that users create, as the documentation says."""
    found = {f"{service.name}-database-password" for service in services if service.database}
    return found | {"cache-password"}


def names(manifests: Manifests) -> Iterator[str]:
    """Each object has its own name, in the one namespace."""
    [namespace] = manifests.by_kind["Namespace"]
    if sum(map(len, manifests.by_kind.values())) != len(manifests.objects):
        yield "two objects have the same kind and name"
    for one in manifests.objects:
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") != namespace:
            yield f"{one['kind']} {one['metadata']['name']} is not in the namespace {namespace}"


def pods(manifests: Manifests, workload: Object, known: set[str]) -> Iterator[str]:
    """What a pod refers to exists."""
    spec, container = workload["spec"]["template"]["spec"], container_of(workload)
    selector = workload["spec"].get("selector", {})
    if not matches(selector, labels_of(workload)):
        yield "its selector does not match its pods"
    if spec["serviceAccountName"] not in manifests.by_kind["ServiceAccount"]:
        yield f"the ServiceAccount {spec['serviceAccountName']} does not exist"
    if not DIGEST.fullmatch(container["image"]):
        yield f"the image {container['image']} has no version or no digest"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    if volumes.keys() != mounts.keys():
        yield f"its volumes {sorted(volumes)} are not its mounts {sorted(mounts)}"
    files = set()
    for name, volume in volumes.items():
        if secret := volume.get("secret", {}).get("secretName"):
            files.add(f"{mounts.get(name)}/password")
            if secret not in known:
                yield f"the Secret {secret} is unknown"
    yield from variables(manifests, container, files)
    ports = ports_of(workload)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        for check in ("httpGet", "tcpSocket"):
            port = container.get(probe, {}).get(check, {}).get("port")
            if port is not None and port not in ports:
                yield f"the {probe} asks the port {port!r}, which the container does not have"


def variables(manifests: Manifests, container: Object, files: set[str]) -> Iterator[str]:
    """A variable refers to keys, files and earlier variables that exist."""
    earlier: set[str] = set()
    read = set()
    for variable in container.get("env", []):
        name, value = variable["name"], variable.get("value", "")
        if name in earlier:
            yield f"the variable {name} is set twice"
        if reference := variable.get("valueFrom", {}).get("configMapKeyRef"):
            data = manifests.by_kind["ConfigMap"].get(reference["name"], {}).get("data", {})
            if reference["key"] not in data:
                yield f"the ConfigMap {reference['name']} has no key {reference['key']}"
        elif "valueFrom" in variable:
            yield f"the variable {name} is neither a value nor a setting"
        for other in REFERENCE.findall(value):
            if other not in earlier:
                yield f"the variable {name} uses {other}, which is not set before it"
        if "_FILE" in name:
            read.add(value)
        earlier.add(name)
    if read != files:
        yield f"it reads the secrets {sorted(read)}, but mounts {sorted(files)}"


def targets(manifests: Manifests) -> Iterator[str]:
    """A Service, a budget and an autoscaler have a Deployment."""
    for name, service in manifests.by_kind["Service"].items():
        found = manifests.selected({"matchLabels": service["spec"]["selector"]})
        if len(found) != 1:
            yield f"Service {name} selects {len(found)} workloads"
        for port in service["spec"]["ports"]:
            if any(port["targetPort"] not in ports_of(one) for one in found):
                yield f"Service {name} has the target port {port['targetPort']!r}, which no pod has"
    for name, budget in manifests.by_kind["PodDisruptionBudget"].items():
        if len(manifests.selected(budget["spec"]["selector"])) != 1:
            yield f"PodDisruptionBudget {name} does not select one workload"
    scaled = set()
    for name, scaler in manifests.by_kind["HorizontalPodAutoscaler"].items():
        target = scaler["spec"]["scaleTargetRef"]["name"]
        scaled.add(target)
        if target not in manifests.by_kind["Deployment"]:
            yield f"HorizontalPodAutoscaler {name} has the target {target}, which does not exist"
    for name, deployment in manifests.by_kind["Deployment"].items():
        if ("replicas" in deployment["spec"]) == (name in scaled):
            yield f"Deployment {name} needs either a number of replicas or an autoscaler"
        if name not in manifests.by_kind["PodDisruptionBudget"]:
            yield f"Deployment {name} has no PodDisruptionBudget"


def routes(manifests: Manifests, services: list[Service]) -> Iterator[str]:
    """Each published service has a route; the paths of a page's API go to the API itself."""
    published = {service.name: service for service in services if service.published}
    if manifests.by_kind["HTTPRoute"].keys() != published.keys():
        yield f"there are routes for {sorted(manifests.by_kind['HTTPRoute'])}"
    for name, route in manifests.by_kind["HTTPRoute"].items():
        spec = route["spec"]
        for error in route_schema().iter_errors(route):
            yield f"HTTPRoute {name}: {'.'.join(map(str, error.path))}: {error.message}"
        paths = {}
        for rule in spec["rules"]:
            for backend in rule["backendRefs"]:
                service = manifests.by_kind["Service"].get(backend["name"], {"spec": {"ports": []}})
                if backend["port"] not in [port["port"] for port in service["spec"]["ports"]]:
                    yield f"HTTPRoute {name}: {backend['name']} has no port {backend['port']}"
            [match] = rule["matches"]
            paths[match["path"]["value"]] = rule["backendRefs"][0]["name"]
        if not spec.get("parentRefs"):
            yield f"HTTPRoute {name} has no Gateway"
        if not spec.get("hostnames"):
            yield f"HTTPRoute {name} has no host name"
        api = published[name].api if name in published else None
        if paths != ({"/api": api.name} if api else {}) | {"/": name}:
            yield f"HTTPRoute {name} has the paths {paths}"


def policies(manifests: Manifests) -> Iterator[str]:
    """Each NetworkPolicy selects pods that exist, and ports that they have."""
    if manifests.by_kind["NetworkPolicy"]["default-deny"]["spec"] != {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }:
        yield "NetworkPolicy default-deny does not deny everything"
    known = {pod_name(workload) for workload in manifests.workloads}
    for name, policy in manifests.by_kind["NetworkPolicy"].items():
        spec = policy["spec"]
        used = {key.lower() for key in ("Ingress", "Egress") if key.lower() in spec}
        if name != "default-deny" and used != {kind.lower() for kind in spec["policyTypes"]}:
            yield f"NetworkPolicy {name} has types without rules, or rules without their type"
        rules = spec.get("ingress", []) + spec.get("egress", [])
        peers = [peer for rule in rules for peer in rule.get("from", []) + rule.get("to", [])]
        own = [peer["podSelector"] for peer in peers if set(peer) == {"podSelector"}]
        for selector in [spec["podSelector"], *own]:
            unknown = names_in(selector) - known
            if unknown:
                yield f"NetworkPolicy {name} selects {sorted(unknown)}, which do not exist"
        for rule in spec.get("ingress", []):
            for workload in manifests.selected(spec["podSelector"]):
                ports = ports_of(workload)
                for port in rule["ports"]:
                    if port["port"] not in [*ports, *ports.values()]:
                        yield f"NetworkPolicy {name}: {pod_name(workload)} has no port {port['port']}"


def names_in(selector: Mapping[str, Any]) -> set[str]:
    """Return the names of pods that a selector lists."""
    found = {selector.get("matchLabels", {}).get(NAME)} - {None}
    return found | {name for one in selector.get("matchExpressions", []) for name in one["values"]}


def connections(manifests: Manifests, services: list[Service]) -> Iterator[str]:
    """The policies allow exactly the connections that the services need."""
    wanted = {
        (service.name, door.name, door.container_port)
        for service in services
        if not service.is_page
        for door in service.doors
    }
    jobs = {service.name for service in services if service.one_shot}
    allowed = {"ingress": set(), "egress": set()}  # type: dict[str, set[tuple[str, str, int]]]
    for policy in manifests.by_kind["NetworkPolicy"].values():
        for direction, found in allowed.items():
            for rule in policy["spec"].get(direction, []):
                for peer in rule.get("from", []) + rule.get("to", []):
                    if set(peer) != {"podSelector"}:
                        continue
                    mine, other = (
                        names_in(policy["spec"]["podSelector"]),
                        names_in(peer["podSelector"]),
                    )
                    pairs = {(a, b) for a in mine for b in other}
                    if direction == "ingress":
                        pairs = {(b, a) for a, b in pairs}
                    found |= {(*pair, port["port"]) for pair in pairs for port in rule["ports"]}
    for direction, found in allowed.items():
        if found != wanted:
            yield f"{direction} is allowed for {sorted(found)}, but needed for {sorted(wanted)}"
    urls = {
        (pod_name(workload), host, int(port))
        for workload in manifests.workloads
        for variable in container_of(workload).get("env", [])
        for host, port in SERVICE_URL.findall(variable.get("value", ""))
    }
    if urls != {one for one in wanted if one[0] not in jobs} | {
        one for one in wanted if one[0] in jobs
    }:
        yield f"the addresses in variables are {sorted(urls)}, but needed are {sorted(wanted)}"
    yield from outside(manifests, services)


def outside(manifests: Manifests, services: list[Service]) -> Iterator[str]:
    """A pod reaches the database, the cache or the external API if and only if it has its address."""
    users: dict[str, set[str]] = defaultdict(set)
    for workload in manifests.workloads:
        for variable in container_of(workload).get("env", []):
            reference = variable.get("valueFrom", {}).get("configMapKeyRef", {})
            users[reference.get("key", "")].add(pod_name(workload))
    behind = {service.name for service in services if service.published}
    behind |= {service.api.name for service in services if service.published and service.api}
    expected = {
        "to-database": users["DATABASE_SERVER"],
        "to-cache": users["CACHE_URL"],
        "external-api": users["RATES_URL"],
        "to-collector": users["OTEL_EXPORTER_OTLP_ENDPOINT"],
        "from-gateway": behind,
    }
    for name, pods in expected.items():
        policy = manifests.by_kind["NetworkPolicy"].get(name)
        found = names_in(policy["spec"]["podSelector"]) if policy else set()
        if found != pods:
            yield f"NetworkPolicy {name} selects {sorted(found)}, but {sorted(pods)} need it"
