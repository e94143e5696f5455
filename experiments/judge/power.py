"""Operating characteristics: how often each state comes out of planted effects.

Samples are planted by each analysis, decided by `decide`, and turned to
verdicts by the stratum's own rule, so what is found holds for what will be
judged. The effects are planted independently of one another, properties are as
the rule would have them, and every control passes.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.judge import verdict
from experiments.judge.analyses import ANALYSES
from experiments.judge.analyses.analysis import Design
from experiments.judge.decision import decide
from experiments.judge.declaration import Claim, Effect, Premise, Stratum

# Times the smallest effect of interest.
TIMES = (-1, 0, 1, 1.5, 2)
PREDICTED = (1, 1.5, 2)
DRAWS = 1000

Share = Mapping[str, float]  # of the draws, by state or verdict


@dataclasses.dataclass(frozen=True)
class EffectPower:
  """How often one effect gets each state.

  Attributes:
    name: of the effect.
    replicates: that the plan gives it; None where that is not known yet.
    sigma: the spread of one replicate; None where the size decides it.
    states: {times the smallest effect: {state: share of the draws}}.
  """

  name: str
  replicates: int | None
  sigma: float | None
  states: Mapping[float, Share]


@dataclasses.dataclass(frozen=True)
class Power:
  """Of a stratum, or of the claim.

  Attributes:
    name: of the stratum; '' for the claim.
    predicted: {times: {verdict: share}}: every effect that the rule needs is
      planted as it asks: supported at so many times the smallest effect,
      equivalent at none. Empty where it is not known, and where there are
      properties alone, which leave nothing to chance.
    refuted: the same, where they are as the rule's refutation asks.
    effects: of the stratum.
  """

  name: str
  predicted: Mapping[float, Share]
  refuted: Share
  effects: tuple[EffectPower, ...] = ()


def simulate(claim: Claim, designs: Mapping[str, Mapping[str, Design | None]],
             draws: int = DRAWS) -> tuple[tuple[Power, ...], Power]:
  """Plants effects in a claim and judges them.

  Args:
    claim: what is declared.
    designs: {stratum: {effect: its design}}; a stratum that is not there is
      left out.
    draws: how many samples of each.

  Returns:
    The power of each stratum, and of the claim.
  """
  strata = [s for s in claim.strata if s.name in designs]
  seeds = np.random.SeedSequence(0).spawn(len(strata))
  drawn = [_Stratum(stratum, designs[stratum.name], claim.alpha, draws, seed)
           for stratum, seed in zip(strata, seeds)]
  predicted = {times: _across([one.predicted(times) for one in drawn])
               for times in PREDICTED}
  refuted = _across([one.refuted() for one in drawn])
  known = all(one.known for one in drawn) and any(s.effects for s in strata)
  whole = Power('', {times: share(words) for times, words in predicted.items()}
                if known else {}, share(refuted) if known else {})
  return tuple(one.power() for one in drawn), whole


class _Stratum:
  """The draws of one stratum: each effect's states, as they are asked for."""

  def __init__(self, stratum: Stratum, designs: Mapping[str, Design | None],
               alpha: float, draws: int, seed: np.random.SeedSequence):
    self.stratum, self.designs = stratum, designs
    self.alpha, self.draws = alpha, draws
    self.known = all(designs.values())
    self._seeds = dict(zip(designs, seed.spawn(len(designs))))
    self._states: dict[tuple[str, float], list[str]] = {}

  def states(self, name: str, times: float) -> list[str]:
    """The state of an effect in each draw."""
    if (name, times) not in self._states:
      self._states[name, times] = self._draw(name, times)
    return self._states[name, times]

  def _draw(self, name: str, times: float) -> list[str]:
    effect = next(e for e in self.stratum.effects if e.name == name)
    design = self.designs[name]
    assert design
    kind = ANALYSES[effect.analysis]
    rng = np.random.default_rng([*self._seeds[name].generate_state(2),
                                 round(10 * times) % 1000])
    return [decide(effect, kind.plant(size(effect, times), spread(effect),
                                      design, rng), self.alpha).state
            for _ in range(self.draws)]

  def power(self) -> Power:
    """What the draws show."""
    return Power(
      self.stratum.name,
      {times: share(self.predicted(times)) for times in PREDICTED}
      if self.known and self.stratum.effects else {},
      share(self.refuted()) if self.known and self.stratum.effects else {},
      tuple(self._effect(effect) for effect in self.stratum.effects))

  def _effect(self, effect: Effect) -> EffectPower:
    design = self.designs[effect.name]
    return EffectPower(
      effect.name, design.replicates if design else None,
      spread(effect) if ANALYSES[effect.analysis].spreads else None,
      {times: share(self.states(effect.name, times)) for times in TIMES}
      if design else {})

  def predicted(self, times: float) -> list[str]:
    """The verdict in each draw, where all is as the rule's support asks."""
    return self._verdicts(self.stratum.rule.supported, times, times)

  def refuted(self) -> list[str]:
    """The verdict in each draw, where all is as the rule's refutation asks."""
    return self._verdicts(self.stratum.rule.refuted, PREDICTED[-1], 0)

  def _verdicts(self, premises: Sequence[Premise], times: float,
                others: float) -> list[str]:
    if not self.known or not premises:
      return []
    asked = dict(premises)
    planted = {'supported': times, 'opposite': -times, 'not equivalent': times}
    states = {
      effect.name: self.states(effect.name, planted.get(asked[effect.name], 0)
                               if effect.name in asked else others)
      for effect in self.stratum.effects}
    properties = {own.name: asked.get(own.name, 'holds')
                  for own in self.stratum.properties}
    return [verdict.apply(self.stratum, {
      **{name: own[i] for name, own in states.items()}, **properties})[0]
      for i in range(self.draws)]


def size(effect: Effect, times: float) -> float:
  """What is planted: for a band its edge at 1, and its middle at 2."""
  if effect.band is None:
    assert effect.smallest is not None
    return ANALYSES[effect.analysis].size(effect.smallest, times)
  low, high = effect.band
  return (low + high) / 2 - (high - low) / 2 * (2 - times)


def spread(effect: Effect) -> float:
  """The spread of one replicate that is planted."""
  if effect.sigma is not None:
    return effect.sigma
  if effect.band is None:
    assert effect.smallest is not None
    return effect.smallest
  return (effect.band[1] - effect.band[0]) / 2


def share(words: Sequence[str]) -> Share:
  """How often each word stands among them."""
  return {word: count / len(words)
          for word, count in collections.Counter(words).items()}


def _across(strata: Sequence[Sequence[str]]) -> list[str]:
  """The claim's verdict in each draw."""
  return [verdict.across(words) for words in zip(*strata)]
