"""Which runs train together, and in which order."""

import dataclasses
from collections.abc import Sequence

from experiments.runs.store import Store
from experiments.sweeps import cost
from experiments.sweeps.algebra import Cell
from experiments.sweeps.identity import digest, run_id
from train import program
from train.config import Config


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs of one shape that train in one program.

  Attributes:
    stratum: the stratum whose measurement they get.
    configs: the runs, in the order of the replica axis.
  """

  stratum: str
  configs: tuple[Config, ...]

  @property
  def ids(self) -> tuple[str, ...]:
    """The run ids, in order."""
    return tuple(run_id(c) for c in self.configs)

  @property
  def id(self) -> str:
    """What the group is called: a hash of its members, in order."""
    return digest([self.stratum, *self.ids])


def groups(cells: Sequence[Cell]) -> list[Group]:
  """Packs planned runs of equal shape together, dearest group first.

  The packing depends on the plan alone, never on what is finished, so a sweep
  that was interrupted trains the same replicas side by side again.

  At most `mesh.pack` runs make a group, or all of one shape where it is 0.
  """
  shapes: dict[tuple[str, Config], list[Config]] = {}
  for cell in cells:
    key = (cell.stratum, program.shape(cell.config))
    members = shapes.setdefault(key, [])
    if cell.config not in members:
      members.append(cell.config)
  packed = []
  for (stratum, _), members in shapes.items():
    size = members[0].mesh.pack or len(members)
    packed += [Group(stratum, tuple(members[i:i + size]))
               for i in range(0, len(members), size)]
  # The longest first keeps the last worker from starting one at the end.
  return sorted(packed, key=lambda g: -sum(map(cost.train_flops, g.configs)))


def missing(group: Group, store: Store) -> Group | None:
  """What of a group is still to be done; None when nothing is.

  A group that was begun is finished as it was begun. One that was never begun
  but has finished members belongs to a sweep that was extended: only the new
  runs are trained.
  """
  left = [i for i in group.ids if not store.done(i)]
  if not left:
    return None
  if len(left) == len(group.ids) or store.group(group.id).exists():
    return group
  configs = dict(zip(group.ids, group.configs))
  for begun in store.begun():
    if set(begun) <= set(configs) and not set(begun).isdisjoint(left):
      return Group(group.stratum, tuple(configs[i] for i in begun))
  return Group(group.stratum, tuple(configs[i] for i in left))
