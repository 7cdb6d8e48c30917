"""`streamwatch evaluate` end to end: data sets whole and broken, figures, cache, report."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from streamwatch.evaluation.cache import load_result, scene_key
from streamwatch.evaluation.datasets.shanghaitech import load_shanghaitech
from streamwatch.evaluation.datasets.ucsd import labels_of, load_ucsd
from streamwatch.evaluation.scene_run import Settings, thinned
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scoring.anomaly_map import upsample
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import Cli, CliResult, encode, moving_square, read

pytestmark = pytest.mark.slow(110)

PIXEL_AUROC_TOLERANCE = 1e-4
SAME_FIGURE_TOLERANCE = 1e-6
FIXED_KEYS = {
    "dataset",
    "backbone",
    "dims",
    "pixel_auroc",
    "pro",
    "frame_auroc_micro",
    "frame_auroc_macro",
    "rbdc",
    "tbdc",
    "frames",
    "scenes",
    "protocol",
    "software",
    "machine",
    "causal",
    "literature",
}
STRANGE = (slice(60, 100), slice(10, 60))


def write_clip(root: Path, name: str, frames: int = 12, mask_frames: int | None = None) -> None:
    """A test clip in the layout of STC: the second half holds something strange."""
    folder = root / "testing/frames" / name
    folder.mkdir(parents=True)
    masks = np.zeros((frames, 120, 160), np.uint8)
    for number, picture in enumerate(moving_square(frames, noise_seed=9)):
        if number >= frames // 2:
            picture[STRANGE] = (250, 240, 0)
            masks[number][STRANGE] = 1
        cv2.imwrite(str(folder / f"{number:03d}.jpg"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    masks = masks[: mask_frames or frames]
    for kind, array in (("frame", masks.any(axis=(1, 2)).astype(np.uint8)), ("pixel", masks)):
        (root / f"testing/test_{kind}_mask").mkdir(parents=True, exist_ok=True)
        np.save(root / f"testing/test_{kind}_mask/{name}.npy", array)


@pytest.fixture(scope="module")
def stc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes: 01 whole, 02 with a clip whose masks are too few, 13 without test clips."""
    root = tmp_path_factory.mktemp("stc")
    (root / "training/videos").mkdir(parents=True)
    for name in ("01_001", "01_002", "02_001", "13_001"):
        encode(root / f"training/videos/{name}.avi", moving_square(40, noise_seed=int(name[-1])), fps=24)
    (root / "training/videos/01_003.avi").write_bytes(b"not a video" * 100)
    write_clip(root, "01_0001")
    write_clip(root, "01_0002")
    write_clip(root, "02_0001", mask_frames=10)
    write_clip(root, "02_0002")
    return root


def evaluate(cli: Cli, root: Path, report: Path, *more: object) -> CliResult:
    return cli("evaluate", "shanghaitech", root, "--report", report, "--weights", "untrained", "--json", *more)


def leaves(tree: Any, path: str = "") -> dict[str, float | None]:
    """A nested document as one level of dotted paths."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {key: value for name, branch in tree.items() for key, value in leaves(branch, f"{path}.{name}").items()}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


class _Page(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]


def test_three_scenes_end_to_end(cli: Cli, stc: Path, reports: Path) -> None:
    result = evaluate(cli, stc, reports)
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report == json.loads((reports / "report.json").read_text())
    assert set(report) >= FIXED_KEYS
    assert set(report["scenes"]) == {"01", "02", "13"}
    problems = "\n".join(report["problems"])
    assert "01_003.avi" in problems
    assert "clip 02_0001: 12 frames, but 10 frame labels and 10 masks: it counts in no figure" in problems
    assert "scene 13: no test clip" in problems
    assert [report["scenes"][name]["clips"] for name in ("01", "02", "13")] == [2, 1, 0]
    assert report["scenes"]["13"]["pixel_auroc"] is None
    assert report["scenes"]["13"]["frame_auroc_micro"] is None
    assert report["frames"] == 36
    assert report["pixel_auroc"] > 0.95
    assert report["frame_auroc_macro"] == 1.0
    assert (report["rbdc"], report["tbdc"]) == (None, None)
    assert 0 < report["mask_derived"]["rbdc"] <= 1
    assert report["protocol"]["weights"] == "untrained"


def test_the_page_stands_alone_and_holds_everything(cli: Cli, stc: Path, reports: Path) -> None:
    evaluate(cli, stc, reports)
    text = (reports / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    assert page.tags.count("svg") == 3 + 3  # curves and one timeline a clip
    assert page.tags.count("img") >= 6
    for said in ("91.2", "89.9", "85.0", "91.8", "92.1", "mask_derived", "untrained", "02_0001", "streamwatch"):
        assert said in text


def test_finished_scenes_come_from_the_cache_and_the_figures_stay(cli: Cli, stc: Path, reports: Path) -> None:
    first = json.loads(evaluate(cli, stc, reports).out)
    again = evaluate(cli, stc, reports)
    second = json.loads(again.out)
    assert again.err.count("from the cache") == 3
    for key in ("pixel_auroc", "pro", "frame_auroc_micro", "mask_derived", "causal", "literature", "scenes", "problems"):
        assert first[key] == second[key]


def test_a_damaged_cache_entry_is_made_again(cli: Cli, stc: Path, reports: Path, tmp_path: Path) -> None:
    evaluate(cli, stc, reports)
    shutil.copytree(reports / "cache", tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:500])
        assert load_result(path) is None
    assert evaluate(cli, stc, tmp_path, "--scenes", "02").err.count("from the cache") == 0


def test_the_key_follows_whatever_determines_the_result(stc: Path, tmp_path: Path) -> None:
    scene = load_shanghaitech(stc, PyAvOpener(), ("02",)).scenes[0]
    base = Settings(BackboneSpec(weights="untrained"))
    keys = {
        scene_key(scene, base, "w"),
        scene_key(scene, base, "other weights"),
        scene_key(scene, Settings(BackboneSpec(weights="untrained", seed=1)), "w"),
        scene_key(scene, Settings(base.spec, every=2), "w"),
        scene_key(scene, Settings(base.spec, train_frames=99), "w"),
        scene_key(load_shanghaitech(stc, PyAvOpener(), ("01",)).scenes[0], base, "w"),
    }
    assert len(keys) == 6
    assert scene_key(scene, base, "w") in keys


def test_scenes_in_processes_give_the_same_figures(cli: Cli, stc: Path, reports: Path, tmp_path: Path) -> None:
    alone = json.loads(evaluate(cli, stc, reports).out)
    together = json.loads(evaluate(cli, stc, tmp_path, "--workers", "2").out)
    assert leaves(together["scenes"]) == pytest.approx(leaves(alone["scenes"]), abs=SAME_FIGURE_TOLERANCE)


def test_score_and_evaluate_give_identical_scores_and_scikit_learns_pixel_auroc(
    cli: Cli, stc: Path, reports: Path, tmp_path: Path
) -> None:
    """The histogram's pixel AUROC against scikit-learn's on the same maps, and `score` against `evaluate`."""
    report = json.loads(evaluate(cli, stc, reports, "--scenes", "01").out)
    scene = load_shanghaitech(stc, PyAvOpener(), ("01",)).scenes[0]
    model = tmp_path / "m.safetensors"
    videos = [stc / "training/videos" / f"01_00{i}.avi" for i in (1, 2)]
    assert cli("fit", "--model", model, "--weights", "untrained", *videos).code == 0
    results = [load_result(path) for path in (reports / "cache").iterdir()]
    (cached,) = [r for r in results if r is not None and r.name == "01"]
    heat, truth = [], []
    for clip, kept in zip(scene.clips, cached.clips, strict=True):
        folder = tmp_path / clip.name
        frames = stc / "testing/frames" / clip.name
        asked = ("--precision", "float32", "--json", "--maps", folder)
        rows = json.loads(cli("score", "--model", model, frames, *asked).out)
        assert [row["score"] for row in rows["scores"]] == kept.scores.tolist()
        assert clip.truth
        assert clip.truth.masks
        maps = torch.from_numpy(np.stack([np.load(p) for p in sorted(folder.glob("*.npy"))]))
        heat.append(upsample(maps, 120, 160).numpy().ravel())
        truth.append(np.stack([clip.truth.masks[i] for i in range(12)]).ravel())
    exact = roc_auc_score(np.concatenate(truth), np.concatenate(heat))
    assert abs(report["pixel_auroc"] - exact) <= PIXEL_AUROC_TOLERANCE


def test_every_and_train_frames(cli: Cli, stc: Path, tmp_path: Path) -> None:
    report = json.loads(evaluate(cli, stc, tmp_path, "--scenes", "02", "--every", "5", "--train-frames", "33").out)
    assert report["frames"] == 3
    assert report["scenes"]["02"]["train_frames"] == 33


@pytest.mark.parametrize(("total", "wanted"), [(100, 30), (2550, 600), (7, 7), (10, 100)])
def test_training_frames_are_taken_evenly(total: int, wanted: int, video: Path) -> None:
    frame = read(video)[0]
    kept = list(thinned(iter([frame] * total), total, wanted))
    assert len(kept) == min(total, wanted)


def test_annotated_tracks_give_rbdc_its_name(cli: Cli, stc: Path, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks"
    tracks.mkdir()
    lines = [f"7,{frame},10,60,60,100" for frame in range(6, 12)]
    (tracks / "02_0002.txt").write_text("\n".join(lines))
    report = json.loads(evaluate(cli, stc, tmp_path, "--scenes", "02", "--tracks", tracks).out)
    assert report["mask_derived"] is None
    assert report["rbdc"] > 0.5
    (tracks / "02_0002.txt").write_text("7,6,10,60\n")
    result = evaluate(cli, stc, tmp_path, "--scenes", "02", "--tracks", tracks)
    assert result.code == 2
    assert "02_0002.txt:1" in result.error_line


def test_missing_masks_are_said(stc: Path, tmp_path: Path) -> None:
    root = tmp_path / "stc"
    shutil.copytree(stc, root)
    (root / "testing/test_frame_mask/01_0001.npy").unlink()
    (root / "testing/test_pixel_mask/01_0002.npy").unlink()
    for kind in ("frame", "pixel"):
        (root / f"testing/test_{kind}_mask/02_0001.npy").unlink()
    shutil.rmtree(root / "training/videos")
    data = load_shanghaitech(root, PyAvOpener())
    problems = "\n".join(data.problems)
    assert "clip 01_0001: no frame mask: frames are labelled by the pixel mask" in problems
    assert "clip 01_0002: no pixel mask" in problems
    assert "clip 02_0001: no frame mask and no pixel mask" in problems
    assert "scene 01: no readable training video" in problems
    truths = {clip.name: clip.truth for scene in data.scenes for clip in scene.clips}
    assert truths["01_0001"]
    assert truths["01_0001"].labels.tolist() == [False] * 6 + [True] * 6
    assert truths["01_0002"]
    assert truths["01_0002"].masks is None
    assert truths["02_0001"] is None


def test_masks_of_another_size_are_said_and_used(cli: Cli, stc: Path, tmp_path: Path) -> None:
    root = tmp_path / "stc"
    shutil.copytree(stc, root)
    path = root / "testing/test_pixel_mask/02_0002.npy"
    np.save(path, np.load(path)[:, ::2, ::2])
    report = json.loads(evaluate(cli, root, tmp_path / "report", "--scenes", "02").out)
    assert any("frames are 160x120, masks 80x60" in problem for problem in report["problems"])
    assert report["pixel_auroc"] > 0.9


@pytest.mark.parametrize(("make", "says"), [(None, "does not exist"), ("file", "is a file"), ("folder", "found nothing")])
def test_a_bad_root_shows_the_layout(cli: Cli, tmp_path: Path, make: str | None, says: str) -> None:
    root = tmp_path / "root"
    if make == "file":
        root.touch()
    if make == "folder":
        root.mkdir()
    for name, layout in (("shanghaitech", "training/videos/SS_CCC.avi"), ("ucsd", "Train/TrainNNN")):
        result = cli("evaluate", name, root, "--report", tmp_path / "r", "--weights", "untrained")
        assert result.code == 2
        assert layout in result.error_line
        if name == "shanghaitech":
            assert says in result.error_line
    assert not (tmp_path / "r").exists()


def test_a_scene_that_is_not_there(cli: Cli, stc: Path, tmp_path: Path) -> None:
    result = evaluate(cli, stc, tmp_path / "r", "--scenes", "01,07")
    assert result.code == 2
    assert "no scene 07" in result.error_line
    assert "01, 02, 13" in result.error_line


@pytest.fixture
def ucsd(tmp_path: Path) -> Path:
    """UCSD as distributed: one clip with masks, one with a range in the .m file."""
    root = tmp_path / "UCSDped2"
    for folder, seed in (("Train/Train001", 1), ("Train/Train002", 2), ("Test/Test001", 3), ("Test/Test002", 4)):
        (root / folder).mkdir(parents=True)
        for number, picture in enumerate(moving_square(20, noise_seed=seed)):
            if folder.startswith("Test/") and number >= 10:
                picture[STRANGE] = (250, 240, 0)
            cv2.imwrite(str(root / folder / f"{number + 1:03d}.tif"), cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    (root / "Test/Test001_gt").mkdir()
    for number in range(20):
        mask = np.zeros((120, 160), np.uint8)
        mask[STRANGE] = 255 * (number >= 10)
        cv2.imwrite(str(root / f"Test/Test001_gt/frame{number + 1:03d}.bmp"), mask)
    (root / "Test/UCSDped2.m").write_text(
        "TestVideoFile{end+1}.gt_frame = [11:20];\nTestVideoFile{end+1}.gt_frame = [11:20];\n"
    )
    return root


def test_ucsd_end_to_end(cli: Cli, ucsd: Path, tmp_path: Path) -> None:
    result = cli("evaluate", "ucsd", ucsd, "--report", tmp_path / "r", "--weights", "untrained", "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["dataset"] == "ucsd"
    assert report["frames"] == 40
    assert report["frame_auroc_micro"] > 0.95
    assert report["pixel_auroc"] > 0.9
    assert any("Test002: no masks: it counts in the frame figures only" in p for p in report["problems"])


def test_ucsd_ranges_and_masks(ucsd: Path) -> None:
    (scene,) = load_ucsd(ucsd).scenes
    for clip in scene.clips:
        assert clip.truth
        assert clip.truth.labels.tolist() == [False] * 10 + [True] * 10
    assert labels_of("1:2, 5", 6).tolist() == [True, True, False, False, True, False]
