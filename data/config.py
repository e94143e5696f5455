"""What a model is trained on. Field roles: see `model/config.py`."""

import dataclasses
from typing import Any, Literal


def _of(*sources: str, default: Any) -> Any:
  """A field that only these sources read."""
  return dataclasses.field(default=default, metadata={'sources': sources})


SourceName = Literal['pointer_chasing', 'hop_string', 'tree', 'text']
Queries = Literal['one', 'all']
Reasoning = Literal['direct', 'chain_of_thought']
Objective = Literal['joint', 'root', 'masked']


class InputError(ValueError):
  """Data that cannot be used; the message names the field or file."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """One data source. A field that names sources is read by those alone."""

  source: SourceName = 'text'
  seed: int = dataclasses.field(default=0, metadata={'role': 'traced'})
  batch_size: int = 32
  length: int = _of('text', 'hop_string', default=64)  # T
  # v of pointer_chasing, the alphabet of hop_string, q of tree
  symbols: int = _of('pointer_chasing', 'hop_string', 'tree', default=9)
  # the link counts k that are asked for
  hops: tuple[int, ...] = _of(
    'pointer_chasing', 'hop_string', default=(1, 2, 3, 4))
  # one query a prompt, or one for every symbol, all with the same k
  queries: Queries = _of('pointer_chasing', default='one')
  reasoning: Reasoning = _of('pointer_chasing', default='direct')
  levels: int = _of('tree', default=3)
  # levels below the root that are cut: a control; 0: none
  filter_level: int = _of('tree', default=0)
  objective: Objective = _of('tree', default='joint')
  sigma: float = _of('tree', default=1.0)  # spread of the transition logits
  # file or folder; '': embedded prose. A folder that `fathom data prepare`
  # wrote brings its tokenizer and split: the next three are not read then
  text_path: str = _of('text', default='')
  # bytes, unigram, bpe, or the path of a .model or tokenizer.json
  tokenizer: str = _of('text', default='bytes')
  vocab_size: int = _of('text', default=512)  # of a tokenizer trained here
  held_out: float = _of('text', default=0.1)  # share of documents

  def normalised(self) -> 'DataConfig':
    """The same data with the fields that its source does not read unset."""
    unread: dict[str, Any] = {
      f.name: f.default for f in dataclasses.fields(self)
      if self.source not in f.metadata.get('sources', (self.source,))
    }
    return dataclasses.replace(self, **unread)
