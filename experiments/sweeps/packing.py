"""Which runs train together, and in which order."""

import dataclasses
from collections.abc import Iterable

from experiments.sweeps import cost
from experiments.sweeps.identity import digest, run_id
from experiments.sweeps.task import Task, Train, parents
from train import programs
from train.config import Config


@dataclasses.dataclass(frozen=True)
class Group:
  """Tasks that are done together: runs of one shape, in one program.

  Attributes:
    tasks: in the order of the replica axis.
  """

  tasks: tuple[Task, ...]

  @property
  def ids(self) -> tuple[str, ...]:
    """The run ids, in order."""
    return tuple(map(run_id, self.tasks))

  @property
  def id(self) -> str:
    """What the group is called: a hash of its members, in order."""
    return digest(self.ids)

  @property
  def configs(self) -> tuple[Config, ...]:
    """Those of the runs."""
    return tuple(t.config for t in self.tasks if isinstance(t, Train))

  @property
  def flops(self) -> float:
    """What training it costs."""
    return sum(map(cost.flops, self.tasks))


def distinct(tasks: Iterable[Task]) -> list[Task]:
  """Each task once, with what it starts from before it."""
  first: dict[str, Task] = {}
  for task in tasks:
    for each in (*parents(task), task):
      first.setdefault(run_id(each), each)
  return list(first.values())


def groups(tasks: Iterable[Task]) -> list[Group]:
  """Packs runs of equal shape together, parents and then the dearest first.

  The packing depends on the plan alone, never on what is finished, so a sweep
  that was interrupted trains the same replicas side by side again.

  At most `mesh.pack` runs make a group, or all of one shape where it is 0.
  """
  shapes: dict[object, list[Task]] = {}
  for task in distinct(tasks):
    shapes.setdefault(_shape(task), []).append(task)
  packed = []
  for members in shapes.values():
    first = members[0]
    size = (isinstance(first, Train) and first.config.mesh.pack) or len(members)
    packed += [Group(tuple(members[i:i + size]))
               for i in range(0, len(members), size)]
  # The longest first keeps the last worker from starting one at the end.
  return sorted(packed, key=lambda g: (len(parents(g.tasks[0])), -g.flops))


def _shape(task: Task) -> object:
  """What tasks that are done together have in common."""
  if not isinstance(task, Train):
    return run_id(task)
  return (programs.shape(task.config),
          _shape(task.start) if task.start else None)
