"""An imported model against the library that it comes from, on the same text.

Needs transformers and torch, which the extra `parity` brings. Both sides
compute in float32; a quantised model is dequantised by either.
"""

import contextlib
import importlib.metadata
import importlib.util
import io
import pydoc_data.topics
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

import model as models
from data.errors import InputError
from experiments.exchange import sentences
from experiments.exchange.pretrained import Opened
from model.rows import padded

LIBRARIES = ('transformers', 'torch')
# Float32 through a few dozen layers, another order of the sums: 1e-4 and less.
LIMIT = 1e-3  # of a logit, or a number of a hidden state
EMBEDDING_LIMIT = 1e-4  # of a number of a sentence's vector
LENGTH = 256  # tokens
BATCH = 8  # texts for an encoder, which are padded
PASSAGE = pydoc_data.topics.topics['objects']  # ships with Python


class Unreadable(Exception):
  """The other library does not read the model; the message says why."""


class Row(NamedTuple):
  """How far two computations of one model are apart.

  Attributes:
    what: 'logits', or 'hidden states' of an encoder.
    largest: the largest absolute difference of any number.
    mean: the mean absolute difference.
    kl: of our next-token distribution from theirs, nats a token; of logits.
    top1: the share of tokens after which both find the same token likeliest.
    embedding: the largest absolute difference of any number of a vector of a
      sentence; of encoders.
    tokens: how many were compared.
    vocabulary: whether their tokenizer gives the same ids; None without one.
    dtype: in which the parameters are stored and computed with, in words.
    versions: of the libraries.
  """

  what: str
  largest: float
  mean: float
  kl: float | None
  top1: float | None
  embedding: float | None
  tokens: int
  vocabulary: bool | None
  dtype: str
  versions: dict[str, str]

  @property
  def passed(self) -> bool:
    """Whether it is rounding."""
    return self.largest <= LIMIT and (self.embedding or 0.0) <= EMBEDDING_LIMIT

  def sentence(self) -> str:
    """The row in one line."""
    parts = [f'{self.what} differ by {self.largest:.1e} at most and '
             f'{self.mean:.1e} on average']
    if self.kl is not None:
      parts.append(f'KL {self.kl:.1e} nats, top-1 equal for {self.top1:.2%}')
    if self.embedding is not None:
      parts.append(f'embeddings by {self.embedding:.1e} at most')
    if self.vocabulary is not None:
      parts.append('token ids equal' if self.vocabulary
                   else 'token ids DIFFER')
    versions = ', '.join(f'{k} {v}' for k, v in self.versions.items())
    return (f'{"pass" if self.passed else "FAIL"}: {"; ".join(parts)} '
            f'({self.tokens} tokens; {self.dtype}; {versions})')


def missing() -> list[str]:
  """The libraries that are not installed."""
  return [name for name in LIBRARIES if not importlib.util.find_spec(name)]


def compare(ours: Opened, source: Opened, text: str = PASSAGE) -> Row:
  """Runs both on a text.

  Args:
    ours: the model as it was imported.
    source: what it was imported from, which the other library reads.
    text: of which the first tokens are used.

  Raises:
    Unreadable: the other library does not read the model.
  """
  texts = [text[:LENGTH * 16]]
  if ours.config.unembedding == 'absent':
    texts = _sentences(text)
  rows = [_ids(ours, each) for each in texts]
  tokens_BT, valid_BT = _padded(rows)
  dtype = ('dequantised to float32' if 'Q' in ours.stored
           else 'stored, float32 computed')
  with _quiet():
    theirs_BTX = _theirs(ours, source, tokens_BT, valid_BT)
    vocabulary = _same_ids(source, texts, rows) if ours.tokenizer_file else None
  mine_BTX = _mine(ours, tokens_BT, valid_BT)
  return Row(
    **_differences(ours, mine_BTX, theirs_BTX, valid_BT),
    tokens=int(valid_BT.sum()), vocabulary=vocabulary,
    dtype=f'{ours.stored} {dtype}', versions={
      name: importlib.metadata.version(name) for name in (*LIBRARIES, 'jax')})


def _differences(ours: Opened, mine_BTX: np.ndarray, theirs_BTX: np.ndarray,
                 valid_BT: np.ndarray) -> dict[str, Any]:
  """The fields of a row that are numbers."""
  difference = np.abs(mine_BTX - theirs_BTX)[valid_BT]
  found: dict[str, Any] = {
    'largest': float(difference.max()), 'mean': float(difference.mean()),
    'kl': None, 'top1': None, 'embedding': None}
  if ours.config.unembedding == 'absent':
    mine, theirs = (
      sentences.pooled(x_BTD, valid_BT, ours.pooling or 'mean', ours.normalized)
      for x_BTD in (mine_BTX, theirs_BTX))
    return {**found, 'what': 'hidden states',
            'embedding': float(np.abs(mine - theirs).max())}
  mine, theirs = (scipy.special.log_softmax(logits_BTV[valid_BT], axis=-1)
                  for logits_BTV in (mine_BTX, theirs_BTX))
  return {**found, 'what': 'logits',
          'kl': float(np.mean(np.sum(np.exp(theirs) * (theirs - mine), -1))),
          'top1': float(np.mean(mine.argmax(-1) == theirs.argmax(-1)))}


def _mine(ours: Opened, tokens_BT: np.ndarray,
          valid_BT: np.ndarray) -> np.ndarray:
  @jax.jit
  def run(params: Any) -> Any:
    out = models.apply(ours.config, params, jnp.asarray(tokens_BT),
                       valid_BT=jnp.asarray(valid_BT))
    return (out.x_BTD if ours.config.unembedding == 'absent'
            else out.logits_BTV)

  # Accelerators would round products to fewer digits.
  with jax.default_matmul_precision('highest'):
    return np.asarray(run(ours.params()), np.float64)


def _theirs(ours: Opened, source: Opened, tokens_BT: np.ndarray,
            valid_BT: np.ndarray) -> np.ndarray:
  import torch
  import transformers
  encoder = ours.config.unembedding == 'absent'
  kind = (transformers.AutoModel if encoder
          else transformers.AutoModelForCausalLM)
  try:
    network = kind.from_pretrained(
      **_place(source), dtype=torch.float32, attn_implementation='eager').eval()
  except Exception as error:  # it has many kinds, and no promise of which
    first = (str(error).strip().splitlines() or [''])[0]
    raise Unreadable(f'transformers does not read it ({type(error).__name__}: '
                     f'{first})') from error
  with torch.no_grad():
    out = network(input_ids=torch.tensor(tokens_BT, dtype=torch.long),
                  attention_mask=torch.tensor(valid_BT, dtype=torch.long))
  found = out.last_hidden_state if encoder else out.logits
  return found.numpy().astype(np.float64)


def _same_ids(source: Opened, texts: Sequence[str],
              rows: Sequence[np.ndarray]) -> bool:
  """Whether their tokenizer finds the ids that ours does."""
  import transformers
  theirs = transformers.AutoTokenizer.from_pretrained(**_place(source))
  return all(theirs(text)['input_ids'][:len(row)] == row.tolist()
             for text, row in zip(texts, rows))


def _place(source: Opened) -> dict[str, Any]:
  """What the other library reads: these files, no code, no network."""
  path, gguf = source.path, source.form == 'gguf'
  return {'pretrained_model_name_or_path': str(path.parent if gguf else path),
          'trust_remote_code': False, 'local_files_only': True,
          **({'gguf_file': path.name} if gguf else {})}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences reports and bars, which would drown the one row asked for."""
  import transformers
  transformers.logging.set_verbosity_error()
  transformers.logging.disable_progress_bar()
  with (warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO())):
    warnings.simplefilter('ignore')
    yield


def _ids(ours: Opened, text: str) -> np.ndarray:
  """The first tokens of a text; without a vocabulary, its bytes stand in."""
  length = min(LENGTH, ours.config.max_length or LENGTH)
  try:
    tokenizer = ours.tokenizer
  except InputError:  # its package is not installed
    tokenizer = None
  if tokenizer is None:
    ids = np.frombuffer(text.encode(), np.uint8)[:length]
    return ids.astype(np.int32) % ours.config.vocab_size
  return tokenizer.ids(text)[:length]


def _sentences(text: str) -> list[str]:
  """Texts of unequal length, out of one."""
  words = text.split()
  return [' '.join(words[start:start + 6 * (1 + start // 80)])
          for start in range(0, 80 * BATCH, 80)]


def _padded(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """(tokens_BT, valid_BT) of texts of unequal length."""
  rows = [row for row in rows if len(row)]
  if not rows:
    raise InputError('--text: has no tokens; name a file with text')
  return padded(rows)
