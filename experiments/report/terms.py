"""The words a report uses, explained where they stand and in its glossary."""

import re
from collections.abc import Iterable, Mapping

# What any report says; a claim brings its own (`Experiment.terms`).
TERMS = {
  'stratum': 'one kind of input or one setting, judged on its own; a claim '
             'has one or several (plural: strata)',
  'effect': 'a number that says how large the predicted difference is; '
            'positive where it goes as predicted',
  'property': 'an exact statement: it holds, or a counterexample shows that '
              'it does not; no chance is involved',
  'control': 'a check of the experiment itself; if one fails, the measurement '
             'says nothing and the stratum is invalid',
  'smallest effect': 'the smallest size that would matter, declared before '
                     'the first run; an effect is judged by where its '
                     'interval lies against it',
  'band': 'where an effect is predicted to lie; it is supported when its '
          'whole interval lies inside. Outside is shown by the 95 % interval, '
          'as there are two ways to lie there; it refutes as the opposite does',
  'holds': 'of a property: checked exactly, and no counterexample was found',
  'fails': 'of a property: there is a counterexample, and it is shown',
  'interval': 'the sizes of an effect that the numbers do not rule out: it is '
              'found by the same test that decides. A one-sided test at 5 % '
              'has the bounds of the 90 % interval',
  'supported': 'of an effect: its whole interval lies beyond the smallest '
               'effect, or inside its band; one that ends on the bound is not '
               'beyond it. Of a stratum: all that its rule asks for was shown',
  'equivalent': 'shown to be negligible: the whole interval lies within the '
                'smallest effect on both sides of no effect',
  'smaller': 'shown to be there, and to be smaller than what would matter: the '
             'interval lies between no effect and the smallest effect',
  'opposite': 'the whole interval lies beyond the smallest effect, in the '
              'other direction',
  'inconclusive': 'the interval allows more than one answer; more runs are '
                  'needed. It refutes nothing',
  'refuted': 'what was declared to refute the stratum was shown: the '
             'opposite, or that no effect of that size is there',
  'conditional': 'it holds in some declared settings, or in one reading, and '
                 'fails in others',
  'invalid': 'a control failed, so the measurement says nothing',
  'incomplete': 'planned runs are missing, so no verdict is given',
  'not run': 'it was not asked for, or what it needs is not there, so '
             'there is nothing to judge',
  'p': 'how often chance gives a result at least as clear, were the true '
       'effect at the bound that is named; small means hard to get by chance',
  'Holm': 'p made larger over the effects of a stratum, for a reader who '
          'picks one of them (Holm, 1979); a verdict that needs all does not '
          'need it',
  'replicate': 'one independent repetition; its seed, or its data instance',
  'seed': 'of the random initial weights and the order of the data; runs that '
          'differ in it alone are repetitions',
  'instance': 'one draw of the data source, such as one grammar; runs on '
              'different ones are repetitions',
  'arm': 'one way of building or training the model, compared with others',
  'n': 'the number of layers: attention and feed-forward, one after the other',
  'layer': 'attention and a feed-forward network, one after the other; a '
           'model repeats it n times',
  'width': 'd: how many numbers stand for one token between the layers',
  'parameter': 'one of the numbers that training adjusts',
  'FLOP': 'one addition or multiplication of numbers: the currency in which '
          'computing is paid',
  'held-out': 'kept apart: the model is scored on what it was not trained on',
  'loss': 'how surprised the model is by what comes, in nats; lower is better',
  'bit': 'the unit of surprise: one bit is the surprise of a fair coin',
  'byte': 'eight binary digits of text; one plain letter',
  'bits per byte': 'the surprise at held-out text for each byte of it: how '
                   'well it is predicted, whatever the tokens are; lower is '
                   'better',
  'token': 'the piece of input that a model reads at a time',
  'Page': "Page's test: whether values rise or fall in the order that was "
          'predicted (Page, 1963)',
  'sign-flip': 'an exact test of a mean: were chance alone at work, each '
               "replicate's difference could as well have the other sign "
               '(Fisher, 1935)',
  'tier': 'the kind of evidence: E0 exact, E1 trained on a CPU, E2 trained on '
          'an accelerator, E3 a pretrained model',
}
# Too common to be marked wherever they stand.
_QUIET = {'holds', 'fails', 'n', 'p', 'bit', 'byte', 'layer', 'effect',
          'parameter', 'property', 'token', 'width', 'loss'}


class Glossary:
  """The terms of one page; marks them in its texts."""

  def __init__(self, own: Mapping[str, str],
               common: Iterable[str] = tuple(TERMS)):
    """Takes the terms that the page brings, and those of any that it uses."""
    self.terms = {**{term: TERMS[term] for term in common}, **own}
    loud = [term for term in self.terms if term not in _QUIET]
    words = '|'.join(_at_the_start_too(term) for term in
                     sorted(loud, key=len, reverse=True))
    # Plurals too; nothing inside a longer word.
    self._pattern = re.compile(rf'(?<![\w-])({words})(s?)(?![\w-])')

  def explain(self, text: str) -> str:
    """The text as HTML, the first place of each term with its explanation."""
    import markupsafe
    seen: set[str] = set()
    pieces, at = [], 0
    for found in self._pattern.finditer(text):
      term = found[1]
      if term not in self.terms:
        term = term[0].lower() + term[1:]
      if term in seen:
        continue
      seen.add(term)
      pieces += [markupsafe.escape(text[at:found.start()]),
                 self.term(term, found[0])]
      at = found.end()
    return markupsafe.Markup('').join(
      [*pieces, markupsafe.escape(text[at:])])

  def term(self, term: str, shown: str = '') -> str:
    """One term with its explanation, as HTML; KeyError for none of ours."""
    import markupsafe
    return markupsafe.Markup(
      '<dfn tabindex="0" aria-description="{}">{}</dfn>').format(
        f'{term}: {self.terms[term]}', shown or term)

  def entries(self) -> list[tuple[str, str]]:
    """All terms with their explanations, in the order of the alphabet."""
    return sorted(self.terms.items(), key=lambda entry: entry[0].lower())


def _at_the_start_too(term: str) -> str:
  """The pattern of a term, with a capital too where a sentence begins."""
  first, rest = re.escape(term[0]), re.escape(term[1:])
  return f'[{first}{first.upper()}]{rest}' if first.islower() else first + rest
