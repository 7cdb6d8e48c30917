"""`streamwatch evaluate avenue` on a made-up data set of exactly CUHK Avenue's form."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import io
from sklearn.metrics import roc_auc_score

from streamwatch.evaluation.datasets.avenue import MatlabMasks, load_avenue
from streamwatch.retry import caught
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import Cli, encode, moving_square

FRAMES, SIZE = 16, (120, 160)
STRANGE = (slice(60, 100), slice(10, 60))
OPTIONS = ("--weights", "untrained", "--dims", "20", "--json")


def save_masks(path: Path, masks: list[np.ndarray]) -> None:
    """As MATLAB saves a cell array of one row."""
    cells = np.empty((1, len(masks)), dtype=object)
    cells[0] = masks
    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, {"volLabel": cells}, do_compression=True)


def make(root: Path, inner: str = "") -> Path:
    """Two training videos and two clips, of each of which the second half holds something strange."""
    for number in (1, 2):
        (root / inner / "training_videos").mkdir(parents=True, exist_ok=True)
        encode(root / inner / f"training_videos/{number:02d}.avi", moving_square(40, noise_seed=number), fps=25)
        (root / inner / "testing_videos").mkdir(exist_ok=True)
        pictures, masks = list(moving_square(FRAMES, noise_seed=9 + number)), []
        for at, picture in enumerate(pictures):
            mask = np.zeros(SIZE, np.uint8)
            if at >= FRAMES // 2:
                picture[STRANGE], mask[STRANGE] = (250, 240, 0), 1
            masks.append(mask)
        encode(root / inner / f"testing_videos/{number:02d}.avi", iter(pictures), fps=25)
        save_masks(root / f"ground_truth_demo/testing_label_mask/{number}_label.mat", masks)
    return root


@pytest.mark.parametrize("inner", ["", "Avenue Dataset"])
def test_it_is_evaluated_by_its_masks(cli: Cli, tmp_path: Path, inner: str) -> None:
    root = make(tmp_path / "avenue", inner)
    done = cli("evaluate", "avenue", root, "--report", tmp_path / "report", *OPTIONS)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["dataset"], report["frames"], report["problems"]) == ("avenue", 2 * FRAMES, [])
    assert report["scenes"]["avenue"]["train_frames"] == 80
    assert report["frame_auroc_micro"] > 0.99
    assert report["pixel_auroc"] > 0.95
    assert report["scenes"]["avenue"]["clips"] == 2


def test_pixel_figures_are_scikit_learns(cli: Cli, tmp_path: Path) -> None:
    root = make(tmp_path / "avenue")
    done = cli("evaluate", "avenue", root, "--report", tmp_path / "report", *OPTIONS)
    report, labels, scores = json.loads(done.out), [], []
    model = tmp_path / "m.safetensors"
    videos = sorted((root / "training_videos").glob("*.avi"))
    assert cli("fit", "--model", model, *OPTIONS[:-1], *videos).code == 0
    for number in (1, 2):
        clip = root / f"testing_videos/{number:02d}.avi"
        rows = json.loads(cli("score", "--model", model, clip, "--json", "--precision", "float32").out)["scores"]
        masks = MatlabMasks(root / f"ground_truth_demo/testing_label_mask/{number}_label.mat")
        assert len(masks) == FRAMES
        labels += [bool(masks[at].any()) for at in range(FRAMES)]
        scores += [row["score"] for row in rows]
    assert report["frame_auroc_micro"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_what_is_wrong_is_said_and_the_rest_is_there(tmp_path: Path) -> None:
    root = make(tmp_path / "avenue")
    masks = root / "ground_truth_demo/testing_label_mask"
    save_masks(masks / "1_label.mat", [np.zeros(SIZE, np.uint8)] * (FRAMES - 1))
    io.savemat(masks / "2_label.mat", {"another": np.zeros(3)})
    (root / "training_videos/02.avi").write_bytes(b"no video")
    encode(root / "testing_videos/03.avi", moving_square(FRAMES), fps=25)
    (root / "testing_videos/04.avi").write_bytes(b"no video")
    data = load_avenue(root, PyAvOpener())
    (scene,) = data.scenes
    assert [clip.name for clip in scene.clips] == ["01", "02", "03"]
    assert [clip.truth for clip in scene.clips] == [None, None, None]
    assert len(scene.training) == 1
    told = "\n".join(data.problems)
    for said in (
        "training video 02.avi",
        "clip 01: 16 frames, but 15 masks",
        "clip 02: 2_label.mat holds no volLabel",
        "clip 03: no 3_label.mat",
        "clip 04: ",
    ):
        assert said in told


def test_another_folder_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    done = cli("evaluate", "avenue", tmp_path, "--report", tmp_path / "report")
    assert done.code == 2
    assert "not CUHK Avenue: expected training_videos/NN.avi" in done.error_line
    assert "found videos" in done.error_line


def test_a_cell_that_is_no_mask_is_refused(tmp_path: Path) -> None:
    save_masks(tmp_path / "1_label.mat", [np.zeros(SIZE, np.uint8), np.zeros((2, 2), np.uint8)])
    with pytest.raises(ValueError, match="not one mask per frame"):
        len(MatlabMasks(tmp_path / "1_label.mat"))


def test_a_damaged_file_is_no_internal_fault(tmp_path: Path) -> None:
    path = tmp_path / "1_label.mat"
    save_masks(path, [np.zeros(SIZE, np.uint8)] * 9)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    damaged = [b"", b"no mat" * 50, whole[:60], whole[:130], whole[: len(whole) // 2], whole[:-3]]
    for _ in range(60):
        altered = bytearray(whole)
        for at in rng.integers(0, len(altered), 3):
            altered[at] = rng.integers(0, 256)
        damaged.append(bytes(altered))
    refused = 0
    for number, content in enumerate(damaged):
        file = tmp_path / f"{number + 2}_label.mat"
        file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SciPy's and NumPy's own, of what a damaged file seems to hold
            failure = caught(partial(len, MatlabMasks(file)))
        assert failure is None or (isinstance(failure, ValueError) and file.name in str(failure))
        refused += failure is not None
    assert refused > len(damaged) / 2


def test_cells_of_text_are_no_masks(tmp_path: Path) -> None:
    cells = np.empty((1, 2), dtype=object)
    cells[0] = ["no", "masks"]
    io.savemat(tmp_path / "1_label.mat", {"volLabel": cells})
    with pytest.raises(ValueError, match="not one mask per frame"):
        len(MatlabMasks(tmp_path / "1_label.mat"))
