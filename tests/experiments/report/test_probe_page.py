"""The page of a probe: words that follow from numbers, and nothing loaded."""

import html.parser
import json
import re

import planted_probe
import polars as pl
import pytest

from experiments.instruments import catalogue
from experiments.report import probe
from experiments.report.probe import plots, readings, words

VOID = {'meta', 'br', 'img', 'hr', 'link', 'input'}
FACTS = probe.Facts(
  'a <model>', 'quantised, instruct, 135 M', 'topics', 2000,
  'fathom probe a-model', 'cpu', planted_probe.instruments(),
  {'skipping': probe.Cost(3e12, 41.5)}, 5_000_000,
  {'rollout': 'it keeps no <scores>'}, '4,096 tokens of prose',
  {'commit': '0123456789abcdef'})


class _Page(html.parser.HTMLParser):
  """Checks that tags nest; keeps ids, targets and what scripts hold."""

  def __init__(self, path):
    super().__init__()
    self.text = path.read_text(encoding='utf-8')
    self.open, self.ids, self.targets, self.scripts = [], [], [], []
    self.feed(self.text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attributes):
    self.handle_startendtag(tag, attributes)
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attributes):
    for name, value in attributes:
      assert not name.startswith('on')
      if name == 'id':
        self.ids.append(value)
      if name in ('src', 'href', 'xlink:href', 'srcset', 'data'):
        self.targets.append(value)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] == 'script':
      self.scripts.append(data)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('probe')


@pytest.fixture(scope='module')
def page(folder):
  return _Page(probe.write(folder, planted_probe.table(n=8, needed=(1, 8)),
                           planted_probe.slices(), FACTS))


@pytest.fixture(scope='module')
def many(tmp_path_factory):
  few = planted_probe.by_n((1, 8), 2).filter(pl.col('instrument').is_in(
    ['logit-lens', 'skipping', 'effective-depth', 'novelty']))
  return _Page(probe.write(tmp_path_factory.mktemp('many'), few, None, FACTS))


def told(**options):
  """All sentences that a planted table gives."""
  own = readings.Measured(planted_probe.table(**options))
  return ' '.join(sentence for answer in words.answers(own, {})
                  for sentence in answer.sentences)


def test_what_was_asked_and_what_it_cost_is_told(page):
  for said in ('a &lt;model&gt;', FACTS.labels, FACTS.command, '5.0 MB',
               '41.5', '3.0e+12', '4,096 tokens of prose', probe.TABLE,
               'it keeps no &lt;scores&gt;', 'What linear-lens means',
               'Somebody, 2020'):
    assert said in page.text, said


@pytest.mark.parametrize('kind', ['page', 'many'])
def test_it_is_whole_and_loads_nothing(kind, request):
  page = request.getfixturevalue(kind)
  assert len(page.ids) == len(set(page.ids))
  for target in page.targets:
    assert target == probe.TABLE or target.startswith('data:') or (
      target.removeprefix('#') in page.ids), target
  outside = re.sub(r"'http://www.w3.org/2000/svg'", '', page.text)
  assert 'http' not in outside
  assert '@import' not in outside


def test_the_slice_comes_back_as_it_was_and_breaks_out_of_nothing(page):
  data, script = page.scripts
  assert json.loads(data) == planted_probe.slices()
  assert 'window.broken' not in script
  assert 'innerHTML' not in script
  assert page.text.count('</script>') == 2


def test_without_a_slice_there_is_no_script(many):
  assert many.scripts == []


def test_every_metric_has_a_figure_or_its_numbers(page, folder):
  for metric in planted_probe.table(n=8)['metric'].unique():
    assert any(name.startswith(metric.replace('_', '-')) for name in page.ids)
    assert f'<code>metric = {metric}' in page.text
  files = {path.stem for path in (folder / 'figures').iterdir()}
  assert {'cka', 'lens-bits', 'induction-score', 'novelty'} <= files


def test_heads_layers_and_what_has_none_are_shown_apart():
  rows = planted_probe.table(n=3).filter(metric='novelty_of_parts')
  shown = [plots.of_metric(part, 'novelty_of_parts', 'of parts', kind)
           for kind, part in plots.kinds(rows)]
  assert [one.plot.title for one in shown] == [
    'Of parts, by layer and head', 'Of parts, by layer', 'Of parts, in all']
  assert [one.plot.rows for one in shown] == [6, 3, 1]
  by_head, by_layer, in_all = (one.numbers[0].rows for one in shown)
  assert list(by_head[1]) == ['2', '20.0', '21.0']
  assert list(by_layer[1]) == ['2', '2.00']
  assert list(in_all[0]) == ['model', '77.5']


@pytest.mark.parametrize('one', catalogue.INSTRUMENTS,
                         ids=lambda one: one.name)
def test_what_the_catalogue_measures_can_be_shown(one):
  """Whatever its rows look like, the figure knows only their columns."""
  for metric, axis in one.metrics.items():
    rows = pl.DataFrame({
      'instrument': one.name, 'metric': metric, 'network': 'model',
      'layer': [0, 1, 2], 'value': [0.5, 1.0, 2.0], 'lens': None})
    shown = plots.of_metric(rows, metric, axis)
    assert shown.plot.svg
    assert [row[1] for row in shown.numbers[0].rows] == ['0.500', '1.00',
                                                         '2.00']


def test_sentences_follow_from_where_predictions_form():
  early, late = told(forms=0.2), told(forms=0.6)
  assert 'from layer 15 on as the logit lens reads it' in early
  assert 'from 6 by the Jacobian lens' in early
  assert 'from 18 by the Jacobian lens' in late
  assert 'In a random network of this shape: from layer 29 on' in late


@pytest.mark.parametrize(('needed', 'said'), [
  ((1, 2, 30), '27 of 30 layers, one at a time: without layers 3–29'),
  ((4,), 'Not layer 4.'), ((), 'Any one of the 30, but one at a time'),
  (tuple(range(1, 31)), 'None: whichever of the 30 layers is left out')])
def test_sentences_follow_from_what_can_go(needed, said):
  assert said in told(needed=needed)


def test_definitions_of_effective_depth_are_told_side_by_side():
  assert ('Between 18 and 24 of 30 layers, by how it is defined: there are two '
          'definitions') in told()
  own = readings.Measured(planted_probe.table(n=10))
  bars = words.depth(own, {'participation': 'layers that matter'}).strip
  assert [(bar.name, bar.value) for bar in bars] == [
    ('layers that matter', '6.00 of 10'), ('overlap depth', '8.00 of 10')]


def test_an_encoder_is_told_by_what_it_has(tmp_path):
  kept = pl.DataFrame({
    'instrument': 'skipping', 'metric': 'skip_cosine', 'network': 'model',
    'layer': [1, 2, 3], 'value': [0.3, 0.95, 0.97]})
  path = probe.write(tmp_path, kept, None, probe.Facts(
    'MiniLM', 'encoder', 'topics', 50, 'fathom probe', 'cpu',
    planted_probe.instruments()[7:8],
    left_out={'logit-lens': 'it scores no words'}))
  text = _Page(path).text
  assert '2 of 3 layers, one at a time: without layers 2–3' in text
  assert 'Not measured: <code>logit-lens</code>: it scores no words.' in text


def test_what_is_no_number_is_counted_and_not_shown(tmp_path):
  table = planted_probe.table(n=2).with_columns(value=pl.when(
    pl.col('metric') == 'skip_bits').then(float('nan')).otherwise('value'))
  text = _Page(probe.write(tmp_path, table, None, FACTS)).text
  assert '2 are no finite number and are not shown' in text
  assert 'id="skip-bits"' not in text


def test_runs_are_told_by_n(many):
  for said in ('share of layers that can go', 'at n = 1', 'at n = 8',
               'By the number of layers n', 'text and looped, 0 at n = 1'):
    assert said in many.text, said
  assert 'by-n-novelty' in many.ids


def test_quantities_of_runs_are_those_of_one_model():
  found = readings.of_runs(planted_probe.by_n())
  own = readings.Measured(planted_probe.table(n=8, needed=(1,)))
  rows = found.filter(pl.col('quantity').str.contains('logit'), n_layers=8)
  assert rows.height == 2 * 3
  assert set(rows['value']) == {own.forms('logit') / 8}
  share = found.filter(metric='skip_agreement', n_layers=8)['value']
  assert set(share) == {7 / 8}


def test_layers_are_ranges():
  assert words.ranges([7, 1, 3, 2]) == ['1–3', '7']
