"""Models as others wrote them: a Hugging Face folder, a GGUF file."""

import collections
import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from jax.sharding import Mesh

from data.errors import InputError
from experiments.exchange import content, sentences
from experiments.exchange.pretrained import Form, Opened, shardings
from model.config import ConfigError
from model.language_model import Params
from model.pretrained import hugging_face, loading
from model.pretrained.agreement import Contents
from model.pretrained.checkpoint import UnreadableModel, inside, small_file

VOCABULARIES = ('tokenizer.json', 'tokenizer.model')  # the first that is there


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Original(Opened):
  """A model as others wrote it.

  Attributes:
    contents: its family, its config in our words, its tensors.
    left_out: names of the tensors that carry nothing of ours.
  """

  contents: Contents
  left_out: tuple[str, ...] = ()

  @functools.cached_property
  def tensors(self) -> Mapping[str, str]:
    """The sha256 of every tensor, under its family's name."""
    return content.tensors(self.contents.names, self.contents.checkpoint)

  @property
  def fingerprint(self) -> str:
    """Worked out from every tensor, once."""
    return content.fingerprint(self.config, self.tensors)

  def params(self, mesh: Mesh | None = None) -> Params:
    """Reads its parameters."""
    return loading.load(
      self.contents, shardings(self.contents.family, self.config, mesh))


def from_folder(path: Path) -> Original:
  """The model in a folder with `config.json` and `*.safetensors`.

  Raises:
    UnreadableModel: naming the file or tensor, and the fix.
  """
  contents = hugging_face.read(path)
  vocabulary = next((name for name in VOCABULARIES
                     if os.path.lexists(path / name)), None)
  return _original(
    path, 'hugging face', contents,
    (vocabulary, small_file(inside(path, vocabulary)))
    if vocabulary else None, sentences.read(path))


def from_gguf(path: Path) -> Original:
  """The model in a GGUF file.

  Raises:
    UnreadableModel: naming the field or tensor, and the fix.
  """
  # Imported here: it needs a package that few runs do.
  from data.text.gguf import UnknownVocabulary, tokenizer_file
  from model.pretrained.gguf import GGUFCheckpoint
  with _located(path):
    checkpoint = GGUFCheckpoint(path)
    contents = hugging_face.contents(checkpoint.theirs, checkpoint)
    vocabulary, unknown = None, ''
    if 'tokenizer.ggml.model' in checkpoint.metadata:
      try:
        vocabulary = tokenizer_file(checkpoint.metadata)
      except UnknownVocabulary as error:  # ids can be read all the same
        unknown = str(error)
  return _original(path, 'gguf', contents, vocabulary,
                   unknown_vocabulary=unknown)


def _original(path: Path, form: Form, contents: Contents,
              vocabulary: tuple[str, bytes] | None,
              vector: sentences.Vector = sentences.NONE,
              unknown_vocabulary: str = '') -> Original:
  tensors, used = contents.checkpoint.tensors, contents.names.values()
  dtypes = collections.Counter(tensors[name].dtype for name in used)
  stored = (next(iter(dtypes)) if len(dtypes) == 1 else ', '.join(
    f'{dtype} ({count})' for dtype, count in dtypes.most_common()))
  return Original(
    path=path, form=form, family=contents.family.name,
    config=dataclasses.replace(contents.config, unroll=1), stored=stored,
    tokenizer_file=vocabulary, unknown_vocabulary=unknown_vocabulary,
    **vector._asdict(), contents=contents,
    left_out=tuple(sorted(tensors.keys() - set(used))))


@contextlib.contextmanager
def _located(path: Path) -> Iterator[None]:
  """Has what is wrong with a file name it."""
  try:
    yield
  except (ConfigError, InputError) as error:
    text = str(error)
    raise UnreadableModel(text if text.startswith(str(path))
                          else f'{path}: {text}') from None
