"""What no number of runs of a plan could show is refused before the first run.

The best p-value that an effect can have follows from its replicates alone: it
is that of the clearest sample there can be. It must reach the level that Holm
asks of the first of a stratum's effects, so that each can be told on its own.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from experiments.judge import samples, table
from experiments.judge.analyses import ANALYSES
from experiments.judge.analyses.analysis import Design
from experiments.judge.declaration import Claim, Effect, Stratum
from experiments.machine.usage import UsageError
from experiments.sweeps.plan import Plan

EXEMPT = 'smoke'  # the preset that shows nothing anyway
MANY = 64  # replicates, above which no more are asked for


def check(plan: Plan, claim: Claim) -> None:
  """Refuses a plan whose replicates cannot show what is declared.

  Raises:
    UsageError: naming the stratum, the effect, and how many would do.
  """
  if plan.preset == EXEMPT:
    return
  runs = table.runs(plan)
  for stratum in claim.strata:
    own = runs.filter(pl.col('stratum') == stratum.name)
    if own.is_empty():
      continue  # it is not asked for
    for effect in stratum.effects:
      where = f'{claim.id} ({plan.preset}), {stratum.name}, {effect.name}'
      planned = design(effect, own)
      level = claim.alpha / len(stratum.effects)
      if planned is None or best_p(effect, planned) <= level:
        continue
      raise UsageError(_refusal(where, effect, stratum, planned, level,
                                replicate(effect, own)))


def designs(plan: Plan, claim: Claim
            ) -> dict[str, dict[str, Design | None]]:
  """{stratum: {effect: its design}} of the strata that are run."""
  runs = table.runs(plan)
  planned = {part.name for part in plan.parts}
  return {stratum.name: {
    effect.name: design(effect, runs.filter(pl.col('stratum') == stratum.name))
    for effect in stratum.effects}
    for stratum in claim.strata if stratum.name in planned}


def design(effect: Effect, runs: pl.DataFrame) -> Design | None:
  """What the planned runs of a stratum give an effect.

  None where that is known only once it is measured: the items of a correlation.
  """
  bound = _bound(effect.measure)
  order = bound.get('order', (1, 2))
  if _of_clusters(effect):
    clusters = bound.get('clusters')
    at = tuple(order) if effect.analysis == 'break' else ()
    return Design(clusters, len(order), at) if clusters else None
  units = _units(effect, runs)
  instances = {instance for instance, _ in units}
  return Design(len(instances) if len(instances) > 1 else len(units),
                len(order))


def replicate(effect: Effect, runs: pl.DataFrame) -> str:
  """What the replicates of an effect are of."""
  if _of_clusters(effect):
    return 'item cluster'
  instances = {instance for instance, _ in _units(effect, runs)}
  return 'instance' if len(instances) > 1 else 'seed'


def best_p(effect: Effect, planned: Design) -> float:
  """The p-value of the clearest sample, at the bound that supports."""
  kind = ANALYSES[effect.analysis]
  clearest = kind(kind.plant(np.inf, 1.0, planned, np.random.default_rng(0)))
  bound = effect.band[0] if effect.band else effect.smallest
  assert bound is not None
  sides = 1 if effect.sided == 'greater' else 2
  return min(1.0, sides * clearest.p_above(bound))


def _units(effect: Effect, runs: pl.DataFrame) -> set[samples.Unit]:
  """The units that meet every condition of an effect's measure."""
  wheres = samples.conditions_of(effect.measure) or [{}]
  return set.intersection(*(set(zip(own['instance'], own['seed'])) for own in (
    runs.filter(*(pl.col(name).eq_missing(pl.lit(value))
                  for name, value in where.items() if name in runs.columns))
    for where in wheres)))


def _of_clusters(effect: Effect) -> bool:
  """Whether its replicates are clusters of items, not runs."""
  return (effect.analysis == 'rank correlation'
          or 'clusters' in _bound(effect.measure))


def _bound(measure: Callable[..., Any]) -> Mapping[str, Any]:
  return measure.keywords if isinstance(measure, functools.partial) else {}


def _refusal(where: str, effect: Effect, stratum: Stratum, planned: Design,
             level: float, what: str) -> str:
  enough = next((n for n in range(planned.replicates + 1, MANY + 1) if best_p(
    effect, dataclasses.replace(planned, replicates=n)) <= level), None)
  count = len(stratum.effects)
  among = f', as the first of {count} effects' if count > 1 else ''
  plural = '' if planned.replicates == 1 else 's'
  fix = f'{enough} {what}s' if enough else f'not even {MANY} {what}s'
  return (
    f'{where}: {planned.replicates} {what}{plural} cannot show it, whatever '
    f'they give: the best p-value that they can have is '
    f'{best_p(effect, planned):.2g}, and it needs {level:.2g}{among}; {fix} '
    'would do')
