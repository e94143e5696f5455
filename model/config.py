"""What a model is: every switch that changes what is computed.

A field's metadata says what part it plays in a run:

* no role: it shapes the compiled program;
* `traced`: its value is an input of the compiled program, so runs that differ
  in nothing else share one compilation and can train side by side;
* `execution`: it changes how fast the result comes, not which result; it is
  left out of the run's identity.

A field whose metadata has `kinds` holds a dataclass of one of several kinds, by
name: `--config.model.mixer=gru` chooses one.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
  import jax

TRACED = {'role': 'traced'}
EXECUTION = {'role': 'execution'}

Mask = Literal['causal', 'bidirectional']
Norm = Literal['layer', 'rms']
NormPlacement = Literal['pre', 'post', 'scaled']
Activation = Literal['relu', 'gelu', 'gelu_exact', 'silu', 'tanh', 'sigmoid',
                     'identity']
Layers = Literal['separate', 'tied']
Branches = Literal['sequential', 'parallel']
Unembedding = Literal['separate', 'tied', 'none', 'absent']
Parameterisation = Literal['standard', 'gpt2', 'completep']
Remat = Literal['none', 'dots', 'full']
Dtype = Literal['float32', 'bfloat16']

Shapes = dict[str, 'jax.ShapeDtypeStruct']


class ConfigError(ValueError):
  """A model that cannot be built; the message names the field and the fix."""


class MixerConfig(abc.ABC):
  """What the model asks of a kind of sequence mixer.

  A kind is a frozen dataclass of what it alone reads, beside its code, and
  stands in `model/mixers.py`. `model` is the config that holds it.
  """

  # Whether it has attention scores, which some positions act on.
  has_scores: ClassVar[bool] = False

  def validate(self, model: 'ModelConfig') -> None:
    """Raises ConfigError when the model cannot have this mixer."""
    if model.position.on_scores:
      raise ConfigError(
        f'model.position: {model.position_name} acts on attention scores, '
        f'which model.mixer={model.mixer_name} has none of; use none, learned '
        'or sinusoidal')
    if model.mask != 'causal':
      raise ConfigError(f'model.mask: model.mixer={model.mixer_name} only '
                        'looks back; use causal')

  @abc.abstractmethod
  def module(self, model: 'ModelConfig') -> Any:
    """A Linen module: ((B,T,D), layer, sites) -> (B,T,D)."""

  @abc.abstractmethod
  def weights(self, model: 'ModelConfig') -> int:
    """Weights of one layer, each used once for each position."""

  @abc.abstractmethod
  def vectors(self, model: 'ModelConfig') -> int:
    """The other parameters of one layer: biases, decays."""

  @abc.abstractmethod
  def memory(self, model: 'ModelConfig', batch: int, length: int) -> Shapes:
    """What one layer remembers of `batch` rows of up to `length` positions.

    Arrays by name, whose capitals are their dimensions, and which start at
    zero; see `model/rows.py`.
    """

  def flops(self, model: 'ModelConfig', length: int) -> int:
    """Products of one layer and one sequence, forward: 2 m n k for each."""
    return 2 * length * self.weights(model)

  def width_step(self, model: 'ModelConfig') -> int:
    """What `d_model` must be a multiple of."""
    del model
    return 1

  def heads(self) -> Mapping[str, int]:
    """Fields that count what a mesh splits over `tensor`, and their values."""
    return {}


class FeedForwardConfig(abc.ABC):
  """What the model asks of a kind of feed-forward.

  A kind is a frozen dataclass of what it alone reads, in
  `model/feed_forward.py`. `model` is the config that holds it.
  """

  @abc.abstractmethod
  def validate(self, model: 'ModelConfig') -> None:
    """Raises ConfigError when the model cannot have this feed-forward."""

  @abc.abstractmethod
  def width(self, model: 'ModelConfig') -> int:
    """F, the hidden width; 0 when there is no feed-forward."""

  @abc.abstractmethod
  def module(self, model: 'ModelConfig') -> Any:
    """A Linen module: ((B,T,D), sites) -> (B,T,D); None when there is none."""

  @abc.abstractmethod
  def weights(self, model: 'ModelConfig') -> int:
    """Weights of one layer, each used once for each position."""

  @abc.abstractmethod
  def vectors(self, model: 'ModelConfig') -> int:
    """The biases of one layer."""


class PositionConfig:
  """What the model asks of a way to be told about position.

  A kind is a frozen dataclass of what it alone reads, in `model/position.py`.
  Positions are those of `model/rows.py`.
  """

  # Whether it acts inside attention.
  on_scores: ClassVar[bool] = False

  def validate(self, model: 'ModelConfig') -> None:
    """Raises ConfigError when the model cannot have this position."""

  def validate_head(self, width: int) -> None:
    """Raises ConfigError when heads cannot have this width."""

  def head_step(self) -> int:
    """What the width of a head must be a multiple of."""
    return 1

  def module(self, model: 'ModelConfig') -> Any:
    """A Linen module that adds it, ((B,T,D), rows) -> (B,T,D), or None."""

  def parameters(self, model: 'ModelConfig') -> int:
    """How many numbers that module learns."""
    return 0

  def turned(self, x_BTHK: Any, position: Any) -> Any:
    """Queries or keys as attention compares them."""
    return x_BTHK

  def penalty_HTS(self, heads: int, position: Any, attended: Any) -> Any:
    """What is added to the scores, (H,T,S) or (B,H,T,S); None: nothing."""


# Here, since what follows knows the model's config.
def _mixers() -> Mapping[str, type[MixerConfig]]:
  from model.mixers import MIXERS
  return MIXERS


def _feed_forwards() -> Mapping[str, type[FeedForwardConfig]]:
  from model.feed_forward import FEED_FORWARDS
  return FEED_FORWARDS


def _positions() -> Mapping[str, type[PositionConfig]]:
  from model.position import POSITIONS
  return POSITIONS


def _one_of(kinds: Callable[[], Mapping[str, type]], default: str) -> Any:
  """A field that holds one of several kinds."""
  return dataclasses.field(default_factory=lambda: kinds()[default](),
                           metadata={'kinds': kinds})


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """One language model: `embed → Stack(block, n) → norm → unembed`.

  A zero in a size means "work it out": see the properties below and, for
  `vocab_size` and `max_length`, the data source.
  """

  n_layers: int = 4
  d_model: int = 64
  mixer: MixerConfig = _one_of(_mixers, 'attention')
  position: PositionConfig = _one_of(_positions, 'rotary')
  mask: Mask = 'causal'
  norm: Norm = 'layer'
  norm_placement: NormPlacement = 'pre'
  # added to the variance: Ba et al., 2016 leave it open; as in GPT-2, Llama 2
  norm_epsilon: float = 1e-5
  final_norm: bool = True  # before the unembedding
  embedding_norm: bool = False  # before the first layer
  # parallel: the feed-forward reads what the mixer does
  branches: Branches = 'sequential'
  token_types: int = 0  # how many; 0: tokens have none
  feed_forward: FeedForwardConfig = _one_of(_feed_forwards, 'plain')
  layers: Layers = 'separate'  # tied: one layer's parameters, looped n times
  # none: the stream is the logits; absent: an encoder, without logits
  unembedding: Unembedding = 'separate'
  parameterisation: Parameterisation = 'completep'
  base_layers: int = 2  # the depth and width at which the learning rate of
  base_width: int = 64  # a CompleteP family was chosen
  init_scale: float = dataclasses.field(default=1.0, metadata=TRACED)
  vocab_size: int = 0  # 0: the data source's
  max_length: int = 0  # 0: the data source's
  dtype: Dtype = 'float32'  # of the computation; parameters stay float32
  unroll: int = dataclasses.field(default=0, metadata=EXECUTION)  # 0: auto
  # what a layer computes again in the backward pass, to hold less: nothing,
  # all but its matrix products, all
  remat: Remat = dataclasses.field(default='none', metadata=EXECUTION)

  @property
  def mixer_name(self) -> str:
    """What the kind of mixer is called."""
    return kind_name(self, 'mixer')

  @property
  def feed_forward_name(self) -> str:
    """What the kind of feed-forward is called."""
    return kind_name(self, 'feed_forward')

  @property
  def position_name(self) -> str:
    """What the kind of position is called."""
    return kind_name(self, 'position')

  @property
  def ff_width(self) -> int:
    """F, the feed-forward width; 0 when there is no feed-forward."""
    return self.feed_forward.width(self)

  def validate(self) -> None:
    """Raises ConfigError when no such model can be built."""
    require(self, 'model', 1, 'n_layers', 'd_model', 'base_layers',
            'base_width')
    require(self, 'model', 0, 'vocab_size', 'max_length', 'unroll')
    if self.unembedding == 'none' and self.vocab_size not in (0, self.d_model):
      raise ConfigError(
        f'model.vocab_size: {self.vocab_size} logits cannot be the stream of '
        f'model.d_model={self.d_model}; make them equal, or use '
        'model.unembedding=separate')
    if not 0 < self.norm_epsilon < float('inf'):
      raise ConfigError(
        f'model.norm_epsilon: {self.norm_epsilon:g} must be above 0')
    if self.token_types < 0:
      raise ConfigError(f'model.token_types: {self.token_types} must be 0 '
                        '(tokens have no types) or more')
    if self.branches == 'parallel' and self.norm_placement == 'post':
      raise ConfigError(
        "model.branches: 'parallel' leaves no stream behind each branch for "
        "model.norm_placement='post' to normalise; use 'pre' or 'scaled', or "
        "model.branches='sequential'")
    self.mixer.validate(self)
    self.feed_forward.validate(self)
    self.position.validate(self)


def kinds(field: dataclasses.Field[Any]) -> Mapping[str, type]:
  """The kinds of thing that a field can hold, by name; {} for a plain field."""
  found = field.metadata.get('kinds', {})
  return found() if callable(found) else found


def kind_name(config: Any, name: str) -> str:
  """What the kind is called of the field of that name.

  Raises:
    ConfigError: it is of no kind that the field can hold.
  """
  held = type(getattr(config, name))
  fields = {field.name: field for field in dataclasses.fields(config)}
  choices = kinds(fields[name])
  for found, kind in choices.items():
    if held is kind:
      return found
  raise ConfigError(f'{name}: {held.__name__} is none of its kinds, '
                    f'{", ".join(choices)}')


def require(part: Any, path: str, least: int, *names: str) -> None:
  """Raises ConfigError for a field of `part` that is below `least`, 0 or 1."""
  for name in names:
    if getattr(part, name) < least:
      bound = 'at least 1' if least else '0 (auto) or more'
      raise ConfigError(
        f'{path}.{name}: {getattr(part, name)} must be {bound}')


def complete(config: ModelConfig, **sizes: Any) -> ModelConfig:
  """Fills the sizes that are still 0 from what the data source says."""
  unset = {k: v for k, v in sizes.items() if not getattr(config, k)}
  return dataclasses.replace(config, **unset)
