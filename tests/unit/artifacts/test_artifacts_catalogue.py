"""The catalogue: what it holds, and what it refuses."""

from pathlib import Path

import pytest

from disco.artifacts.catalogue import Catalogue, catalogue, filled
from disco.engine.errors import WrongUse

SMALL = """
modules: {m: {dir: ., seconds: 1, cache_bytes: 1}}
rootfs: {version: b, licence: x, suite: b, packages: [p], seconds: 1, bytes: 1}
programs:
  tool: {version: 1.0.0, licence: x, bytes: 1, build: {go: {module: m, package: ./tool}}}
layers: {tool: {programs: {tool: /tool}}}
image_sets: {s: {images: {tool: {tag: v1, layers: [tool]}}}}
"""


def loaded(tmp_path: Path, text: str) -> Catalogue:
    file = tmp_path / "catalogue.yaml"
    file.write_text(text)
    return Catalogue.load(file)


def test_every_program_has_a_version_a_licence_and_a_source() -> None:
    for name, program in catalogue().programs.items():
        assert program.version and program.licence and program.sources, name


def test_every_image_that_names_a_user_names_it_by_number() -> None:
    users = [i.user for s in catalogue().image_sets.values() for i in s.images.values()]
    assert "65535:65535" in users
    assert all(part.isdigit() for user in users if user for part in user.split(":"))


@pytest.mark.parametrize("name", ["alertmanager", "blackbox-exporter", "openbao", "prometheus"])
def test_images_of_what_speaks_to_the_open_internet_have_its_authorities(name: str) -> None:
    known = catalogue()
    image = next(s.images[name] for s in known.image_sets.values() if name in s.images)
    files = [f for layer in image.layers for f in known.layers[layer].base_files]
    assert "/etc/ssl/certs/ca-certificates.crt" in files  # where Go's programs look first


def test_versions_in_image_tags_follow_their_programs() -> None:
    known = catalogue()
    tags = {n: i.tag for s in known.image_sets.values() for n, i in s.images.items()}
    assert tags["kube-apiserver"] == "v" + known.program("kube").version
    assert tags["etcd"] == known.program("kube").parts["etcd"] + "-0"
    assert tags["coredns"] == "v" + known.program("coredns").version
    assert tags["flannel"] == "v" + known.program("flanneld").version
    assert tags["prometheus"] == f"v{known.program('prometheus').version}-2"
    assert tags["alertmanager"] == f"v{known.program('alertmanager').version}-2"
    assert tags["victoria-logs"] == "v" + known.program("victoria-logs").version
    assert tags["log-collector"].startswith("v" + known.program("vlagent").version)
    assert tags["otel-logs"] == "v" + known.program("otel-logs").version
    assert tags["openbao"] == f"{known.program('bao').version}-2"


def test_the_linker_is_told_the_version_that_the_catalogue_has() -> None:
    known = catalogue()
    kube = known.program("kube").version
    assert f"-X k8s.io/component-base/version.gitVersion=v{kube}" in known.modules["main"].ldflags
    version = known.program("containerd").version
    assert any(f.endswith(f".Version={version}") for f in known.modules["containerd"].ldflags)
    version = known.program("alertmanager").version
    assert any(f.endswith(f".Version={version}") for f in known.modules["alertmanager"].ldflags)
    version = known.program("victoria-logs").version
    assert any(f.endswith(f"-v{version}") for f in known.modules["victorialogs"].ldflags)


def test_an_image_set_needs_its_programs_and_the_file_system_its_tools_come_from() -> None:
    assert catalogue().needs("images/node") == ("rootfs", "kube", "pause", "coredns")
    metrics = ("rootfs", "metrics-server", "prometheus", "node_exporter")
    assert catalogue().needs("images/metrics") == metrics
    assert catalogue().needs("kube") == ()


def test_a_chain_gets_an_image_of_its_program_and_a_shell() -> None:
    known = catalogue().with_program_image("mychain", "akash", tag="v9")
    assert known.image("mychain") == "localhost/mychain:v9"
    assert known.needs("images/mychain") == ("rootfs", "akash")


def test_an_unknown_name_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(WrongUse) as caught:
        catalogue().version("kubo")
    assert "kubo" in caught.value.what and "kube" in caught.value.fix


def test_a_small_catalogue_is_read(tmp_path: Path) -> None:
    assert loaded(tmp_path, SMALL).names == ("rootfs", "tool", "images/s")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("module: m", "module: other", "no module other"),
        ("{programs: {tool: /tool}}", "{programs: {gone: /tool}}", "no program gone"),
        ("layers: [tool]", "layers: [gone]", "no layer gone"),
        ("layers: [tool]", "layers: [tool], user: nobody", "user"),
        ("build: {go: {module: m, package: ./tool}}", "", "download or build"),
        (
            "build: {go: {module: m, package: ./tool}}",
            "download: {url: 'http://example.org/x', checksum_url: 'https://example.org/x'}",
            "only https",
        ),
        (
            "build: {go: {module: m, package: ./tool}}",
            "download: {url: 'https://example.org/x', sha256: {amd64: abc}}",
            "not a SHA-256",
        ),
        (
            "build: {go: {module: m, package: ./tool}}",
            "download: {url: 'https://example.org/x'}",
            "sha256 or checksum_url",
        ),
        ("tag: v1", "tag: v1, typo: 1", "typo"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_its_reason(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in SMALL
    with pytest.raises(WrongUse) as caught:
        loaded(tmp_path, SMALL.replace(old, new))
    assert complaint in caught.value.why


def test_placeholders_are_filled_for_the_architecture() -> None:
    found = filled("{version}/{arch}/{triplet}", version="1.2", arch="arm64")
    assert found == "1.2/arm64/aarch64-linux-gnu"
