"""Small inputs of every kind, and what was prepared out of them."""

import gzip
import hashlib
import itertools
import json
import random
from pathlib import Path

import numpy as np
import polars as pl

from data.prepare import run
from data.prepare.run import Settings
from data.text import corpus, leak, shards

# Some shards of each split out of a few documents.
SHARDED = {'tokenizer': 'bpe', 'vocab_size': 420, 'held_out': 0.3,
           'shard_bytes': 5000}


def documents(count=60, seed=0):
  """Texts of prose with some characters of every width."""
  prose = ''.join(corpus.read('')[:20])
  draw = random.Random(seed)
  found = []
  for i in range(count):
    at = draw.randrange(len(prose) - 2000)
    found.append(f'{i} é 深 🙂\r\n' + prose[at:at + draw.randrange(20, 2000)])
  return found


def write_jsonl(path, texts, field='text'):
  raw = ''.join(json.dumps({'id': i, field: text}) + '\n'
                for i, text in enumerate(texts)).encode()
  if path.suffix == '.gz':
    raw = gzip.compress(raw, mtime=0)
  elif path.suffix == '.zst':
    import zstandard
    # Two frames, as tools that append write them.
    raw = zstandard.compress(raw[:999]) + zstandard.compress(raw[999:])
  path.write_bytes(raw)
  return path


def write_parquet(path, texts, field='text', row_group_size=7):
  pl.DataFrame({field: texts, 'n': range(len(texts))}).write_parquet(
    path, row_group_size=row_group_size)
  return path


def prepare(inputs, folder, workers=1, max_bad=0.0, **settings):
  """Prepares and returns (what was malformed, the opened corpus)."""
  malformed = run.prepare([str(path) for path in inputs], Path(folder),
                          Settings(**settings), workers, max_bad)
  return malformed, shards.Corpus(Path(folder))


def texts(corpus_, split):
  """The documents of a split, decoded."""
  stream = corpus_.streams[split].whole().astype('int64')
  cuts = [*(stream == corpus_.tokenizer.separator).nonzero()[0], len(stream)]
  assert cuts[0] == 0
  return [corpus_.tokenizer.decode(stream[a + 1:b])
          for a, b in itertools.pairwise(cuts)]


def all_texts(corpus_):
  return [text for split in shards.SPLITS for text in texts(corpus_, split)]


def leaked_bytes(held_out, training):
  """Marks of each held-out document, by comparison of all with all."""
  size = leak.SHINGLE
  known = {text[i:i + size] for text in map(str.encode, training)
           for i in range(len(text) - size + 1)}
  found = []
  for text in map(str.encode, held_out):
    marks = np.zeros(len(text), bool)
    for i in range(len(text) - size + 1):
      if text[i:i + size] in known:
        marks[i:i + size] = True
    found.append(marks)
  return found


def scored_tokens(tokens, held_out, training):
  """Of each token of the held-out stream, whether it is scored, likewise."""
  found = []
  for text, marks in zip(held_out, leaked_bytes(held_out, training)):
    found.append(False)  # the separator
    at = 0
    for index in tokens.encode(text):
      end = at + len(tokens.pieces_V[index])
      found.append(not marks[at:end].any())
      at = end
  return np.array(found)


def content(folder):
  """{relative path: hash} of every file."""
  return {path.relative_to(folder).as_posix():
          hashlib.sha256(path.read_bytes()).hexdigest()
          for path in sorted(Path(folder).rglob('*')) if path.is_file()}
