"""The engine: from a declared claim and the results table to a verdict.

A stratum's rule asks for several states at once, and a claim is supported only
where all its strata are: a verdict is an intersection-union test, which keeps
the level of its parts without correction (Berger, 1982). A reader who singles
out one effect does need one, so each p-value comes with its Holm adjustment
over the effects of its stratum.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import polars as pl

from experiments.judge import reasons, statistics
from experiments.judge.decision import decide
from experiments.judge.declaration import (
  Claim,
  Control,
  Premise,
  Property,
  Stratum,
)
from experiments.judge.record import (
  NOT_RUN,
  ClaimResult,
  ControlResult,
  EffectResult,
  PropertyResult,
  StratumResult,
  Verdict,
)
from experiments.judge.samples import MissingMeasurement
from experiments.judge.seal import Sealed

# Replicates; with fewer it is a smoke test, whatever it shows. Many items of
# one training are one replicate of it: items count where nothing was trained.
FEWEST = 5
# Tiers whose evidence is of one kind: exact, from training, of a pretrained
# model.
KINDS = {'E0': 'exact', 'E1': 'trained', 'E2': 'trained', 'E3': 'pretrained'}


def judge(claim: Claim, table: pl.DataFrame, planned: Mapping[str, int],
          commit: str, smoke: bool, sealed: Sealed,
          optional: Sequence[str] = (),
          absent: Mapping[str, str] | None = None) -> ClaimResult:
  """Judges a claim on the results table.

  Args:
    claim: what was declared.
    table: the results, one number a row (see `experiments.judge.table`).
    planned: how many runs each stratum has that is run; the claim's other
      strata are left out.
    commit: of the code that judges.
    smoke: the runs were a smoke test.
    sealed: what the seal says.
    optional: the strata without which the claim is judged whole.
    absent: those that were asked for and cannot be run here, {stratum: why}.
  """
  absent = absent or {}
  asked = [s for s in claim.strata if s.name in planned]
  left_out = tuple(s.name for s in claim.strata
                   if s.name not in planned and s.name not in optional)
  if sealed.changes:
    changed = reasons.changed(sealed.changes)
    strata = [_void(stratum, table, planned, 'invalid', changed)
              for stratum in asked]
    verdict: Verdict = 'invalid'
    because = changed
  else:
    strata = [_judge_stratum(stratum, table, planned, claim.alpha)
              for stratum in asked]
    verdict = across([stratum.verdict for stratum in strata])
    because = reasons.of_claim(verdict, strata, left_out, absent)
  strata = [dataclasses.replace(s, reason=reasons.sentence(s.reason))
            for s in strata]
  few = any(_independent(effect, stratum.tier) < FEWEST
            for stratum in strata for effect in stratum.effects)
  own = {stratum.name: stratum for stratum in strata} | {
    s.name: _not_run(s, absent.get(s.name, '')) for s in claim.strata
    if s not in asked}
  amendments = tuple(a for a in sealed.amendments if a.stratum in planned)
  late = tuple(stratum for stratum in sealed.late if stratum.stratum in planned)
  because = '; '.join(filter(None, (
    because, *(one.words for one in late), reasons.amended(amendments))))
  kinds = {KINDS[s.tier] for s in strata if s.verdict == 'supported'}
  return ClaimResult(
    claim.id, claim.title, claim.claim, claim.reading, verdict,
    reasons.sentence(because), tuple(own[s.name] for s in claim.strata),
    sealed.hash, 'smoke' if (smoke or few) and strata else 'verdict', commit,
    partial=bool(left_out), left_out=left_out, amendments=amendments,
    late=late, strong=verdict == 'supported' and len(kinds) > 1)


def _judge_stratum(stratum: Stratum, table: pl.DataFrame,
                   planned: Mapping[str, int], alpha: float) -> StratumResult:
  """The verdict of one stratum; its reason is not yet a sentence."""
  void = _void(stratum, table, planned, 'incomplete', '')
  if void.missing or not void.cells:
    return dataclasses.replace(void, reason=reasons.missing(
      void.missing, void.cells))
  rows = table.filter(pl.col('stratum') == stratum.name)
  try:
    controls = tuple(_check(control, rows)
                     for control in stratum.every_control())
    effects = _with_holm([decide(effect, effect.measure(rows), alpha)
                          for effect in stratum.effects])
    properties = tuple(_hold(own, rows) for own in stratum.properties)
  except MissingMeasurement as error:
    return dataclasses.replace(void, reason=str(error.args[0]))
  failed = [control for control in controls if not control.passed]
  if failed:
    verdict: Verdict = 'invalid'
    because = reasons.failed(failed)
  else:
    states = {effect.name: effect.state for effect in effects}
    verdict, premises = apply(stratum, {
      **states, **{own.name: own.state for own in properties}})
    because = reasons.of_premises(effects, properties, premises)
  return dataclasses.replace(
    void, verdict=verdict, reason=because, effects=effects, controls=controls,
    properties=properties)


def apply(stratum: Stratum, states: Mapping[str, str]
          ) -> tuple[Verdict, tuple[Premise, ...]]:
  """The verdict that the rule gives, and the premises that gave it.

  Args:
    stratum: whose rule it is.
    states: of its effects and properties, by name.

  Returns:
    The first list that holds; where none does, what kept it from support, which
    of properties alone also stands beside the conditions.
  """
  def holds(premise: Premise) -> bool:
    name, state = premise
    if state.startswith('not '):
      return states[name] != state.removeprefix('not ')
    return states[name] in state.split(' or ')

  against = tuple(c for c in stratum.rule.supported if not holds(c))
  for verdict, premises in stratum.rule.lists():
    if premises and all(map(holds, premises)):
      beside = (against if verdict == 'conditional' and not stratum.effects
                else ())
      return verdict, premises + beside
  return 'inconclusive', against


def across(verdicts: Sequence[Verdict]) -> Verdict:
  """The verdict of a claim from those of its strata."""
  if not verdicts:
    return 'not run'
  for word in ('incomplete', 'invalid'):
    if word in verdicts:
      return word
  words = set(verdicts)
  if len(words) == 1:
    return verdicts[0]
  if 'conditional' in words or {'supported', 'refuted'} <= words:
    return 'conditional'
  return 'inconclusive'


def _independent(effect: EffectResult, tier: str) -> int:
  """Of how many replicates an effect is evidence."""
  return effect.trained if KINDS[tier] == 'trained' else effect.replicates


def _hold(declared: Property, rows: pl.DataFrame) -> PropertyResult:
  counterexample = declared.check(rows)
  return PropertyResult(
    declared.name, declared.statement, 'fails' if counterexample else 'holds',
    counterexample)


def _check(control: Control, rows: pl.DataFrame) -> ControlResult:
  value = float(control.measure(rows))
  low, high = control.at_least, control.at_most
  passed = ((low is None or value >= low) and (high is None or value <= high)
            and value == value)  # NaN fails
  required = [f'at least {low:g}'] if low is not None else []
  required += [f'at most {high:g}'] if high is not None else []
  return ControlResult(control.name, control.statement, value,
                       ' and '.join(required), passed)


def _void(stratum: Stratum, table: pl.DataFrame, planned: Mapping[str, int],
          verdict: Verdict, because: str) -> StratumResult:
  """A stratum without effects, its cells counted."""
  cells = (table.filter(pl.col('stratum') == stratum.name)
           .select('run', 'status').unique())
  finished = cells.filter(pl.col('status') != 'missing').height
  total = max(planned.get(stratum.name, 0), cells.height)
  return StratumResult(
    stratum.name, stratum.title, stratum.prediction, stratum.refutation,
    verdict, because, (), (), total, total - finished, stratum.tier)


def _not_run(stratum: Stratum, why: str) -> StratumResult:
  return StratumResult(
    stratum.name, stratum.title, stratum.prediction, stratum.refutation,
    'not run', reasons.sentence(why) or NOT_RUN, (), (), 0, 0, stratum.tier)


def _with_holm(effects: Sequence[EffectResult]) -> tuple[EffectResult, ...]:
  """Fills in the p-values adjusted over the effects of a stratum."""
  adjusted = statistics.holm([effect.p_value for effect in effects])
  return tuple(dataclasses.replace(effect, p_holm=p)
               for effect, p in zip(effects, adjusted))
