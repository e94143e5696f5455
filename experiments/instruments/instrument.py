"""What an instrument is: a definition, a cost, and a function to rows."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from data.text.tokenizer import Tokenizer
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig

T = TypeVar('T')

JACOBIAN_TOKENS = 128
# What rows of the baseline say of where they were taken.
RANDOM: Mapping[str, str] = {'network': 'random'}


@dataclasses.dataclass(frozen=True)
class Given:
  """What an instrument is handed.

  Attributes:
    network: what is looked into.
    passages: what it reads meanwhile.
    calibration: other text, to fit on what is then used on the passages; None
      where there is none.
    tokenizer: what the ids stand for; None where they are no text.
    folder: of this model, for what was fitted; None: nothing is kept.
    words: folder of lists of words that people have compared.
    untrained: the network before training, where it is known.
    jacobian_tokens: how many of the calibration's the Jacobian lens is fitted
      on, in windows spread over it; it takes as many passes as the model is
      wide.
  """

  network: Network
  passages: Passages
  calibration: Passages | None = None
  tokenizer: Tokenizer | None = None
  folder: Path | None = None
  words: Path | None = None
  untrained: Network | None = None
  jacobian_tokens: int = JACOBIAN_TOKENS

  @functools.cached_property
  def baseline(self) -> Network:
    """The network before training, or a random one of its shape."""
    return self.untrained or self.network.random()

  def networks(self) -> Iterator[tuple[Network, dict[str, Any]]]:
    """The model, then its baseline, each with what its rows say."""
    yield self.network, {}
    yield self.baseline, dict(RANDOM)

  def once(self, work: Callable[['Given'], T]) -> T:
    """What a function makes of this, worked out once for all instruments."""
    done = self.__dict__.setdefault('_done', {})  # as cached properties are
    if work not in done:
      done[work] = work(self)
    result: T = done[work]
    return result


def anything(given: Given) -> str:
  """Refuses no model."""
  del given
  return ''


def scores_words(given: Given) -> str:
  """Refuses what has no logits."""
  if given.network.scores_words:
    return ''
  return 'it scores no words (model.unembedding=absent): it is an encoder'


@dataclasses.dataclass(frozen=True)
class Instrument:
  """One way to look into a model.

  Attributes:
    name: as it is asked for, with dashes.
    title: a headline.
    says: what its numbers mean, in one or two plain sentences.
    source: author, year.
    measure: from what it is handed to rows; `layer` in their `where` counts as
      `network.py` says, and `network` is 'random' in those of the baseline.
    flops: (config, tokens, calibration tokens) to an estimate of its FLOPs.
    metrics: of its rows, each with what a figure's axis says, the unit too.
    known_flops: the same where all is known: what it was fitted to before costs
      nothing. None: `flops` says it.
    default: whether it is taken where none is asked for.
    refusal: '' or why it cannot be taken of a model, and what would help.
  """

  name: str
  title: str
  says: str
  source: str
  measure: Callable[[Given], list[Row]]
  flops: Callable[[ModelConfig, int, int], float]
  metrics: Mapping[str, str]
  known_flops: Callable[[Given], float] | None = None
  default: bool = False
  refusal: Callable[[Given], str] = anything

  def cost(self, given: Given) -> float:
    """An estimate of its FLOPs on what it is handed."""
    if self.known_flops:
      return self.known_flops(given)
    fitted = given.calibration.tokens if given.calibration else 0
    return self.flops(given.network.config, given.passages.tokens, fitted)
