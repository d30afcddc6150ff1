"""Push what BuildKit would: an index of images and of their SBOMs, by its digest and without a tag."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SPDX = "https://spdx.dev/Document"


def digest_of(data: bytes) -> str:
    """Return the digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """The registry of an image, with the login of docker."""

    def __init__(self, host: str) -> None:
        config = json.loads((Path(os.environ["DOCKER_CONFIG"]) / "config.json").read_text())
        self.url = f"http://{host}/v2"
        self.login = f"Basic {config['auths'][host]['auth']}"

    def send(self, method: str, path: str, data: bytes | None = None, **headers: str) -> Any:
        """Send a request, and return the response."""
        url = path if path.startswith("http") else f"{self.url}/{path}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            url, data, {"Authorization": self.login, **headers}, method=method
        )
        return urllib.request.urlopen(request, timeout=30)

    def blob(self, image: str, data: bytes) -> dict[str, Any]:
        """Upload a blob, and return what describes it."""
        place = self.send("POST", f"{image}/blobs/uploads/", b"").headers["Location"]
        digest = digest_of(data)
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        self.send("PUT", url, data, Content_Type="application/octet-stream")
        return {"digest": digest, "size": len(data)}

    def manifest(self, image: str, kind: str, content: bytes) -> dict[str, Any]:
        """Upload a manifest by its digest, and return what describes it."""
        digest = digest_of(content)
        self.send("PUT", f"{image}/manifests/{digest}", content, Content_Type=kind)
        return {"mediaType": kind, "digest": digest, "size": len(content)}


def main(host: str, image: str, *parts: str) -> None:
    """Join parts, each REPOSITORY@DIGEST, in an image, and print its digest."""
    registry = Registry(host)
    manifests = []
    for part in parts:
        source, _, digest = part.partition("@")
        accept = f"{MANIFEST}, {DOCKER_MANIFEST}"
        answer = registry.send("GET", f"{source}/manifests/{digest}", Accept=accept)
        content = answer.read()
        found = json.loads(content)
        for blob in (found["config"], *found["layers"]):
            query = f"mount={blob['digest']}&from={source}"
            registry.send("POST", f"{image}/blobs/uploads/?{query}", b"")
        config = json.load(registry.send("GET", f"{image}/blobs/{found['config']['digest']}"))
        platform = {"os": config["os"], "architecture": config["architecture"]}
        built = registry.manifest(image, found["mediaType"], content)
        manifests.append(built | {"platform": platform})

        statement = {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": SPDX,
            "subject": [{"name": image, "digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicate": {"spdxVersion": "SPDX-2.3", "name": "sbom", "packages": []},
        }
        layer = registry.blob(image, json.dumps(statement).encode()) | {
            "mediaType": "application/vnd.in-toto+json",
            "annotations": {"in-toto.io/predicate-type": SPDX},
        }
        empty = {"architecture": "unknown", "os": "unknown", "config": {}}
        empty["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"]]}
        attestation = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": registry.blob(image, json.dumps(empty).encode())
            | {"mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [layer],
        }
        added = registry.manifest(image, MANIFEST, json.dumps(attestation).encode())
        manifests.append(
            added
            | {
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {
                    "vnd.docker.reference.digest": built["digest"],
                    "vnd.docker.reference.type": "attestation-manifest",
                },
            }
        )
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    print(registry.manifest(image, INDEX, json.dumps(index).encode())["digest"])


if __name__ == "__main__":
    main(*sys.argv[1:])
