"""Pairs of words whose likeness people have judged, and how words are spelled.

SimLex-999 (Hill et al., 2015) asks how similar two words are, and calls coffee
and cup unlike; WordSim-353 (Finkelstein et al., 2002) how related.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.machine.usage import UsageError

SIMILARITY, RELATEDNESS = 'SimLex-999', 'WordSim-353'
FILES = {SIMILARITY: 'simlex999.txt', RELATEDNESS: 'wordsim353.tsv'}
FIX = 'run make models, or give a folder that has it (--words)'
FEWEST = 30  # pairs of a list
GRAMS = range(2, 5)  # characters


class Pair(NamedTuple):
  """Two words, and how alike people find them."""

  one: str
  other: str
  human: float


Lists = Mapping[str, Sequence[Pair]]


def read(folder: Path) -> Lists:
  """Both lists, by name.

  Raises:
    UsageError: a file is missing or damaged; it names the file and the fix.
  """
  return {name: read_list(folder / file) for name, file in FILES.items()}


def read_list(file: Path) -> list[Pair]:
  """The pairs of a file: two words and a number a line, parted by tabs.

  Raises:
    UsageError: it is missing or damaged.
  """
  try:
    lines = file.read_text().splitlines()
  except FileNotFoundError:
    raise UsageError(f'{file}: no such list of words; {FIX}') from None
  except (OSError, UnicodeDecodeError) as error:
    raise UsageError(f'{file}: cannot be read ({error}); {FIX}') from None
  pairs = []
  for number, line in enumerate(lines, 1):
    if line.startswith('#') or not line.strip():
      continue
    try:
      one, other, human = (part.strip() for part in line.split('\t'))
      pair = Pair(one, other, float(human))
    except ValueError:
      pair = Pair('', '', math.nan)
    if not (pair.one and pair.other and math.isfinite(pair.human)):
      raise UsageError(f'{file}: line {number} is not two words and a number, '
                       f'parted by tabs ({line[:40]!r}); {FIX}')
    pairs.append(pair)
  if len(pairs) < FEWEST or len({pair.human for pair in pairs}) < 2:
    raise UsageError(f'{file}: {len(pairs)} pairs, or all judged alike, say '
                     f'nothing; {FIX}')
  return pairs


def words(lists: Lists) -> list[str]:
  """The words of some lists, each once."""
  return list(dict.fromkeys(word for pairs in lists.values()
                            for pair in pairs for word in pair[:2]))


def spelling(pair: Pair) -> float:
  """How alike two words are spelled: the cosine of their counts of n-grams.

  Of 2 to 4 characters, with marks where a word begins and ends, as fastText has
  them (Bojanowski et al., 2017).
  """
  one, other = (_grams(word) for word in pair[:2])
  together = sum(count * other[gram] for gram, count in one.items())
  lengths = [sum(count**2 for count in own.values()) for own in (one, other)]
  return together / math.sqrt(math.prod(lengths))


def _grams(word: str) -> Counter[str]:
  marked = f'<{word.lower()}>'
  return Counter(marked[first:first + n] for n in GRAMS
                 for first in range(len(marked) - n + 1))


def clusters(pairs: Sequence[Pair], most: int) -> list[int | None]:
  """Which pairs belong together: those that share words, by way of others too.

  Nearly all pairs of a list hang together in the end. So pairs are taken in
  their order, and one that would make a cluster of more than `most` is left
  out.

  Returns:
    A number of its cluster for each pair; None: it is left out.
  """
  above: dict[str, str] = {}
  size: Counter[str] = Counter()

  def top(word: str) -> str:
    while word in above:
      word = above[word]
    return word

  taken = []
  for pair in pairs:
    one, other = (top(word.lower()) for word in pair[:2])
    together = size[one] + size[other] * (one != other) + 1
    taken.append(together <= most)
    if taken[-1]:
      if one != other:
        above[other] = one
      size[one] = together
  tops = [top(pair.one.lower()) for pair in pairs]
  number = {name: index for index, name in enumerate(dict.fromkeys(
    name for name, kept in zip(tops, taken) if kept))}
  return [number[name] if kept else None for name, kept in zip(tops, taken)]
