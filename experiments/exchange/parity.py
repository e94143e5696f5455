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
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

import model as models
from data.errors import InputError
from experiments.exchange import sentences
from experiments.exchange.pretrained import Opened

LIBRARIES = ('transformers', 'torch')
# Float32 through a few dozen layers, another order of the sums: 1e-4 and less.
LIMIT = 1e-3  # of a logit, or a number of a hidden state
EMBEDDING_LIMIT = 1e-4  # of a number of a sentence's vector
LENGTH = 256  # tokens
BATCH = 8  # texts for an encoder, which are padded
PASSAGE = pydoc_data.topics.topics['objects']  # ships with Python


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
  """
  encoder = ours.config.unembedding == 'absent'
  texts = _sentences(text) if encoder else [text]
  tokens_BT, valid_BT = _padded([_ids(ours, each) for each in texts])
  versions = {name: importlib.metadata.version(name)
              for name in (*LIBRARIES, 'jax')}
  stored = ours.stored
  dtype = (f'{stored} dequantised to float32' if 'Q' in stored
           else f'{stored} stored, float32 computed')
  return _row(ours, _mine(ours, tokens_BT, valid_BT),
              _theirs(source, tokens_BT, valid_BT, encoder), valid_BT, dtype,
              versions)


def _row(ours: Opened, mine_BTX: np.ndarray, theirs_BTX: np.ndarray,
         valid_BT: np.ndarray, dtype: str, versions: dict[str, str]) -> Row:
  difference = np.abs(mine_BTX - theirs_BTX)[valid_BT]
  kl = top1 = embedding = None
  if ours.config.unembedding == 'absent':
    what = 'hidden states'
    vectors = [sentences.pooled(x, valid_BT, ours.pooling or 'mean',
                                ours.normalized)
               for x in (mine_BTX, theirs_BTX)]
    embedding = float(np.abs(vectors[0] - vectors[1]).max())
  else:
    what = 'logits'
    mine, theirs = (scipy.special.log_softmax(x[valid_BT], axis=-1)
                    for x in (mine_BTX, theirs_BTX))
    kl = float(np.mean(np.sum(np.exp(theirs) * (theirs - mine), axis=-1)))
    top1 = float(np.mean(mine.argmax(-1) == theirs.argmax(-1)))
  return Row(what, float(difference.max()), float(difference.mean()), kl, top1,
             embedding, int(valid_BT.sum()), dtype, versions)


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


def _theirs(source: Opened, tokens_BT: np.ndarray, valid_BT: np.ndarray,
            encoder: bool) -> np.ndarray:
  """What the other library computes; it reads files, and asks no network."""
  import torch
  import transformers
  transformers.logging.set_verbosity_error()
  transformers.logging.disable_progress_bar()
  place = ({'pretrained_model_name_or_path': str(source.path.parent),
            'gguf_file': source.path.name} if source.form == 'gguf' else
           {'pretrained_model_name_or_path': str(source.path)})
  kind = (transformers.AutoModel if encoder
          else transformers.AutoModelForCausalLM)
  # Its bars and reports would drown the one row that is asked for.
  with (warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()),
        torch.no_grad()):
    warnings.simplefilter('ignore')
    network = kind.from_pretrained(
      **place, dtype=torch.float32, attn_implementation='eager',
      trust_remote_code=False, local_files_only=True).eval()
    out = network(input_ids=torch.tensor(tokens_BT, dtype=torch.long),
                  attention_mask=torch.tensor(valid_BT, dtype=torch.long))
    found = out.last_hidden_state if encoder else out.logits
    return found.numpy().astype(np.float64)


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
  return tokenizer.ids(text[:length * 16])[:length]


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
  length = max(map(len, rows))
  valid_BT = np.arange(length) < np.array([[len(row)] for row in rows])
  tokens_BT = np.zeros(valid_BT.shape, np.int32)
  tokens_BT[valid_BT] = np.concatenate(rows)
  return tokens_BT, valid_BT
