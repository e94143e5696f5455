"""The 34 statements of two primers on how language models work.

Primer A is "how LLM works / LLM can really be logical?", primer B "how does an
LLM work? / the black box". The words are ours. What judges a statement is named
here and nowhere else; what is planned and not there yet is simply not judged.
"""

import dataclasses
from collections.abc import Mapping

from experiments.claims import names


@dataclasses.dataclass(frozen=True)
class Statement:
  """One statement of a primer.

  Attributes:
    id: the primer's letter and a number.
    text: what it says, in our words.
    card: of the design that judges it.
    tiers: the kinds of evidence that are planned.
    judged_by: (experiment, stratum) pairs.
    part: what of the statement these speak about; '' for all of it.
    says: what a verdict there says about the statement, where it is another:
      {verdict of the stratum: verdict on the statement}.
    sanity: nearly true by definition, it tests the machinery.
    also: further pairs, told of beside the others where they were run and not
      missed where they were not. They can speak against it; what they leave
      open weakens nothing, and by themselves they support nothing.
  """

  id: str
  text: str
  card: str
  tiers: tuple[str, ...]
  judged_by: tuple[tuple[str, str], ...] = ()
  part: str = ''
  says: Mapping[str, str] = dataclasses.field(default_factory=dict)
  sanity: bool = False
  also: tuple[tuple[str, str], ...] = ()


def _strata(experiment: str, *strata: str) -> tuple[tuple[str, str], ...]:
  return tuple((experiment, stratum) for stratum in strata)


_EXACT, _TRAINED = ('E0',), ('E1',)
_BOTH, _READ = ('E0', 'E1'), ('E1', 'E3')

STATEMENTS = (
  Statement('A1', 'A language model works because it was fed practically all '
            'of the language in use.', 'EM2', _TRAINED),
  Statement('A2', 'Embeddings end up dense or sparse in places, according to '
            'how many links a word has.', 'G1', _READ,
            _strata('geometry', 'density')),
  Statement('A3', 'Training stores the probability of each transition in '
            'weights and biases.', 'G1', _TRAINED,
            _strata('geometry', 'transitions'), sanity=True),
  Statement('A4', 'Two vectors far apart can still be related.', 'G1',
            _TRAINED, _strata('geometry', 'distance')),
  Statement('A5', 'To apply a model, the whole of it has to be loaded.', 'L1',
            ('E0', 'E3'), _strata('exact', 'streaming'),
            'one layer after the other',
            also=_strata('real-depth', 'streaming')),
  Statement('A6', 'New words that resemble nothing known cannot be added by '
            'fine-tuning; they need training on a mixture again.', 'C1',
            _TRAINED,
            _strata('new-tokens', 'fine-tuning', 'mixing', 'retraining')),
  Statement('A7', 'Once all that bears on a problem is at hand, the problem '
            'is solved.', 'W1, D1', _TRAINED, _strata('depth', 'composition'),
            'all facts at hand, few layers or many',
            # Where layers have a price, facts at hand are not all it takes.
            {'supported': 'conditional', 'refuted': 'supported'}),
  Statement('A8', 'Logic is the ability to link one message to the next.',
            'D1', ('E1', 'E2'), _strata('depth', 'composition'),
            'what it costs to link facts in the context'),
  Statement('A9', 'Different problems use different parts of the model.', 'S1',
            _READ),
  Statement('A10', 'Such parts are linked side by side or one within the '
            'other.', 'S1, D1', _TRAINED),
  Statement('A11', 'Language describes the world, so a model of language '
            'learns its logic by the way.', 'W1', _TRAINED),
  Statement('A12', 'Language says only so much about the world, so the logic '
            'that is learned is limited.', 'W1', _TRAINED),
  Statement('A13', 'However detailed the description, it stays far from the '
            'world.', 'W1', _TRAINED),
  Statement('B1', 'A tokenizer must turn text into token ids, and each id has '
            'an embedding.', 'T1', _BOTH, _strata('exact', 'round_trip'),
            'text to ids and back; that one must is not judged'),
  Statement('B2', 'Embeddings use many dimensions.', 'G1', ('E0', 'E3'),
            _strata('geometry', 'dimension')),
  Statement('B3', 'What is alike in meaning lies close together.', 'G1', _READ,
            _strata('geometry', 'similarity', 'real-words')),
  Statement('B4', 'Attention weighs how important each token is.', 'AT1',
            _READ, _strata('attention', 'importance'), 'for the next token, '
            'in one pretrained model (quantised, instruct, 135 M)'),
  Statement('B5', 'Embeddings of positions must be used, unlike in recurrent '
            'and convolutional networks.', 'P1', _BOTH,
            _strata('exact', 'order'), 'whether order is invisible without '
            'them; that they must be used is not judged'),
  Statement('B6', 'Positions are told by adding to the embeddings.', 'P1',
            _TRAINED),
  Statement('B7', 'Attention says how much each token affects the others.',
            'AT1', _READ, _strata('attention', 'importance'), 'the last of '
            'them, in one pretrained model (quantised, instruct, 135 M)'),
  Statement('B8', 'The feed-forward network processes the scores of attention.',
            'N1', _BOTH, _strata('exact', 'scores')),
  Statement('B9', 'The activation clamps values to a range and makes the '
            'model nonlinear.', 'N1', _BOTH, _strata('exact', 'activation')),
  Statement('B10', 'Repeating the layers n times gives better depth of '
            'abstraction.', 'D1 to D6', ('E1', 'E2', 'E3'),
            _strata('depth', 'composition', 'hierarchy', 'text'),
            also=_strata('real-depth', 'use')),
  Statement('B11', 'Layering helps above all with writing that is not linear.',
            'D5', _TRAINED),
  Statement('B12', 'Several heads side by side are what makes transformers '
            'fast and scalable.', 'O1', _BOTH, _strata('exact', 'heads'),
            'path length and operations, not the speed of a device'),
  Statement('B13', 'Any two positions are connected in a constant number of '
            'operations; in recurrent and convolutional networks it grows '
            'with the distance.', 'O1', _EXACT, _strata('exact', 'operations'),
            'of one traced program, arrays as one step'),
  Statement('B14', 'A linear layer and a softmax come last; the outputs sum '
            'to 1 and are the logits.', 'X1', ('E0', 'E3'),
            _strata('exact', 'softmax'), 'the sum; logits are by definition '
            'what enters a softmax', sanity=True),
  Statement('B15', 'Dimensions carry no labels, and what they stand for is '
            'unclear.', 'I2', _READ),
  Statement('B16', 'Between meaning and embedding the relation is nonlinear.',
            'I2', _READ),
  Statement('B17', 'Countless dimensions have a hand in any one trait.', 'I2',
            _READ),
  Statement('B18', 'With the layers this compounds: from about ten on it is '
            'intractable in practice.', 'I1', _READ,
            _strata('real-depth', 'surrogates'),
            part='whether one linear map stands for the layers of one '
            'pretrained model (quantised, instruct, 135 M)'),
  Statement('B19', 'Because activations are nonlinear, outputs relate to '
            'inputs in no way, or in a very complex one.', 'N2', _READ),
  Statement('B20', 'From very much data new behaviour emerges.', 'EM1',
            _TRAINED),
  Statement('B21', 'The links that emerge cannot be seen by looking.', 'EM1',
            _TRAINED),
)


def experiments() -> tuple[str, ...]:
  """The experiments that judge a statement and are there."""
  asked = dict.fromkeys(
    name for statement in STATEMENTS
    for name, _ in (*statement.judged_by, *statement.also))
  return tuple(name for name in asked if name in names())
