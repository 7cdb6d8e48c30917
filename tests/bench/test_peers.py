"""A peer answers from a process of its own, and figures are ratios of the same round."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import figures, started


def test_a_peer_learns_and_scores_what_it_is_given(tmp_path: Path) -> None:
    files = [tmp_path / "learned.npy", tmp_path / "scored.npy"]
    for number, path in enumerate(files):
        np.save(path, np.full((8 + number, 4, 4, 3), number, np.uint8))
    with started(sys.executable, "tests.bench.a_peer", files) as peer:
        assert peer.ask("fit")["version"] == "a peer of 8"
        answer = peer.ask("score")
        assert answer["last"] == 1.0, "the first picture of the last batch"
        assert answer["fps"] > 0
        peer.running.kill()
        with pytest.raises(RuntimeError, match="a_peer ended with exit code -9"):
            peer.ask("score")


def test_figures_are_medians_of_each_round() -> None:
    learned = [{"version": name, "seconds": seconds, "grew_mib": 10.0} for name, seconds in (("ours", 1.0), ("theirs", 20.0))]
    found = {figure.what: figure.value for figure in figures(learned, [(80.0, 10.0), (40.0, 4.0), (90.0, 10.0)])}
    assert found["Scoring, ours to the peer's"] == 9.0
    assert found["ours: scoring, batches of 8"] == 80.0
    assert found["theirs: learning 200 pictures"] == 20.0
