"""MVTec AD as distributed (Bergmann et al. 2019): CLASS/train/good, CLASS/test/DEFECT, CLASS/ground_truth/DEFECT/*_mask.png."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamwatch.errors import UsageError
from streamwatch.video.folders import in_order

LAYOUT = "CLASS/train/good/*.png, CLASS/test/DEFECT/*.png and CLASS/ground_truth/DEFECT/*_mask.png"
GOOD = "good"
TEXTURES = frozenset({"carpet", "grid", "leather", "tile", "wood"})
"""The other ten classes are objects (table 1, Bergmann et al. 2019)."""
_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class TestPicture:
    """A test picture; ``mask`` is None for one without a defect."""

    __test__ = False  # its name is the field's word, not pytest's

    path: Path
    defect: str
    mask: Path | None

    @property
    def anomalous(self) -> bool:
        """Whether it shows a defect."""
        return self.defect != GOOD


@dataclass(frozen=True)
class PictureClass:
    """One class: pictures to learn, and pictures to test."""

    name: str
    training: tuple[Path, ...]
    test: tuple[TestPicture, ...]

    @property
    def is_texture(self) -> bool:
        """Whether it is one of MVTec's textures."""
        return self.name in TEXTURES


@dataclass(frozen=True)
class PictureDataset:
    """A data set of pictures; ``problems`` holds one line for everything that is missing or wrong in it."""

    name: str
    root: Path
    classes: tuple[PictureClass, ...]
    problems: tuple[str, ...] = ()


def load_mvtec(root: Path, names: tuple[str, ...] = ()) -> PictureDataset:
    """Find the classes under ``root``; what is missing or wrong becomes a problem.

    Args:
        names: classes to keep; all if empty.

    Raises:
        UsageError: ``root`` does not have the layout, or a named class is not in it.
    """
    folders = {path.name: path for path in in_order(root.glob("*")) if (path / "train" / GOOD).is_dir()}
    if not folders:
        found = ", ".join(sorted(p.name for p in root.iterdir())[:6]) if root.is_dir() else "no such folder"
        raise UsageError(f"not MVTec AD: expected {LAYOUT}, found {found}", where=root, hint="give its root folder")
    missing = sorted(set(names) - set(folders))
    if missing:
        raise UsageError(f"no class {', '.join(missing)}", where=root, hint=f"it has {', '.join(folders)}")
    problems: list[str] = []
    classes = tuple(_class(folder, problems) for name, folder in folders.items() if not names or name in names)
    return PictureDataset("mvtec", root, classes, tuple(problems))


def _class(folder: Path, problems: list[str]) -> PictureClass:
    defects = in_order(path for path in (folder / "test").glob("*") if path.is_dir())
    test = tuple(picture for defect in defects for picture in _test_pictures(folder, defect, problems))
    if not test:
        problems.append(f"class {folder.name}: no test picture: nothing to evaluate")
    return PictureClass(folder.name, tuple(_pictures(folder / "train" / GOOD)), test)


def _pictures(folder: Path) -> list[Path]:
    return in_order(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."))


def _test_pictures(folder: Path, defect: Path, problems: list[str]) -> list[TestPicture]:
    """Those of one defect; one whose mask is missing counts in no figure."""
    if defect.name == GOOD:
        return [TestPicture(path, GOOD, None) for path in _pictures(defect)]
    found = []
    for path in _pictures(defect):
        mask = folder / "ground_truth" / defect.name / f"{path.stem}_mask.png"
        if mask.is_file():
            found.append(TestPicture(path, defect.name, mask))
        else:
            problems.append(f"class {folder.name}: {defect.name}/{path.name} has no {mask.name}: it counts in no figure")
    return found
