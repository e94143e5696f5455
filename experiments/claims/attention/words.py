"""What the claim comes to, for one who knows no statistics."""

from experiments.judge.record import StratumResult

TERMS = {
  'attention': 'the shares in which a place of the text takes up what stands '
               'at the places before it',
  'head': 'one of several ways in which a layer attends at once',
  'raw': 'the mean of the shares over a layer\'s heads',
  'value-weighted': 'shares, by the length of what is really added for them',
  'rolled out': 'through all layers, down to the tokens that were read',
  'what matters': 'how far the probability of the true next token moves if '
                  'another token is put in the place of one that was read',
  'delimiter': 'a token without a letter or a digit',
  'Kendall\'s tau': 'how well two orders agree: of all pairs, the share that '
                    'stand the same way less the share that do not; 1 always, '
                    '0 as by chance',
  'retained mass': 'the share of attention that does not go to what is left '
                   'out',
  'quantised': 'its numbers are rounded to 4 bits, to be smaller',
}
OF = (' How far nearness to the end alone would order them stands beside it in '
      'the figure. It is one small model (quantised, instruct, 135 M), on the '
      'documentation of Python.')
SAID = {
  'supported': 'tokens that get more attention do matter more for the next '
               'token, clearly so',
  'refuted': 'how much attention a token gets hardly says how much it matters '
             'for the next token',
  'conditional': 'attention goes to what matters if it is weighed in one of '
                 'several ways, and not in others',
  'inconclusive': 'attention and what matters agree neither as clearly as was '
                  'asked, nor as little as would refute it',
}


def importance(stratum: StratumResult) -> str:
  """The answer, and how many of 100 pairs stand the same way."""
  if stratum.verdict not in SAID:
    return ''
  found = {effect.name: effect.estimate for effect in stratum.effects}
  last, every = (round(50 + 50 * found[f'attention of {layers}'])
                 for layers in ('the last layer', 'all layers'))
  return (f'Attention: {SAID[stratum.verdict]}. Of two words of the context, '
          'the one that gets more of it also matters more in about '
          f'{last} of 100 cases for the last layer, and in {every} over all '
          f'layers, where 50 would be chance.{OF}')
