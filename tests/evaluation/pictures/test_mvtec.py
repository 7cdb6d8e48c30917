"""`streamwatch evaluate mvtec` end to end, against figures that are computed without any of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch.nn.functional import interpolate

from streamwatch.evaluation.datasets.mvtec import load_mvtec
from streamwatch.evaluation.pictures.views import RandomViews, mask_seen_by, seen_by
from streamwatch.model.embedding.backbone import architecture, untrained_model
from streamwatch.model.embedding.embedder import IMAGENET_MEAN, IMAGENET_STD, choose_channels
from tests.conftest import Cli, read
from tests.evaluation.pictures.made_up import DEFECTS, TESTED, TRAINED, make

pytestmark = [pytest.mark.long, pytest.mark.slow(60)]
FIGURE_TOLERANCE = 1e-4
DIMS, SEED, EPS, FPR_LIMIT = 20, 1024, 0.01, 0.3
OPTIONS = ("--weights", "untrained", "--dims", DIMS, "--json")


@pytest.fixture(scope="module")
def mvtec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("mvtec"))


@pytest.fixture
def report(cli: Cli, mvtec: Path, tmp_path: Path) -> dict[str, Any]:
    done = cli("evaluate", "mvtec", mvtec, "--report", tmp_path / "report", *OPTIONS)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found == json.loads((tmp_path / "report/report.json").read_text())
    return found


def embedded(pictures: list[np.ndarray]) -> np.ndarray:
    """(N, 3136, d) float64: torchvision's own network, hooks at three layers, nearest neighbour to 56x56."""
    network = untrained_model(architecture("resnet18"), SEED).double().eval()
    levels: list[torch.Tensor] = []
    for name in ("layer1", "layer2", "layer3"):
        network.get_submodule(name).register_forward_hook(lambda _module, _given, out: levels.append(out))
    parts = []
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    for picture in pictures:
        levels.clear()
        with torch.no_grad():
            network(((torch.from_numpy(picture).permute(2, 0, 1) / 255 - mean) / std)[None].double())
        aligned = torch.cat([interpolate(level, size=levels[0].shape[2:], mode="nearest") for level in levels], dim=1)
        parts.append(aligned[0, list(choose_channels(448, DIMS, SEED))].flatten(1).T)
    return torch.stack(parts).numpy()


def heats_of(normal: list[np.ndarray], tested: list[np.ndarray]) -> np.ndarray:
    """(N, 224, 224) by equations 1 and 2, position by position."""
    x, y = embedded(normal), embedded(tested)
    distances = np.empty(y.shape[:2])
    for at in range(x.shape[1]):
        inverse = np.linalg.inv(np.cov(x[:, at], rowvar=False) + EPS * np.eye(DIMS))
        off = y[:, at] - x[:, at].mean(axis=0)
        distances[:, at] = np.sqrt(np.einsum("nd,de,ne->n", off, inverse, off))
    grids = torch.from_numpy(distances).view(-1, 1, 56, 56)
    large = interpolate(grids, size=(224, 224), mode="bicubic", align_corners=False)[:, 0].numpy()
    return np.stack([ndimage.gaussian_filter(heat, 4) for heat in large])


def pro_of(heats: np.ndarray, masks: np.ndarray) -> float:
    """Mean coverage of the regions over the false positive rate, over every threshold that there is."""
    order = np.argsort(-heats.ravel(), kind="stable")
    normal = ~masks.ravel()[order]
    fpr = np.cumsum(normal) / normal.sum()
    coverage, regions = np.zeros(len(order)), 0
    for number, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        for region in range(1, count + 1):
            inside = np.zeros(masks.shape, dtype=bool)
            inside[number] = labels == region
            coverage += np.cumsum(inside.ravel()[order]) / inside.sum()
            regions += 1
    ends = np.searchsorted(fpr, FPR_LIMIT, side="right")
    x, y = np.append(fpr[:ends], FPR_LIMIT), np.append(coverage[:ends], coverage[ends]) / regions
    return float(np.trapezoid(np.append(0, y), np.append(0, x)) / FPR_LIMIT)


def expected(root: Path, name: str, random: bool) -> dict[str, float]:
    views = RandomViews(SEED)

    def seen(path: Path) -> np.ndarray:
        pixels = read(path)[0].pixels
        return seen_by(views(path.relative_to(root).as_posix()), pixels) if random else pixels[16:240, 16:240]

    def mask(path: Path) -> np.ndarray:
        known = root / name / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        if path.parent.name == "good":
            return np.zeros((224, 224), dtype=bool)
        resized = cv2.resize(np.asarray(cv2.imread(str(known), 0)), (256, 256), interpolation=cv2.INTER_NEAREST_EXACT) > 0
        return mask_seen_by(views(path.relative_to(root).as_posix()), resized) if random else resized[16:240, 16:240]

    paths = sorted((root / name / "test").rglob("*.png"))
    heats = heats_of([seen(path) for path in sorted((root / name / "train/good").glob("*.png"))], [seen(p) for p in paths])
    masks = np.stack([mask(path) for path in paths])
    labels = [path.parent.name != "good" for path in paths]
    return {
        "image_auroc": float(roc_auc_score(labels, heats.max(axis=(1, 2)))),
        "pixel_auroc": float(roc_auc_score(masks.ravel(), heats.ravel())),
        "pro": pro_of(heats, masks),
    }


def require_equal(found: dict[str, Any], by_hand: dict[str, float], what: str) -> None:
    for name, value in by_hand.items():
        print(f"{what} {name}: {found[name]:.6f}, by hand {value:.6f}")
        assert found[name] == pytest.approx(value, abs=FIGURE_TOLERANCE), f"{what} {name}"


def test_figures_are_those_of_an_independent_computation(mvtec: Path, report: dict[str, Any], tmp_path: Path) -> None:
    assert report["dataset"] == "mvtec"
    assert list(report["classes"]) == ["bottle", "grid"]
    for name in DEFECTS:
        found = report["classes"][name]
        assert (found["trained"], found["tested"]) == (TRAINED, TESTED * (1 + len(DEFECTS[name])))
        require_equal(found, expected(mvtec, name, random=False), name)
    for key in ("image_auroc", "pixel_auroc", "pro"):
        assert report["textures"][key] == report["classes"]["grid"][key]
        assert report["objects"][key] == report["classes"]["bottle"][key]
        assert report[key] == pytest.approx((report["textures"][key] + report["objects"][key]) / 2)
    page = (tmp_path / "report/report.html").read_text()
    assert page.count("data:image/jpeg") == 6
    assert "PaDiM R18-Rd100" in page


def test_rd_is_an_independent_computations_on_the_same_views(cli: Cli, mvtec: Path, tmp_path: Path) -> None:
    done = cli("evaluate", "mvtec", mvtec, "--report", tmp_path, "--rd", "--classes", "grid", *OPTIONS)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["dataset"], list(found["classes"])) == ("rd-mvtec", ["grid"])
    require_equal(found["classes"]["grid"], expected(mvtec, "grid", random=True), "rd grid")
    assert found["objects"] == {"image_auroc": None, "pixel_auroc": None, "pro": None}


@pytest.mark.parametrize("kept", [0, 1])
def test_a_class_with_too_little_to_learn_ends_no_other(cli: Cli, mvtec: Path, tmp_path: Path, kept: int) -> None:
    root = tmp_path / "little"
    shutil.copytree(mvtec, root)
    for path in sorted((root / "bottle/train/good").glob("*.png"))[kept:]:
        path.unlink()
    done = cli("evaluate", "mvtec", root, "--report", tmp_path / "report", *OPTIONS)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["problems"] == [f"class bottle: {kept} picture(s) to learn, and 2 are needed: no figure"]
    assert found["classes"]["bottle"]["pixel_auroc"] is None
    assert found["pixel_auroc"] == found["classes"]["grid"]["pixel_auroc"]


def test_what_is_wrong_in_the_data_is_said_and_the_rest_is_evaluated(cli: Cli, mvtec: Path, tmp_path: Path) -> None:
    root = tmp_path / "damaged"
    shutil.copytree(mvtec / "grid", root / "grid")
    (root / "grid/ground_truth/bent/000_mask.png").unlink()
    (root / "grid/ground_truth/bent/001_mask.png").write_bytes(b"no picture")
    (root / "grid/train/good/000.png").write_bytes(b"no picture")
    (root / "grid/test/good/.hidden.png").write_bytes(b"no picture")
    done = cli("evaluate", "mvtec", root, "--report", tmp_path / "report", *OPTIONS)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["classes"]["grid"]["trained"], found["classes"]["grid"]["tested"]) == (TRAINED - 1, 2 * TESTED - 2)
    assert len(found["problems"]) == 3
    assert "bent/000.png has no 000_mask.png" in found["problems"][0]
    assert "000.png" in found["problems"][1]
    assert "not a readable mask" in found["problems"][2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mvtec", "ROOT", "--scenes", "01"), "--scenes goes with shanghaitech only"),
        (("mvtec", "ROOT", "--every", "5"), "--every goes with shanghaitech, ucsd, avenue only"),
        (("ucsd", "ROOT", "--rd"), "--rd goes with mvtec only"),
        (("mvtec", "ROOT", "--classes", "screw"), "no class screw"),
        (("ucsd", "ROOT", "--variants", "--features", "both"), "--variants are of appearance alone"),
        (("mvtec", "ROOT/bottle"), "not MVTec AD: expected CLASS/train/good"),
        (("mvtec", "ROOT/none"), "found no such folder"),
    ],
)
def test_what_cannot_be_evaluated_is_said(cli: Cli, mvtec: Path, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = cli("evaluate", *(part.replace("ROOT", str(mvtec)) for part in arguments), "--report", tmp_path / "report")
    assert done.code == 2
    assert said in done.error_line
    assert not (tmp_path / "report").exists()


def test_classes_and_defects_come_in_their_order(mvtec: Path) -> None:
    bottle, grid = load_mvtec(mvtec).classes
    assert (bottle.is_texture, grid.is_texture) == (False, True)
    assert [picture.defect for picture in bottle.test] == [*["broken_large"] * 4, *["contamination"] * 4, *["good"] * 4]
