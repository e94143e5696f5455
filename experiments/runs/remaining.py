"""What of a plan is still to be done."""

import dataclasses
from collections.abc import Mapping, Sequence

from data import durable
from experiments.runs import instrument
from experiments.runs.instrument import Measure
from experiments.runs.store import Store
from experiments.sweeps.identity import run_id
from experiments.sweeps.packing import Group
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Train, parents


@dataclasses.dataclass(frozen=True)
class Work:
  """One group of a plan, and what is measured of its members.

  Attributes:
    group: as the plan packs it.
    measures: by run id; runs that are only started from have none.
  """

  group: Group
  measures: Mapping[str, Sequence[Measure]]

  def done(self, store: Store) -> bool:
    """Whether everything is trained and measured."""
    return untrained(self.group, store) is None and not any(
      self.unmeasured(store).values())

  def unmeasured(self, store: Store) -> dict[str, list[Measure]]:
    """The measures still to be taken, by run id."""
    return {run: instrument.missing(store, run, self.measures.get(run, ()))
            for run in self.group.ids}

  def ready(self, store: Store) -> bool:
    """Whether what its members start from is done."""
    return all(store.done(run_id(parent)) for task in self.group.tasks
               for parent in parents(task) if isinstance(parent, Train))


def work(plan: Plan) -> list[Work]:
  """All groups of a plan, in the order in which they are begun."""
  measures = instrument.planned(plan.parts, plan.cells)
  return [Work(group, {run: measures.get(run, []) for run in group.ids})
          for group in plan.groups()]


def done(plan: Plan, store: Store) -> int:
  """How many distinct runs are trained and measured."""
  return sum(
    untrained(Group((task,)), store) is None and not one.unmeasured(store)[
      run_id(task)]
    for one in work(plan) for task in one.group.tasks)


def tally(plan: Plan, store: Store) -> str:
  """'3 of 48 runs': how many distinct ones are trained and measured."""
  runs = len(plan.run_ids())
  return f'{done(plan, store)} of {runs} run{"" if runs == 1 else "s"}'


def untrained(group: Group, store: Store) -> Group | None:
  """What of a group is still to be trained; None when nothing is.

  A group that was begun is finished as it was begun. One that was never begun
  but has finished members belongs to a sweep that was extended: only the new
  runs are trained.
  """
  tasks = {run_id(task): task for task in group.tasks
           if isinstance(task, Train)}
  left = [run for run in tasks if not store.done(run)]
  if not left:
    return None
  if len(left) == len(tasks) or (
      len(tasks) > 1 and (store.group(group) / 'members.json').exists()):
    return group
  for begun in store.begun():
    if set(begun) <= set(tasks) and not set(begun).isdisjoint(left):
      return Group(tuple(tasks[run] for run in begun))
  return Group(tuple(tasks[run] for run in left))


def failure(store: Store, group: Group) -> dict[str, str] | None:
  """Why the group failed the last time it was tried, if it did."""
  left = untrained(group, store) or group
  found: dict[str, str] | None = durable.read_json(
    store.group(left) / 'failure.json')
  return found
