"""Models of another shape that are as large, or as costly, as a base model."""

import dataclasses
from typing import Any, Literal

from model import count
from model.config import ConfigError, ModelConfig

# parameters: all of them; stack: without embeddings, final norm and
# unembedding; flops: of training on one sequence.
Hold = Literal['parameters', 'stack', 'flops']

UNITS = {
  'parameters': 'parameters',
  'stack': 'parameters in the stack',
  'flops': 'training FLOPs per sequence',
}


@dataclasses.dataclass(frozen=True)
class Match:
  """A config found, and how close it came.

  Attributes:
    config: the base with the changes asked for and the width found.
    hold: what was to stay equal.
    target: the base model's count.
    achieved: the found model's count.
  """

  config: ModelConfig
  hold: Hold
  target: int
  achieved: int

  @property
  def ratio(self) -> float:
    """Achieved over target."""
    return self.achieved / self.target

  def describe(self) -> str:
    """The match in one line."""
    return (f'n_layers={self.config.n_layers} d_model={self.config.d_model}: '
            f'{self.achieved:,} {UNITS[self.hold]}, {self.ratio:.4f} of '
            f'{self.target:,}')


def width(base: ModelConfig, hold: Hold = 'parameters', length: int = 0,
          **changes: Any) -> Match:
  """Finds the width at which a changed model matches the base model.

  The number of heads stays as it is, so widths are multiples of it (of twice
  it under rotary position), unless the mixer fixes the heads' width.

  Args:
    base: the model to match; vocab_size known.
    hold: what to hold equal.
    length: T, for `flops`; max_length by default.
    **changes: fields that differ from the base, such as n_layers=12.

  Raises:
    ConfigError: `hold` is unknown, a size is missing, or a changed field
      makes no model.
  """
  if hold not in UNITS:
    raise ConfigError(f'hold: {hold!r} is none of {", ".join(UNITS)}')
  length = length or base.max_length
  if hold == 'flops' and not length:
    raise ConfigError('model.max_length: 0 is not worked out yet; set it, or '
                      'give the length whose FLOPs are to match')
  changed = dataclasses.replace(base, **changes)
  step = changed.mixer.width_step(changed)
  target = _measure(base, hold, length)

  def at(steps: int) -> int:
    return _measure(dataclasses.replace(changed, d_model=steps * step), hold,
                    length)

  # Counts grow with the width: double past the target, then bisect to it.
  low, high = 1, 2
  while at(high) < target:
    low, high = high, 2 * high
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if at(middle) < target else (low, middle)
  best = min((low, high), key=lambda steps: abs(at(steps) - target))
  config = dataclasses.replace(changed, d_model=best * step)
  return Match(config, hold, target, at(best))


def _measure(config: ModelConfig, hold: Hold, length: int) -> int:
  if hold == 'flops':
    return count.train_flops(config, length)
  counted = count.parameters(config)
  return counted.total if hold == 'parameters' else counted.stack
