"""tlt-train --pretrained-torchvision: the backbone that a training starts from, and what is said of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from shapes import KEY, WriteSpec

from tltpy import artifact

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("torchvision") / "mobilenet_v2.pth"
    torch.save(torchvision.models.mobilenet_v2(weights=None).state_dict(), path)
    return path


@pytest.fixture
def spec(write_spec: WriteSpec) -> Path:
    path = write_spec(epochs=1, network="freeze_blocks: 0 freeze_bn: true batch_norm_momentum: 0.9")
    return with_network(path, 'arch: "mobilenet_v2"')


def with_network(path: Path, network: str) -> Path:
    text = path.read_text()
    assert 'arch: "resnet" nlayers: 10' in text
    path.write_text(text.replace('arch: "resnet" nlayers: 10', network))
    return path


def test_a_training_starts_from_it(here: Cli, spec: Path, checkpoint: Path, tmp_path: Path) -> None:
    flags = ["-e", spec, "-r", tmp_path / "out", "-k", KEY, "--pretrained-torchvision", checkpoint, "--json"]
    done = here("tlt-train", "yolo", *flags, check=0)
    said = f"backbone from {checkpoint}: 39 layers of mobilenet_v2; 80 tensors not used; all behind it is new"
    assert said in done.stderr and "features.18" not in done.stderr
    file = artifact.load_model(json.loads(done.stdout)["last"], KEY)
    assert file.metadata["pretrained"] == "mobilenet_v2.pth" and file.metadata["lineage"] == []
    # block 0 and the normalization were frozen: the folded first layer is in the file as it was loaded
    source = torch.load(checkpoint, weights_only=True)
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    wanted = (source["features.0.0.weight"] / (255 * deviation)).flip(1)
    torch.testing.assert_close(file.tensors["taps.backbone.conv1.conv.weight"], wanted)
    found = file.tensors["taps.backbone.block_4.project.norm.running_var"]
    torch.testing.assert_close(found, source["features.5.conv.3.running_var"] + 1e-5 - 1e-3)


def test_names_are_said_with_v_and_safetensors_are_read(
    here: Cli, spec: Path, checkpoint: Path, tmp_path: Path
) -> None:
    save_file(torch.load(checkpoint, weights_only=True), tmp_path / "w.safetensors")
    flags = ["-e", spec, "-r", tmp_path / "out", "--dry-run", "--pretrained-torchvision", tmp_path / "w.safetensors"]
    done = here("tlt-train", "yolo", *flags, "-v", check=0)
    assert "39 layers of mobilenet_v2" in done.stderr and "tensors not used: classifier.1.weight" in done.stderr
    assert done.stdout.startswith("dry run: loss ")


@pytest.mark.parametrize(
    ("network", "code", "says"),
    [
        ('arch: "darknet" nlayers: 19', 2, "torchvision publishes no weights for the backbone of this spec"),
        ('arch: "mobilenet_v1"', 2, "torchvision publishes no weights for the backbone of this spec"),
        ('arch: "squeezenet"', 5, "mobilenet_v2.pth: not squeezenet1_0 of torchvision: it has no features.0.bias"),
        ('arch: "resnet" nlayers: 18', 5, "mobilenet_v2.pth: not resnet18 of torchvision: it has no bn1.bias"),
    ],
)
def test_a_backbone_and_a_file_that_do_not_fit(
    here: Cli, write_spec: WriteSpec, checkpoint: Path, tmp_path: Path, network: str, code: int, says: str
) -> None:
    spec = with_network(write_spec(), network)
    flags = ["-e", spec, "-r", tmp_path / "out", "-k", KEY, "--pretrained-torchvision", checkpoint, "-q"]
    done = here("tlt-train", "yolo", *flags, check=code)
    error, *hints = done.stderr.splitlines()
    assert error.startswith("tlt-train: error: ") and error.endswith(says) and hints
    assert not (tmp_path / "out").exists()


def test_it_goes_with_no_other_source_of_weights(here: Cli, spec: Path, checkpoint: Path, tmp_path: Path) -> None:
    flags = ["-e", spec, "-r", tmp_path / "out", "-k", KEY, "--pretrained-torchvision", checkpoint, "-q"]
    assert "both give the first weights" in here("tlt-train", "yolo", *flags, "-m", "x.tlt", check=2).stderr
    assert "nor --pretrained-torchvision" in here("tlt-train", "yolo", *flags, "--resume", check=2).stderr
    done = here("tlt-train", "yolo", *flags[:-3], "--pretrained-torchvision", spec, "-q", check=5)
    assert "no checkpoint but a text file" in done.stderr.splitlines()[0]
