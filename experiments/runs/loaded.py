"""A model to work with: read texts, look inside, change it, go on with texts.

Parameters are used as they are: nothing is folded, centred or scaled.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import model
from data.text.tokenizer import Tokenizer
from experiments.exchange import sentences
from experiments.exchange.sentences import Pooling
from experiments.machine.usage import UsageError
from experiments.runs import intervention
from experiments.runs.intervention import Changes
from experiments.runs.prompt import Prompts, Texts
from experiments.runs.reading import Reading, Readings
from model import Layout, ModelConfig, generation
from model.language_model import Params
from model.rows import padded
from model.sites import Reduce
from train import placement

Taps = str | Iterable[str] | Mapping[str, Reduce | None]

EMBEDDED_TOGETHER = 32  # texts that `embed` reads at once


@dataclasses.dataclass(eq=False, repr=False)
class Model:
  """What `fathom.load` returns.

  Attributes:
    config: what the model is, complete.
    params: its parameters, a nested dict of arrays, as `model.init` returns
      them; those of the stack lead with N.
    tokenizer: what its ids stand for; None where they are no text.
    name: what it was loaded from.
    pooling: how a sentence encoder makes one vector of a text's: 'mean', 'cls',
      or '' where it is none.
    normalized: whether those vectors have length 1.
    longest: tokens of a text that they are made of at most; 0: all that the
      model reads.
    stored: of what type the parameters are in the file, where it is another's.
    ids_only: why there is no tokenizer.
    mesh: the devices that `params` are split over, if they are.
    content: works out what names the model, whatever it is called: a run's id,
      or the hash of an imported one's config and tensors.
  """

  config: ModelConfig
  params: Params
  tokenizer: Tokenizer | None = None
  name: str = 'model'
  pooling: Pooling = ''
  normalized: bool = False
  longest: int = 0
  stored: str = ''
  ids_only: str = 'its tokens are no text'
  mesh: Mesh | None = None
  content: Callable[[], str] = str

  def __post_init__(self):
    """Puts the parameters where they are used."""
    self.params = jax.tree.map(jnp.asarray, self.params)
    self.layout = placement.layout(self.mesh) if self.mesh else Layout()
    self._prompts = Prompts(self.config, self.tokenizer, self.name,
                            self.ids_only)

  def __repr__(self) -> str:
    config = self.config
    count = sum(x.size for x in jax.tree.leaves(self.params))
    stored = f', stored as {self.stored}' if self.stored else ''
    return (f'<{self.name}: {config.n_layers} layers of {config.mixer_name}, '
            f'd_model {config.d_model}, vocabulary {config.vocab_size:,}, '
            f'{count / 1e6:,.2f} M parameters in {config.dtype}{stored}>')

  def tokenize(self, text: str) -> np.ndarray:
    """Ids of a text, int32, with the marks that its vocabulary puts around it.

    Raises:
      UsageError: the model's tokens are no text.
    """
    return self._prompts.tokenize(text)

  def run(self, text: Texts, taps: Taps = (),
          edits: Changes = ()) -> Any:
    """Reads a text, or several.

    Compiled once for each length, number of texts, choice of taps, and edited
    sites with the shapes of their values; layers and values are its inputs.

    Args:
      text: a text, its ids, or a list of either; several are padded.
      taps: names of sites (`model.SITES`) whose arrays are to be kept; or a
        dict from name to a function that is applied on the device inside each
        layer, to arrays that lead with B, or None. What a function returns is
        stacked over the layers and left as it is; another function, be it the
        same lambda written again, compiles anew.
      edits: what is changed meanwhile, in order: `fathom.replace`, `add`,
        `scale`, `ablate`; or edits by site as `model.apply` takes them.

    Returns:
      A `Reading` of one text, `Readings` of several.

    Raises:
      UsageError: text that the model cannot read, or an edit that does not fit.
      ConfigError: no such site or layer.
    """
    rows, single = self._prompts.rows(text)
    ids_BT, valid_BT = padded(rows)
    reduces = _by_site(taps)
    out = _run(self.config, self.layout, tuple(reduces.items()), self.params,
               ids_BT, self._mask(valid_BT),
               intervention.edits(self.config, edits, ids_BT.shape))
    logits_BTV = out.logits_BTV if out.logits_BTV.shape[-1] else None
    embedding_BD = (self._pool(out.x_BTD, valid_BT)
                    if self.pooling and not self._too_long(rows) else None)
    tokens = [[self._prompts.token(i) for i in row] for row in rows]
    if single:
      # A function's result need not lead with B.
      kept = {site: x if reduces[site] else x[:, 0]
              for site, x in out.taps.items()}
      return Reading(tokens[0], ids_BT[0], _first(logits_BTV), kept,
                     _first(embedding_BD))
    if logits_BTV is not None and not valid_BT.all():
      logits_BTV = jnp.where(valid_BT[..., None], logits_BTV, jnp.nan)
    return Readings(tokens, ids_BT, valid_BT, logits_BTV, out.taps,
                    embedding_BD)

  def embed(self, text: Texts) -> np.ndarray:
    """A sentence encoder's vector of a text, (D,), or of several, (B,D).

    Raises:
      UsageError: the model is no sentence encoder, or cannot read the text.
    """
    if not self.pooling:
      raise UsageError(
        f'{self.name} says nothing of how a text becomes one vector; take it '
        "from run(text, taps=['resid_post'])")
    rows, single = self._prompts.rows(text)
    if most := self._too_long(rows):
      raise UsageError(f'a text of {most} tokens, and {self.name} makes vectors'
                       f' of {self.longest} at most; shorten it')
    found = []
    for first in range(0, len(rows), EMBEDDED_TOGETHER):
      # Shapes that come again, so that few are compiled.
      part = rows[first:first + EMBEDDED_TOGETHER]
      ids_BT, valid_BT = padded(part, self._rounded(max(map(len, part))))
      out = _run(self.config, self.layout, (), self.params, ids_BT,
                 self._mask(valid_BT), {})
      found.append(self._pool(out.x_BTD, valid_BT))
    embedding_BD = np.concatenate(found)
    return embedding_BD[0] if single else embedding_BD

  def unembed(self, x_D: Any) -> jax.Array:
    """Logits (…,V) from a stream (…,D) that leaves a layer: the logit lens.

    The final norm is taken first, as after the last layer.

    Raises:
      UsageError: the model has no unembedding, or a stream of another width.
    """
    width = self.config.d_model
    if self.config.unembedding == 'absent':
      raise UsageError(f'{self.name} has no unembedding')
    if np.shape(x_D)[-1:] != (width,):
      raise UsageError(f'unembed: a stream of shape {np.shape(x_D)}, and the '
                       f'last axis of {self.name} has {width}')
    x = jnp.asarray(x_D)
    logits_BTV = _unembed(self.config, self.params,
                          x.reshape(1, -1, x.shape[-1]))
    return logits_BTV.reshape(*x.shape[:-1], logits_BTV.shape[-1])

  def generate(self, text: Texts, tokens: int = 50, temperature: float = 1.0,
               top_p: float = 1.0, seed: int = 0, stream: bool = False) -> Any:
    """Goes on with a text, or with several.

    Args:
      text: a text, its ids, or a list of either. An empty text begins a
        document.
      tokens: how many new ones at most; a text ends sooner at an end mark, or
        where the model has read as much as it can.
      temperature: divides the logits; 0 takes the likeliest token.
      top_p: draws from the likeliest tokens that have this share together.
      seed: the same seed gives the same text, whatever stands beside it.
      stream: whether to return an iterator that gives what is new of one text
        as it comes: pieces of whole characters, or ids.

    Returns:
      What is new, without the prompt and the end mark: a text for a text, ids
      (int32) for ids, a list for a list.

    Raises:
      UsageError: a prompt that the model cannot read.
      ConfigError: the model cannot go on with texts, or the arguments choose
        nothing.
    """
    rows, single = self._prompts.rows(text, open_empty=True)
    if stream and not single:
      raise UsageError('stream: takes one text at a time; give one, or leave '
                       'stream out')
    stop = sorted(i for i in (self.tokenizer.ends if self.tokenizer else ())
                  if i < self.config.vocab_size)
    settings = (tokens, generation.Sampling(temperature, top_p), seed, stop)
    spelled = [isinstance(each, str) for each in ([text] if single else text)]
    if stream:
      said = generation.stream(self.config, self.params, rows, *settings,
                               layout=self.layout)
      new = itertools.takewhile(lambda i: i not in stop,
                                (int(said_B[0]) for said_B in said))
      return self._spelled(new, rows[0]) if spelled[0] else new
    found = [ids_T[:-1] if len(ids_T) and ids_T[-1] in stop else ids_T
             for ids_T in generation.generate(self.config, self.params, rows,
                                              *settings,
                                              layout=self.layout)]
    results = [''.join(self._spelled(ids_T, row)) if is_text else ids_T
               for ids_T, row, is_text in zip(found, rows, spelled)]
    return results[0] if single else results

  def _spelled(self, ids: Iterable[int], after: list[int]) -> Iterator[str]:
    assert self.tokenizer is not None
    return self.tokenizer.spelled(ids, after)

  def _mask(self, valid_BT: np.ndarray) -> np.ndarray | None:
    # What looks back alone never sees the padding behind it.
    return None if self.config.mask == 'causal' else valid_BT

  def _too_long(self, rows: Sequence[Sequence[int]]) -> int:
    """Tokens of the longest text, where no vector is made of it; else 0."""
    most = max(map(len, rows))
    return most if self.longest and most > self.longest else 0

  def _rounded(self, length: int) -> int:
    return min(max(16, 1 << (length - 1).bit_length()),
               self.config.max_length or length)

  def _pool(self, x_BTD: jax.Array, valid_BT: np.ndarray) -> np.ndarray:
    pooled_BD = sentences.pooled(np.asarray(x_BTD), valid_BT, self.pooling,
                                 self.normalized)
    return pooled_BD.astype(np.float32)


def _first(x: Any) -> Any:
  return None if x is None else x[0]


def _by_site(taps: Taps) -> dict[str, Reduce | None]:
  if isinstance(taps, Mapping):
    return dict(taps)
  if not isinstance(taps, Iterable):
    raise UsageError(f'taps: {taps!r} is no list of sites, such as '
                     "['resid_post']")
  return dict.fromkeys([taps] if isinstance(taps, str) else taps)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(config: ModelConfig, layout: Layout,
         taps: tuple[tuple[str, Reduce | None], ...], params: Params,
         ids_BT: jax.Array, valid_BT: jax.Array | None,
         edits: Any) -> model.Output:
  return model.apply(config, params, ids_BT, dict(taps), edits, layout,
                     valid_BT=valid_BT)


@functools.partial(jax.jit, static_argnums=0)
def _unembed(config: ModelConfig, params: Params,
             x_BTD: jax.Array) -> jax.Array:
  return model.unembed(config, params, x_BTD)
