"""Models in the forms of others: a Hugging Face folder, a GGUF file."""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from jax.sharding import Mesh

from data.errors import InputError
from experiments.exchange import content, sentences
from experiments.exchange.pretrained import Form, Opened, Params, shardings
from experiments.exchange.sentences import Pooling
from model import pretrained
from model.config import ConfigError, ModelConfig
from model.pretrained import folder, loading
from model.pretrained.checkpoint import Checkpoint, UnreadableModel, inside
from model.pretrained.family import Family

VOCABULARIES = ('tokenizer.json', 'tokenizer.model')  # the first that is there


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Foreign(Opened):
  """A model whose tensors have others' names and shapes.

  Attributes:
    table: the family that reads them.
    checkpoint: where they lie.
    left_out: names of the tensors that carry nothing of ours.
  """

  table: Family
  checkpoint: Checkpoint
  left_out: tuple[str, ...] = ()

  @functools.cached_property
  def tensors(self) -> Mapping[str, str]:
    """The sha256 of every tensor, under its family's name."""
    return content.tensors(self.table, self.config, self.checkpoint)

  @property
  def fingerprint(self) -> str:
    """Worked out from every tensor, once."""
    return content.fingerprint(self.config, self.tensors)

  def params(self, mesh: Mesh | None = None) -> Params:
    """Reads its parameters."""
    return loading.load(self.table, self.config, self.checkpoint,
                        shardings(self.table, self.config, mesh))


def hugging_face(path: Path) -> Foreign:
  """The model in a folder with `config.json` and `*.safetensors`.

  Raises:
    UnreadableModel: naming the file or tensor, and the fix.
  """
  found = folder.read(path)
  vocabulary = next((name for name in VOCABULARIES if (path / name).exists()),
                    None)
  pooling, normalized = sentences.read(path)
  return _foreign(
    path, 'hugging face', found.family, found.config, found.checkpoint,
    (vocabulary, inside(path, vocabulary).read_bytes()) if vocabulary else None,
    pooling, normalized)


def gguf(path: Path) -> Foreign:
  """The model in a GGUF file.

  Raises:
    UnreadableModel: naming the field or tensor, and the fix.
  """
  # Imported here: it needs a package that few runs do.
  from data.text.gguf import UnknownVocabulary, tokenizer_file
  from model.pretrained.gguf import GGUFCheckpoint
  with _located(path):
    checkpoint = GGUFCheckpoint(path)
    family = pretrained.family(checkpoint.theirs['model_type'])
    config = family.config(checkpoint.theirs)
    config.validate()
    loading.matched(family, config, checkpoint)
    vocabulary, unknown = None, ''
    if 'tokenizer.ggml.model' in checkpoint.metadata:
      try:
        vocabulary = tokenizer_file(checkpoint.metadata)
      except UnknownVocabulary as error:  # ids can be read all the same
        unknown = str(error)
  return _foreign(path, 'gguf', family, config, checkpoint, vocabulary,
                  unknown_vocabulary=unknown)


def _foreign(path: Path, form: Form, family: Family, config: ModelConfig,
             checkpoint: Checkpoint, vocabulary: tuple[str, bytes] | None,
             pooling: Pooling = '', normalized: bool = False,
             unknown_vocabulary: str = '') -> Foreign:
  config = dataclasses.replace(config, unroll=1)
  used = content.names(family, config, checkpoint).values()
  dtypes = collections.Counter(checkpoint.tensors[name].dtype for name in used)
  stored = (next(iter(dtypes)) if len(dtypes) == 1 else ', '.join(
    f'{dtype} ({count})' for dtype, count in dtypes.most_common()))
  return Foreign(
    path=path, form=form, family=family.name, config=config, stored=stored,
    tokenizer_file=vocabulary, unknown_vocabulary=unknown_vocabulary,
    pooling=pooling, normalized=normalized, table=family,
    checkpoint=checkpoint,
    left_out=tuple(sorted(checkpoint.tensors.keys() - set(used))))


@contextlib.contextmanager
def _located(path: Path) -> Iterator[None]:
  """Has what is wrong with a file name it."""
  try:
    yield
  except (ConfigError, InputError) as error:
    text = str(error)
    raise UnreadableModel(text if text.startswith(str(path))
                          else f'{path}: {text}') from None
