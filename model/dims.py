"""The alphabet of dimensions, the only place that invents letters.

An array's name ends in its dimensions (`x_BTD`), a parameter's key too
(`w_up_DF`), so how a parameter is laid out over devices follows from its key.
"""

ALPHABET = {
  'B': 'batch',
  'T': 'position',
  'S': 'attended position',
  'D': 'model width',
  'F': 'feed-forward width',
  'H': 'attention heads',
  'G': 'key/value heads',
  'K': 'head width',
  'V': 'vocabulary',
  'N': 'layers, stacked',
  'R': 'replicas',
  'W': 'convolution window',
  'Y': 'token types',
  'L': 'rank of a low-rank change',
}


def letters(key: str) -> str:
  """The dimensions that a key ends in: 'w_up_DF' -> 'DF'; '' if none.

  Raises:
    ValueError: the key ends in capitals that are not all in the alphabet.
  """
  suffix = key.rsplit('_', 1)[-1]
  if not suffix.isupper():
    return ''
  unknown = set(suffix) - set(ALPHABET)
  if unknown:
    raise ValueError(f'parameter {key!r}: {sorted(unknown)} are not in the '
                     f'alphabet {"".join(ALPHABET)}; add them to model/dims.py')
  return suffix
