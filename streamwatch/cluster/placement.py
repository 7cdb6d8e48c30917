"""Which shard watches which camera: even by load, and as few moved as that takes. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """Who watches what.

    Attributes:
        of: by camera, its shard.
        over: by shard that carries more than it can, by how many frames a second.
    """

    of: Mapping[str, str]
    over: Mapping[str, float]

    def cameras_of(self, shard: str) -> list[str]:
        """One shard's."""
        return sorted(camera for camera, mine in self.of.items() if mine == shard)


def place(loads: Mapping[str, float], capacities: Mapping[str, float], before: Mapping[str, str]) -> Placement:
    """Place every camera.

    A camera stays where it is, unless its shard is gone or moving it makes the fullest shard emptier. What has no place goes,
    the heaviest first, where it leaves the most room; between equals rendezvous hashing decides, so that whoever asks comes to
    the same answer.

    Args:
        loads: by camera, frames a second.
        capacities: by shard that may watch, frames a second that it carries; more than 0.
        before: by camera, where it is now; others' are left out.
    """
    if not capacities:
        return Placement({}, {})
    loads_of = {camera: max(load, 1e-6) for camera, load in loads.items()}
    of = {camera: before[camera] for camera in loads_of if before.get(camera) in capacities}
    carried = dict.fromkeys(capacities, 0.0)
    for camera, shard in of.items():
        carried[shard] += loads_of[camera]
    for camera in sorted(loads_of.keys() - of.keys(), key=lambda name: (-loads_of[name], name)):
        of[camera] = _roomiest(camera, loads_of[camera], carried, capacities)
        carried[of[camera]] += loads_of[camera]
    _even_out(of, loads_of, carried, capacities)
    over = {shard: round(load - capacities[shard], 6) for shard, load in carried.items() if load - capacities[shard] > 1e-6}
    return Placement(of, over)


def _roomiest(camera: str, load: float, carried: Mapping[str, float], capacities: Mapping[str, float]) -> str:
    return min(capacities, key=lambda shard: (round((carried[shard] + load) / capacities[shard], 9), _rank(camera, shard)))


def _even_out(
    of: dict[str, str], loads: Mapping[str, float], carried: dict[str, float], capacities: Mapping[str, float]
) -> None:
    """Move one camera after the other from the fullest shard to the emptiest, while the fuller of the two is then emptier."""
    for _move in range(len(loads)):
        fullest = max(capacities, key=lambda shard: (carried[shard] / capacities[shard], shard))
        emptiest = min(capacities, key=lambda shard: (carried[shard] / capacities[shard], shard))
        full = carried[fullest] / capacities[fullest]

        def fuller_then(camera: str, fullest: str = fullest, emptiest: str = emptiest) -> float:
            left = (carried[fullest] - loads[camera]) / capacities[fullest]
            return max(left, (carried[emptiest] + loads[camera]) / capacities[emptiest])

        mine = [camera for camera, shard in of.items() if shard == fullest]
        best = min(mine, key=lambda camera: (round(fuller_then(camera), 9), _rank(camera, emptiest)), default=None)
        if best is None or fuller_then(best) >= full * (1 - 1e-9):
            return
        of[best] = emptiest
        carried[fullest] -= loads[best]
        carried[emptiest] += loads[best]


def _rank(camera: str, shard: str) -> bytes:
    return hashlib.sha256(f"{shard}/{camera}".encode()).digest()
