"""The shelves as bodies in contact: what the load cells feel, and how the units move, of one and the same motion.

Each shelf is a heavy board on a spring (the gondola), with twelve plates on stiff springs (the load
cells) and the units standing on them as free bodies. A hand takes hold of a unit by a soft weld:
the unit's weight goes over into the hand as the hand rises, neighbours are nudged, a unit set down
presses, rings and settles. MuJoCo computes the contacts. A shelf stands still between its reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from checkout.catalog import Planogram, shelf_of
from checkout.render.engine import load_mujoco
from checkout.render.products import DrawnProduct
from checkout.render.scene import DEPTH_M, PLATE_M, PLATES_PER_SHELF, WIDTH_M, Unit
from checkout.render.script import Deed, Script, Stage, grasp_palm

RATE_HZ = 60.0
STEPS_PER_SAMPLE = 8
STEP_S = 1.0 / (RATE_HZ * STEPS_PER_SAMPLE)
PLATE_KG, PLATE_N_PER_M, PLATE_DAMPING = 2.0, 60_000.0, 0.70
"""Assumed, so that picks fall and ring as the real one did (tests/realdata/test_aifi_recording.py)."""
GONDOLA_KG, GONDOLA_HZ, GONDOLA_DAMPING = 150.0, 8.5, 0.20
"""Measured: the real gondola with the shopper rings at 8-9 Hz; its mass follows from the neighbour plate's 7 g."""
SETTLE_S, SETTLE_DAMPING = 1.2, 25.0
"""Before the recording the shelf comes to rest in treacle, and then without it."""
BEFORE_S, AFTER_S = 0.25, 1.2
"""A shelf is simulated from before a reach's hand is at the item until after it is out."""
LEAN_G = 13.0
"""Measured: leaning on the real shelf moved a neighbouring plate by up to 13 g (shared/data README)."""
GRAVITY = 9.81
PARKED_M = 30.0
FOOT_M = 0.004


@dataclass
class ShelfMotion:
    """What the simulation gives.

    Attributes:
        t_s: sample times [n], seconds, 60 a second.
        grams: load of each plate [n], without offset, noise and electronics.
        placed: for each unit that moved on a shelf, its times [k] and poses [k, 7] (base, quaternion w x y z);
            the last pose of a stretch lasts until the next one begins.
        held: for each (deed, unit) that was lifted, its offset from the palm [3] and quaternion.
        settled_g: largest load change of any plate in the last tenth of a second of a shelf's stretch.
    """

    t_s: np.ndarray
    grams: dict[str, np.ndarray]
    placed: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    held: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    settled_g: float = 0.0


def simulate_shelves(
    script: Script,
    stage: Stage,
    planogram: Planogram,
    products: Sequence[DrawnProduct],
    units: Sequence[Unit],
    rng: np.random.Generator,
    *,
    leaning: float = 0.0,
) -> ShelfMotion:
    """Move every reach of a script through its shelf.

    Args:
        leaning: share of reaches in which the shopper rests a good part of an arm on the shelf.
    """
    t_s = np.arange(round(script.duration_s * RATE_HZ)) / RATE_HZ
    motion = ShelfMotion(t_s, {})
    for shelf in sorted({f.shelf for f in planogram.values()}):
        deeds = [(i, d) for i, d in enumerate(script.deeds) if shelf_of(d.facing) == shelf]
        _Shelf(shelf, deeds, script, stage, planogram, products, units, rng, leaning).run(motion)
    return motion


@dataclass(frozen=True)
class _Push:
    """A force from outside: on a plate or a unit, newtons downward, over a time."""

    body: str
    start_s: float
    end_s: float
    down_n: float
    aside_n: float = 0.0

    def at(self, t_s: float) -> np.ndarray | None:
        if not self.start_s < t_s < self.end_s:
            return None
        bump = np.sin(np.pi * (t_s - self.start_s) / (self.end_s - self.start_s)) ** 2
        return np.array([0.0, self.aside_n * bump, -self.down_n * bump])


class _Shelf:
    def __init__(
        self,
        shelf: str,
        deeds: Sequence[tuple[int, Deed]],
        script: Script,
        stage: Stage,
        planogram: Planogram,
        products: Sequence[DrawnProduct],
        units: Sequence[Unit],
        rng: np.random.Generator,
        leaning: float,
    ) -> None:
        mujoco = self.mj = load_mujoco()
        self.shelf, self.deeds, self.script, self.stage = shelf, deeds, script, stage
        self.products, self.units = products, units
        names = [f.facing for f in planogram.values() if f.shelf == shelf]
        low = planogram[names[0]].box_min_m
        assert low is not None
        self.height_m = low[2]
        self.plates = [f"{shelf}.p{i + 1}" for i in range(PLATES_PER_SHELF)]
        standing = {
            u: h[0].at_m
            for u, h in script.holds.items()
            if h[0].where == "slot" and shelf_of(h[0].facing) == shelf
        }
        arriving = {u for _, d in deeds if d.kind == "put_back" for u in d.units}
        self.own = sorted({*standing, *arriving})
        self.model: Any = mujoco.MjModel.from_xml_string(self._xml())
        self.data: Any = mujoco.MjData(self.model)
        self.body = {self.model.body(i).name: i for i in range(self.model.nbody)}
        self.weld = {self.model.eq(i).name: i for i in range(self.model.neq)}
        self.qpos = {
            u: int(self.model.jnt_qposadr[self.model.body_jntadr[self.body[f"u{u}"]]]) for u in self.own
        }
        self.qvel = {
            u: int(self.model.jnt_dofadr[self.model.body_jntadr[self.body[f"u{u}"]]]) for u in self.own
        }
        self.joints = np.array([self.model.joint(f"j{i}").qposadr[0] for i in range(PLATES_PER_SHELF)])
        self.present: set[int] = set()
        for unit in self.own:
            if unit in standing:
                self.put(unit, np.array(standing[unit]), np.array([1.0, 0, 0, 0]))
            else:
                self.park(unit)
        self.pushes = self._pushes(rng, leaning)
        self.steps: list[tuple[float, int, str, int]] = []

    def _xml(self) -> str:
        spring = (2 * np.pi * GONDOLA_HZ) ** 2 * GONDOLA_KG
        damping = 2 * GONDOLA_DAMPING * np.sqrt(spring * GONDOLA_KG)
        plate_damping = 2 * PLATE_DAMPING * np.sqrt(PLATE_N_PER_M * (PLATE_KG + 1.5))
        plates = "".join(
            f'<body name="p{i}" pos="{-WIDTH_M / 2 + (i + 0.5) * PLATE_M} {DEPTH_M / 2} 0">'
            f'<joint name="j{i}" type="slide" axis="0 0 1" stiffness="{PLATE_N_PER_M}" damping="{plate_damping}"/>'
            f'<geom type="box" size="{PLATE_M / 2 - 0.0004} {DEPTH_M / 2} 0.004" pos="0 0 -0.004" mass="{PLATE_KG}"'
            f' contype="1" conaffinity="2"/></body>'
            for i in range(PLATES_PER_SHELF)
        )
        bodies = [
            f'<body name="board" pos="0 0 {self.height_m}" gravcomp="1"><joint type="slide" axis="0 0 1"'
            f' stiffness="{spring}" damping="{damping}"/><inertial pos="0 0 0" mass="{GONDOLA_KG}"'
            f' diaginertia="9 9 9"/>{plates}</body>',
            f'<geom type="box" size="{WIDTH_M} 0.01 0.2" pos="0 {DEPTH_M + 0.011} {self.height_m + 0.2}"'
            f' contype="4" conaffinity="4"/>',
        ]
        for unit in self.own:
            product = self.products[self.units[unit].product]
            mass = f'mass="{self.units[unit].weight_g / 1000:.6f}"'
            bodies.append(
                f'<body name="u{unit}" pos="{PARKED_M} {unit} 0" gravcomp="1"><freejoint/>'
                f"{_unit_geoms(product, mass)}</body>"
            )
        hands = sorted({d.person for _, d in self.deeds})
        bodies += [f'<body name="h{person}" mocap="true" pos="0 -1 {self.height_m}"/>' for person in hands]
        pairs = sorted({(d.person, u) for _, d in self.deeds if d.kind != "touch" for u in d.units})
        welds = "".join(
            f'<weld name="h{p}u{u}" body1="h{p}" body2="u{u}" active="false" solref="0.03 1" solimp="0.9 0.95 0.001"/>'
            for p, u in pairs
        )
        return (
            f'<mujoco><option timestep="{STEP_S:.10f}" integrator="implicitfast" cone="elliptic" iterations="30"/>'
            '<default><geom solref="0.006 1" solimp="0.9 0.95 0.001" friction="0.5 0.003 0.0001" condim="4"/></default>'
            f"<worldbody>{''.join(bodies)}</worldbody><equality>{welds}</equality></mujoco>"
        )

    def _pushes(self, rng: np.random.Generator, leaning: float) -> list[_Push]:
        found = []
        for _, deed in self.deeds:
            span = deed.marks[1] - 0.15, deed.marks[3] + 0.15
            first = int((deed.base_m[0] + WIDTH_M / 2) / PLATE_M)
            beside = int(np.clip(first + rng.integers(-2, 3), 0, PLATES_PER_SHELF - 1))
            force = float(np.clip(abs(rng.normal(0, LEAN_G / 2)), 0, LEAN_G))
            if rng.uniform() < leaning:
                force = float(rng.uniform(30, 180))
            found.append(_Push(f"p{beside}", *span, force * GRAVITY / 1000))
            if deed.kind == "touch":
                down, aside = float(rng.uniform(15, 90)), float(rng.uniform(-0.2, 0.25))
                found.append(
                    _Push(
                        f"u{deed.units[0]}",
                        deed.marks[1],
                        2 * deed.marks[2] - deed.marks[1],
                        down * GRAVITY / 1000,
                        aside,
                    )
                )
        return found

    def put(self, unit: int, base: np.ndarray, quaternion: np.ndarray) -> None:
        """Stand a unit somewhere, at rest and with its weight."""
        at = self.qpos[unit]
        self.data.qpos[at : at + 3], self.data.qpos[at + 3 : at + 7] = base, quaternion
        self.data.qvel[self.qvel[unit] : self.qvel[unit] + 6] = 0.0
        self.model.body_gravcomp[self.body[f"u{unit}"]] = 0.0
        self.present.add(unit)

    def park(self, unit: int) -> None:
        """Take a unit out of the shelf, weightless."""
        self.put(unit, np.array([PARKED_M, float(unit), 0.0]), np.array([1.0, 0, 0, 0]))
        self.model.body_gravcomp[self.body[f"u{unit}"]] = 1.0
        self.present.discard(unit)

    def pose(self, unit: int) -> np.ndarray:
        return np.array(self.data.qpos[self.qpos[unit] : self.qpos[unit] + 7])

    def grip(self, person: int, unit: int, closed: bool) -> None:
        """Weld a unit to a hand as it now stands to it, or let it go."""
        index = self.weld[f"h{person}u{unit}"]
        if closed:
            pose, hand = (
                self.pose(unit),
                self.data.mocap_pos[self.model.body_mocapid[self.body[f"h{person}"]]],
            )
            self.model.eq_data[index, :3] = 0.0
            self.model.eq_data[index, 3:6] = pose[:3] - hand
            self.model.eq_data[index, 6:10] = pose[3:]
        self.data.eq_active[index] = int(closed)

    def run(self, motion: ShelfMotion) -> None:
        """Simulate the stretches in which somebody reaches; in between, the shelf stands still."""
        for damping in (SETTLE_DAMPING, 1 / SETTLE_DAMPING):
            self.model.dof_damping[:] *= damping
            for _ in range(round(SETTLE_S / STEP_S)):
                self.mj.mj_step(self.model, self.data)
        n = len(motion.t_s)
        grams = np.zeros((n, PLATES_PER_SHELF))
        log: dict[int, list[tuple[float, np.ndarray]]] = {u: [] for u in self.own}
        for unit in self.present:
            log[unit].append((0.0, self.pose(unit)))
        actions = self._actions()
        busy = np.zeros(n, bool)
        for _, deed in self.deeds:
            low, high = deed.marks[1] - BEFORE_S, deed.marks[3] + AFTER_S
            if deed.kind == "put_back":
                low -= 1.0
            busy[int(max(low, 0) * RATE_HZ) : int(high * RATE_HZ) + 1] = True
        resting = self._load()
        for sample in range(n):
            if not busy[sample]:
                grams[sample] = resting
                continue
            total = np.zeros(PLATES_PER_SHELF)
            for step in range(STEPS_PER_SAMPLE):
                now = (sample + step / STEPS_PER_SAMPLE) / RATE_HZ
                while actions and actions[0][0] <= now:
                    self._do(actions.pop(0), motion)
                self._hands(now)
                self._push(now)
                self.mj.mj_step(self.model, self.data)
                total += self._load()
            grams[sample] = total / STEPS_PER_SAMPLE
            for unit in self.present:
                log[unit].append((sample / RATE_HZ, self.pose(unit)))
            if sample + 1 == n or not busy[sample + 1]:
                resting = grams[max(0, sample - 20) : sample + 1].mean(axis=0)
                motion.settled_g = max(
                    motion.settled_g, float(np.ptp(grams[max(0, sample - 6) : sample + 1], axis=0).max())
                )
        motion.grams |= {name: grams[:, i] for i, name in enumerate(self.plates)}
        for unit, rows in log.items():
            moved = len(rows) > 1
            if moved or unit not in motion.placed:
                before = motion.placed.get(unit)
                times = np.array([t for t, _ in rows])
                poses = np.array([p for _, p in rows]).reshape(-1, 7)
                if before is not None:
                    order = np.argsort(np.concatenate([before[0], times]), kind="stable")
                    times = np.concatenate([before[0], times])[order]
                    poses = np.vstack([before[1], poses])[order]
                motion.placed[unit] = times, poses

    def _actions(self) -> list[tuple[float, int, str, int]]:
        """When hands close and open and units come and go: (seconds, deed, what, unit)."""
        found: list[tuple[float, int, str, int]] = []
        for index, deed in self.deeds:
            for unit in deed.units:
                if deed.kind == "pick":
                    found += [
                        (deed.marks[1] + 0.04, index, "close", unit),
                        (deed.marks[3], index, "away", unit),
                    ]
                elif deed.kind == "put_back":
                    arrive = next(
                        h.t_s
                        for h in reversed(self.script.holds[unit])
                        if h.where == "hand" and h.t_s < deed.marks[2]
                    )
                    come = max(arrive + 0.1, deed.marks[1] - 0.45)
                    found += [(come, index, "come", unit), (deed.marks[2], index, "open", unit)]
        return sorted(found)

    def _do(self, action: tuple[float, int, str, int], motion: ShelfMotion) -> None:
        t_s, index, what, unit = action
        deed = self.script.deeds[index]
        self._hands(t_s)
        hand = self.data.mocap_pos[self.model.body_mocapid[self.body[f"h{deed.person}"]]]
        if what == "close":
            self.grip(deed.person, unit, True)
        elif what == "away":
            pose = self.pose(unit)
            motion.held[index, unit] = pose[:3] - hand, pose[3:]
            self.grip(deed.person, unit, False)
            self.park(unit)
        elif what == "come":
            offset = held_offset(self.script, deed.person, self.products[self.units[unit].product])
            self.put(unit, hand + offset, np.array([1.0, 0, 0, 0]))
            self.grip(deed.person, unit, True)
        else:
            self.grip(deed.person, unit, False)

    def _hands(self, t_s: float) -> None:
        for person in {d.person for _, d in self.deeds}:
            pose = self.stage.pose(person, t_s)
            if pose is not None and pose.palm_m["right"] is not None:
                self.data.mocap_pos[self.model.body_mocapid[self.body[f"h{person}"]]] = pose.palm_m["right"]

    def _push(self, t_s: float) -> None:
        self.data.xfrc_applied[:] = 0.0
        for push in self.pushes:
            force = push.at(t_s)
            if force is not None:
                self.data.xfrc_applied[self.body[push.body], :3] += force

    def _load(self) -> np.ndarray:
        return np.asarray(-PLATE_N_PER_M * self.data.qpos[self.joints] / GRAVITY * 1000.0 - PLATE_KG * 1000.0)


def _unit_geoms(product: DrawnProduct, mass: str) -> str:
    """A unit's shape for contacts: plates are type 1, what stands on them 2, sides 4.

    A package with corners stands on four small feet and has round edges, because flat faces on flat
    faces make the contact points jump from step to step.
    """
    x, y, z = product.half_m
    if product.round:
        return f'<geom type="cylinder" size="{x} {z}" pos="0 0 {z}" {mass} contype="6" conaffinity="5"/>'
    corners = [(i * (x - FOOT_M), j * (y - FOOT_M)) for i in (-1, 1) for j in (-1, 1)]
    feet = "".join(
        f'<geom type="sphere" size="{FOOT_M}" pos="{i} {j} {FOOT_M}" mass="0" contype="2" conaffinity="1"/>'
        f'<geom type="capsule" size="{FOOT_M}" fromto="{i} {j} {3 * FOOT_M} {i} {j} {2 * z - FOOT_M}" mass="0"'
        f' contype="4" conaffinity="4"/>'
        for i, j in corners
    )
    return f'<geom type="box" size="{x} {y} {z}" pos="0 0 {z}" {mass} contype="0" conaffinity="0"/>{feet}'


def held_offset(script: Script, person: int, product: DrawnProduct) -> np.ndarray:
    """Base of a freshly held unit, from the palm, metres."""
    palm = grasp_palm(script.people[person].build, product, np.zeros(3))
    return np.asarray(-palm)


def unit_poses(script: Script, stage: Stage, motion: ShelfMotion, products: Sequence[DrawnProduct],
               units: Sequence[Unit], t_s: float) -> Mapping[int, tuple[np.ndarray, np.ndarray] | None]:  # fmt: skip
    """Base and quaternion of every unit at a moment; None when it is out of sight."""
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    where: dict[int, tuple[np.ndarray, np.ndarray] | None] = {}
    poses = [stage.pose(person, t_s) for person in range(len(script.people))]
    lifted = {
        (d.person, u): i
        for i, d in enumerate(script.deeds)
        if d.kind == "pick" and d.marks[1] <= t_s
        for u in d.units
    }
    for unit, holds in script.holds.items():
        hold = next(h for h in reversed(holds) if h.t_s <= t_s or h is holds[0])
        if (
            hold.where in ("slot", "hand")
            and (on_shelf := _placed(motion, unit, t_s, hold.where == "hand")) is not None
        ):
            where[unit] = on_shelf
            continue
        pose = poses[hold.person] if hold.person >= 0 else None
        if hold.where == "floor":
            where[unit] = np.array(hold.at_m), upright
        elif hold.where == "hand" and pose is not None and pose.palm_m["right"] is not None:
            offset, turn = motion.held.get(
                (lifted.get((hold.person, unit), -1), unit),
                (held_offset(script, hold.person, products[units[unit].product]), upright),
            )
            where[unit] = pose.palm_m["right"] + offset, turn
        elif hold.where == "carrier" and pose is not None:
            where[unit] = _in_carrier(script, hold.person, hold.order, pose), upright
        else:
            where[unit] = None
    return where


def _placed(
    motion: ShelfMotion, unit: int, t_s: float, in_hand: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """A unit's pose on its shelf, as simulated; None where the simulation does not have it."""
    if unit not in motion.placed:
        return None
    times, poses = motion.placed[unit]
    row = int(np.searchsorted(times, t_s + 1e-9, side="right")) - 1
    if row < 0 or (in_hand and t_s - times[row] > 1.5 / RATE_HZ):
        return None
    return poses[row, :3], poses[row, 3:]


def _in_carrier(script: Script, person: int, order: int, pose: Any) -> np.ndarray:
    from checkout.render.scene import carrier_position

    build = script.people[person].build
    wide = (0.10, 0.14, -0.12) if build.carries == "trolley" else (0.07, 0.09, -0.09)
    spot = np.array(
        [
            wide[0] * (order % 4) - 1.4 * wide[0],
            wide[1] * ((order // 4) % 2) - wide[1] / 2,
            wide[2] + 0.05 * (order // 8),
        ]
    )
    return np.asarray(carrier_position(build, pose) + spot)
