"""The part `data`: how long training waits for a streamed corpus.

A corpus is prepared as a user would, and the training loop streams it: the host
reads the windows of a chunk from memory-mapped shards while the device works on
the chunk before. Real corpora that are streamed are larger; this one would be
placed on the device whole, were it not told to stream. It lies in the page
cache, as the shards of a long run do after their first epoch.
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import train
from experiments.bench import sweeping, turns
from experiments.bench.sizes import SIZES
from experiments.sweeps import overrides
from train import Config, MeshConfig, TrainConfig, programs
from train.goodput import Goodput

AIM = 0.01  # of the time of training
WORDS = 1_000_000  # about 8 MB
WORDS_OF_DOCUMENT = 100
# Some seconds each. Chunks are as long as the metrics of a run would be apart.
SCHEDULES = {'S': TrainConfig(steps=400, chunk_steps=50),
             'M': TrainConfig(steps=30, chunk_steps=5)}


@dataclasses.dataclass(frozen=True)
class WaitTime:
  """Where the time of one run went, in seconds.

  Attributes:
    step: in steps, compilation left out.
    wait: waiting for data, the first chunk included.
    first: waiting for the first chunk, which nothing can hide.
    steps: how many there were.
  """

  step: float
  wait: float
  first: float
  steps: int

  @property
  def share(self) -> float:
    """Of the time of training that went by waiting."""
    return self.wait / (self.step + self.wait)


def report(names: Sequence[str]) -> None:
  """Prints the share of waiting for each size that has a schedule."""
  print('\ndata: a run that streams prepared shards\n\n'
        'size  steps  ms/step   first wait ms   later waits ms   data wait')
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    corpus = prepare(Path(folder), WORDS)
    for name in names:
      if name in SCHEDULES:
        row = measure(dataclasses.replace(SIZES[name], train=SCHEDULES[name]),
                      corpus, Path(folder) / name)
        rows.append(row)
        print(f'{name:4} {row.steps:6} {row.step / row.steps * 1e3:8.1f} '
              f'{row.first * 1e3:15.2f} {(row.wait - row.first) * 1e3:16.2f} '
              f'{row.share:11.3%}', flush=True)
  print(f'aim: under {AIM:.0%} of the time of training: '
        + turns.verdict([row.share < AIM for row in rows]))


def prepare(folder: Path, words: int) -> Path:
  """Writes documents of random words, and token shards from them."""
  rng = np.random.default_rng(0)
  vocabulary = [''.join(map(chr, rng.integers(97, 123, rng.integers(3, 12))))
                for _ in range(5000)]
  text = folder / 'documents.jsonl'
  with text.open('w') as file:
    for _ in range(words // WORDS_OF_DOCUMENT):
      document = rng.choice(vocabulary, WORDS_OF_DOCUMENT)
      file.write(json.dumps({'text': ' '.join(document)}) + '\n')
  sweeping.command(['data', 'prepare', str(text), f'--out={folder / "shards"}'],
                   os.environ)
  return folder / 'shards'


def measure(config: Config, corpus: Path, folder: Path) -> WaitTime:
  """Trains on a prepared corpus, streamed, and reads the loop's own clock."""
  config = programs.complete(overrides.replace(
    config, {'data.source.text_path': str(corpus),
             'mesh': MeshConfig(replica=1)}))
  source = programs.source_of(config)
  assert hasattr(source, 'streams')
  source.streams = True
  clock = Goodput()
  first: list[float] = []
  train.fit([config], folder, train.Hooks(
    clock, on_line=lambda line: first.append(line['data_wait'])))
  return WaitTime(clock.seconds['step'], clock.seconds['data_wait'], first[0],
                  config.train.steps)
