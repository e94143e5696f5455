"""What a GGUF file says of its architecture, asked field by field."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.pretrained.settings import REQUIRED, Settings

# Of no consequence to what is computed.
_SILENT = ('expert_used_count', 'pooling_type', 'rope.scaling.finetuned',
           'tensor_data_layout', 'vocab_size')


class Fields(Settings):
  """The metadata under an architecture's name.

  What was not asked for may change what the model computes: `check_rest`
  refuses it.

  Attributes:
    architecture: the name, `general.architecture`.
  """

  def __init__(self, place: str, metadata: Mapping[str, Any]):
    """Takes all metadata of a file.

    Raises:
      UnreadableModel: it does not name an architecture.
    """
    name = metadata.get('general.architecture')
    self.architecture = str(name)
    prefix = f'{name}.'
    super().__init__({key.removeprefix(prefix): value
                      for key, value in metadata.items()
                      if key.startswith(prefix)}, place)
    if not isinstance(name, str):
      raise self.refuse('general.architecture', 'is missing; download or '
                        'convert the file again')
    self._asked: set[str] = set()

  def real(self, key: str, default: Any = REQUIRED) -> float:
    """A positive number, as its shortest decimal: 1e-05 for 9.9999997e-06."""
    return float(str(np.float32(self.number(key, default))))

  def check_rest(self) -> None:
    """Raises for a field that says something and was not asked for."""
    for key, value in self.values.items():
      if value and key not in self._asked and key not in _SILENT:
        raise self.refuse(key, f'{str(value)[:40]} is not something that is '
                               'computed here; take a model without it')

  def _value(self, key: str, default: Any) -> Any:
    self._asked.add(key)
    return super()._value(key, default)
