"""What is in deploy/kubernetes/ is what Kubernetes takes, fits together, and edits of its zones arrive."""

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from geodns.config.settings import load_settings
from geodns.zonefile.reader import parse_zone
from geodns.zones.folder import Folder
from geodns.zones.watch import BELIEVED_MISSING, QUIET
from tests.test_container import PORT, USER, variables

FOLDER = Path(__file__).parent.parent / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS = [
    one for name in KUSTOMIZATION["resources"] for one in yaml.safe_load_all((FOLDER / name).read_text())
]
VERSIONS = ("1.27", "1.37")
"""The oldest and the newest Kubernetes whose schemas the manifests are held against."""


def named(kind: str, name: str = "geodns") -> Any:
    (found,) = [one for one in OBJECTS if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


POD = named("Deployment")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
LABELS = named("Deployment")["spec"]["template"]["metadata"]["labels"]
PORTS = {one["name"]: one for one in CONTAINER["ports"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_take_every_object(version: str) -> None:
    for one in OBJECTS:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_see_what_is_wrong() -> None:
    wrong = named("Deployment") | {"spec": named("Deployment")["spec"] | {"replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_every_file_is_applied() -> None:
    assert {*KUSTOMIZATION["resources"], "kustomization.yaml"} == {one.name for one in FOLDER.iterdir()}
    assert [image["name"] for image in KUSTOMIZATION["images"]] == [CONTAINER["image"]]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kubectl_puts_them_together() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", FOLDER], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert len(built) == len(OBJECTS)
    assert {one["metadata"].get("namespace") for one in built if one["kind"] != "Namespace"} == {"geodns"}


def test_the_zones_have_no_problem() -> None:
    files = named("ConfigMap", "geodns-zones")["data"]
    for name, text in files.items():
        parsed = parse_zone(name.removesuffix(".yaml"), text.encode(), name)
        assert parsed.zone is not None
        assert parsed.problems == ()


@pytest.mark.parametrize("shared", [False, True])
def test_the_settings_load_as_they_are_and_with_what_stands_there_as_a_comment(
    tmp_path: Path, shared: bool
) -> None:
    text = named("ConfigMap", "geodns-settings")["data"]["geodns.yaml"]
    if shared:
        text = text.replace("# shared:", "shared:").replace("/etc/geodns-secrets", str(tmp_path))
        (tmp_path / "shared").write_text("secret-of-all-pods\n")
    (tmp_path / "geodns.yaml").write_text(text)
    loaded = load_settings(tmp_path / "geodns.yaml", {}, {"GEODNS_NODE": "geodns-7d9c5b8f4-x2v7k"})
    assert loaded.node == "geodns-7d9c5b8f4-x2v7k"
    assert (loaded.shared is not None) is shared


def test_selectors_find_the_pods() -> None:
    deployment = named("Deployment")["spec"]
    selectors = [
        deployment["selector"]["matchLabels"],
        named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        named("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(one["spec"]["selector"] for one in OBJECTS if one["kind"] == "Service"),
        *(one["labelSelector"]["matchLabels"] for one in POD["topologySpreadConstraints"]),
    ]
    assert selectors == [LABELS] * len(selectors)
    assert named("PodDisruptionBudget")["spec"]["minAvailable"] < deployment["replicas"]


def test_services_and_policy_lead_to_the_ports_of_the_container() -> None:
    services = [named("Service", f"geodns-{one}")["spec"] for one in ("udp", "tcp", "http")]
    led = [port for one in services for port in one["ports"]]
    led += [
        one | {"targetPort": one["port"]}
        for rule in named("NetworkPolicy")["spec"]["ingress"]
        for one in rule["ports"]
    ]
    assert {one["targetPort"] for one in led} == PORTS.keys()
    assert all(PORTS[one["targetPort"]]["protocol"] == one["protocol"] for one in led)
    for one in services[:2]:
        assert (one["type"], one["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
        assert [port["port"] for port in one["ports"]] == [53]
    udp, tcp = (named("Service", f"geodns-{one}")["metadata"]["annotations"] for one in ("udp", "tcp"))
    assert udp == tcp, "they are to share their address"


def test_the_container_is_that_of_the_containerfile() -> None:
    context = POD["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (USER, USER)
    given = variables()
    dns = {PORTS[name]["containerPort"] for name in ("dns-udp", "dns-tcp")}
    assert dns == {int(PORT.findall(given["GEODNS_LISTEN"])[0])}
    assert PORTS["http"]["containerPort"] == int(PORT.findall(given["GEODNS_HTTP"])[0])
    mounts = {one["mountPath"]: one["name"] for one in CONTAINER["volumeMounts"]}
    assert mounts[given["GEODNS_ZONES"]] == "zones"
    assert mounts[given["GEODNS_STATE"]] == "state"


def test_nothing_is_allowed_that_is_not_needed() -> None:
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["securityContext"]["runAsNonRoot"]
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not POD["automountServiceAccountToken"]


def test_volumes_are_whole_folders_that_there_are() -> None:
    volumes = {one["name"]: one for one in POD["volumes"]}
    mounted = CONTAINER["volumeMounts"]
    assert {one["name"] for one in mounted} == volumes.keys()
    assert not [one for one in mounted if "subPath" in one], "an edit would never arrive"
    maps = [one["configMap"]["name"] for one in volumes.values() if "configMap" in one]
    assert [named("ConfigMap", name) for name in maps]


def test_it_goes_on_answering_till_no_query_is_sent_there() -> None:
    (seconds,) = re.findall(r"sleep\((\d+)\)", CONTAINER["lifecycle"]["preStop"]["exec"]["command"][-1])
    ends_within = 10  # TimeoutStopSec of the service
    assert int(seconds) + ends_within <= POD["terminationGracePeriodSeconds"]
    assert {CONTAINER[f"{one}Probe"]["httpGet"]["port"] for one in ("startup", "readiness", "liveness")} == {
        "http"
    }


# --- docs/kubernetes.md ----------------------------------------------------------------------------------

PAGE = (FOLDER.parents[1] / "docs" / "kubernetes.md").read_text()


def merged(base: Any, patch: Any) -> Any:
    """Put a patch over an object as kustomize does: lists of things with names by these, null takes away."""
    if isinstance(base, dict) and isinstance(patch, dict):
        found = {key: merged(base.get(key), value) for key, value in patch.items() if value is not None}
        return {key: value for key, value in base.items() if key not in patch} | found
    if isinstance(base, list) and isinstance(patch, list) and all("name" in one for one in base):
        new = {one["name"]: one for one in patch}
        old = {one["name"]: one for one in base}
        return [merged(one, new.get(name, {})) for name, one in old.items()] + [
            one for name, one in new.items() if name not in old
        ]
    return patch


@pytest.mark.parametrize("version", VERSIONS)
def test_the_patches_of_the_page_fit(version: str) -> None:
    patches = re.findall(r"^```kubernetes\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert patches
    for text in patches:
        patch = yaml.safe_load(text)
        object_ = merged(named(patch["kind"], patch["metadata"]["name"]), patch)
        kubernetes_validate.validate(object_, version, strict=True)
        (container,) = object_["spec"]["template"]["spec"]["containers"]
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        settings = load_settings(None, {}, variables() | given)
        assert settings.user == "geodns", "it must not stay root"
        assert settings.http.port == PORTS["http"]["containerPort"], "the probes ask there"
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_commands_of_the_page_name_what_there_is() -> None:
    lines = re.findall(r"^kubectl .+", PAGE, re.MULTILINE)
    assert "kubectl apply -k deploy/kubernetes" in lines
    others = [line for line in lines if not line.startswith("kubectl apply")]
    assert [line for line in others if not line.startswith("kubectl -n geodns ")] == []
    for kind, name in re.findall(r"(\w+)/(\w+)", "\n".join(others)):
        assert named(kind.capitalize(), name)
    (created,) = [line for line in others if "create secret generic" in line]
    given = set(re.findall(r"--from-literal=(\w+)=", created))
    asked = {
        one["valueFrom"]["secretKeyRef"]["key"]
        for one in CONTAINER["env"]
        if "secretKeyRef" in one.get("valueFrom", {})
    }
    assert given == asked | {"shared"}
    assert "geodns-secrets" in created
    assert [
        name for name in re.findall(r"^\| `(\w+\.yaml)`", PAGE, re.MULTILINE) if not (FOLDER / name).exists()
    ] == []


# --- how edits arrive ------------------------------------------------------------------------------------


class ConfigMapVolume:
    """A ConfigMap in a pod, written as the kubelet does: a link to a folder, put over the one before."""

    def __init__(self, folder: Path, data: dict[str, str]) -> None:
        self.folder = folder
        self._numbers: Iterator[int] = itertools.count(1)
        self.put(data)

    def put(self, data: dict[str, str]) -> None:
        fresh = self.folder / f"..2026_11_30_07_00_{next(self._numbers):02}.123456789"
        fresh.mkdir()
        for name, text in data.items():
            (fresh / name).write_text(text)
        link, new_link = self.folder / "..data", self.folder / "..data_tmp"
        old = link.resolve() if link.exists() else None
        new_link.symlink_to(fresh.name)
        new_link.rename(link)
        for name in data:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for one in self.folder.iterdir():
            if not one.name.startswith("..") and one.name not in data:
                one.unlink()
        if old is not None:
            shutil.rmtree(old)


def test_edits_of_the_configmap_arrive(tmp_path: Path) -> None:
    text = named("ConfigMap", "geodns-zones")["data"]["out.example.com.yaml"]
    names = [f"{name}.example.yaml" for name in ("edited", "same", "gone", "new")]
    edited, same, gone, new = names
    volume = ConfigMapVolume(tmp_path, dict.fromkeys((edited, same, gone), text))
    folder = Folder(tmp_path)
    first = folder.read_all()
    assert first.zones.keys() == {name.removesuffix(".yaml") for name in (edited, same, gone)}
    assert folder.poll(0.0) is None

    volume.put({edited: text.replace("192.0.2.13", "192.0.2.14"), same: text, new: text})
    assert folder.poll(1.0) is None, "it may still be written"
    edit = folder.poll(1.1 + QUIET)
    assert edit is not None
    assert not edit.problems
    assert edit.zones["edited.example"].digest != first.zones["edited.example"].digest
    assert edit.zones["same.example"].digest == first.zones["same.example"].digest
    assert "new.example" in edit.zones
    last = folder.poll(1.2 + BELIEVED_MISSING)
    assert last is not None
    assert last.removed == {"gone.example"}

    volume.put({})
    assert folder.poll(20.0) is None
    assert folder.poll(30.0) is None, "all at once may be a slip of the hand"
    assert any("all zone files vanished at once" in one for one in folder.warnings([]))
