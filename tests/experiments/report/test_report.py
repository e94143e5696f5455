"""The report on a planted table: complete, self-contained, the same twice."""

import dataclasses
import html.parser
import math
import re
import xml.etree.ElementTree as ElementTree

import polars as pl
import pytest
from planted_results import (
  EXPERIMENT,
  MANIFEST,
  planted_claim,
  planted_effect,
  planted_table,
)

from experiments import report
from experiments.report import figures, marks, runs, wording

VOID = {'meta', 'br', 'img', 'hr', 'link', 'input'}
HOSTILE = '"><script>alert(1)</script>|`$x_{'


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  folder = tmp_path_factory.mktemp('report')
  return report.write(folder, planted_claim(), planted_table(), MANIFEST,
                      EXPERIMENT)


class _Page(html.parser.HTMLParser):
  """Checks that tags nest, and keeps what the page would load and name."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.ids, self.targets = [], [], [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attributes):
    self.handle_startendtag(tag, attributes)
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attributes):
    self.tags.append(tag)
    for name, value in attributes:
      if name == 'id':
        self.ids.append(value)
      if name in ('src', 'href', 'srcset', 'data'):
        self.targets.append(value)
      assert not name.startswith('on')

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def _read(page):
  text = page.read_text(encoding='utf-8')
  return text, _Page(text)


def test_first_screen_tells_verdicts_and_key_effects(planted):
  text, _ = _read(planted)
  answer = text[:text.index('<nav')]
  for words in ('conditional', 'supported', 'refuted', 'buys nothing',
                '0.93', '[0.87, 0.99]', 'layers per level', 'bits per byte'):
    assert words in answer
  assert 'no evidence' not in text


def test_an_invalid_stratum_gives_its_reason_instead_of_a_number(tmp_path):
  claim = planted_claim(('invalid',) * 3, 'invalid')
  claim = dataclasses.replace(claim, strata=claim.strata[1:2])
  text, _ = _read(report.write(tmp_path, claim, planted_table().head(0), {},
                               EXPERIMENT))
  answer = text[text.index('<main'):text.index('<nav')]
  assert claim.strata[0].reason in answer
  assert '0.94' not in answer
  assert '✗ fail' in text


@pytest.mark.parametrize('verdict', wording.VERDICTS)
def test_every_verdict_has_its_word_sign_and_colour(verdict, tmp_path):
  claim = planted_claim((verdict,) * 3, verdict)
  claim = dataclasses.replace(claim, strata=tuple(
    dataclasses.replace(s, effects=()) for s in claim.strata))
  nothing = planted_table().head(0)
  page = report.write(tmp_path, claim, nothing, {}, EXPERIMENT)
  text, _ = _read(page)
  answer = text[text.index('<main'):text.index('<nav')]
  assert answer.count(wording.VERDICTS[verdict][0]) >= 4
  assert answer.count(f'card {verdict}') == 3
  assert f'.{verdict} {{ --tone' in text
  assert verdict in page.with_name('report.md').read_text(encoding='utf-8')


def test_page_is_well_formed_and_loads_nothing(planted):
  text, page = _read(planted)
  assert not {'script', 'link', 'iframe', 'img', 'object'} & set(page.tags)
  assert len(page.ids) == len(set(page.ids))
  files = {'results.csv', 'results.parquet', 'report.md'}
  for target in page.targets:
    assert target in files or target.removeprefix('#') in page.ids
  assert '@import' not in text
  assert 'http' not in text
  for reference in re.findall(r'url\(([^)]*)\)', text):
    assert reference.removeprefix('#') in page.ids


def test_figures_are_files_of_their_own_too(planted):
  markdown = planted.with_name('report.md').read_text(encoding='utf-8')
  files = sorted((planted.parent / 'figures').iterdir())
  assert len(files) == 9
  for file in files:
    root = ElementTree.parse(file).getroot()
    assert root.get('role') == 'img'
    assert root.get('aria-label')
    assert f'](figures/{file.name})' in markdown


def test_captions_count_the_rows_they_show(planted):
  text, _ = _read(planted)
  table = planted_table()
  rows = table.filter(metric='decodability').height
  assert f'{rows} rows of results.csv where <code>stratum' in text
  assert f'{table.height:,} rows, one number each' in text


def test_same_input_gives_the_same_bytes(planted, tmp_path):
  again = report.write(tmp_path, planted_claim(), planted_table(), MANIFEST,
                       EXPERIMENT)
  files = [p for p in planted.parent.rglob('*') if p.is_file()]
  assert len(files) == 11
  for file in files:
    copy = again.parent / file.relative_to(planted.parent)
    assert copy.read_bytes() == file.read_bytes()


def test_incomplete_table_says_what_is_missing(tmp_path):
  table = planted_table(missing=50).filter(
    (pl.col('stratum') == 'text') | (pl.col('metric') == 'loss'))
  claim = planted_claim(('supported', 'supported', 'incomplete'),
                        'incomplete', evidence='smoke', missing=50)
  page = report.write(tmp_path, claim, table, MANIFEST, EXPERIMENT)
  text, _ = _read(page)
  assert '50 of 115 planned runs are missing' in text
  assert 'n = 12 · d = 64: 5 runs, seed/instance 0/0, 1/0' in text
  assert text.count('No data yet') == 7
  assert text.count('smoke: no evidence') >= 3
  assert 'smoke: no evidence' in page.with_name('report.md').read_text(
    encoding='utf-8')


def test_labels_are_text_whatever_they_hold(tmp_path):
  table = planted_table(arm_of=lambda arm: arm + HOSTILE).filter(
    pl.col('stratum') == 'text', pl.col('metric') == 'bits_per_byte')
  claim = planted_claim()
  text_stratum = dataclasses.replace(claim.strata[2], reason=HOSTILE)
  claim = dataclasses.replace(claim, title=HOSTILE, strata=(text_stratum,))
  page = report.write(tmp_path, claim, table, {'command': HOSTILE},
                      EXPERIMENT)
  _, parsed = _read(page)
  assert 'script' not in parsed.tags
  for file in (tmp_path / 'figures').iterdir():
    assert all('script' not in element.tag
               for element in ElementTree.parse(file).iter())
  markdown = page.with_name('report.md').read_text(encoding='utf-8')
  assert '<script' not in markdown
  assert all(re.search(r'(?<!\\)\|`', line) is None
             for line in markdown.splitlines())


def test_diverged_runs_are_counted_and_left_out(tmp_path):
  table = planted_table(diverged=3).filter(
    (pl.col('metric') == 'bits_per_byte') | (pl.col('status') == 'diverged'))
  claim = planted_claim()
  claim = dataclasses.replace(claim, strata=claim.strata[2:])
  text, _ = _read(report.write(tmp_path, claim, table, {}, EXPERIMENT))
  assert '3 runs diverged and are left out of the figures' in text
  assert '47 rows of results.csv' in text


def test_interval_is_over_instances_and_over_seeds_of_a_single_one():
  def cell(instances, seeds):
    return pl.DataFrame([
      {'n': 1, 'instance': i, 'seed': s, 'value': float(i + 10 * s)}
      for i in range(instances) for s in range(seeds)])

  over_instances = marks.summary(cell(3, 2), 'n').row(0, named=True)
  assert over_instances['mean'] == pytest.approx(6)
  assert over_instances['half'] == pytest.approx(4.30265 / 3 ** 0.5)
  assert marks.summary(cell(1, 4), 'n')['size'].item() == 4
  assert marks.summary(cell(1, 1), 'n')['half'].item() is None


def test_saturation_is_the_first_depth_as_good_as_the_deepest():
  def family(*values):
    return pl.DataFrame([
      {'n_layers': n, 'instance': 0, 'seed': s, 'value': v + 0.001 * n * s}
      for n, v in zip((1, 2, 4, 8), values) for s in range(3)])

  assert marks.saturation(family(2.0, 1.5, 1.01, 1.0), 0.05) == 4
  assert marks.saturation(family(2.0, 1.5, 1.2, 1.0), 0.05) is None


def test_runs_have_their_own_loss_or_the_mean_over_hops():
  listed = {run['run']: run for run in runs.listing(planted_table())}
  table = planted_table().filter(metric='loss')
  for stratum in ('composition', 'text'):
    first = table.filter(stratum=pl.lit(stratum))['run'][0]
    mean = table.filter(run=pl.lit(first))['value'].mean()
    assert listed[first]['loss'] == pytest.approx(mean)
    assert listed[first]['seconds'] is None


@pytest.mark.parametrize(('low', 'high', 'interval'), [
  (-math.inf, math.inf, '[−∞, ∞]'), (-0.004, 1.2, '[0.0, 1.2]')])
def test_open_and_closed_intervals_are_drawn(low, high, interval):
  effect = dataclasses.replace(
    planted_effect('gain', 'a gain', 'bits', 0.6, 0.1, 0.5, 'supported'),
    low=low, high=high)
  assert figures.of_effect(effect, 'gain').startswith('<svg role="img"')
  assert wording.span(effect) == ('0.6', interval)


def test_an_effect_without_a_unit_is_not_drawn():
  effect = dataclasses.replace(
    planted_effect('gain', 'a gain', 'bits', math.nan, math.nan, 0.5,
                   'inconclusive'), values=())
  assert figures.of_effect(effect, 'gain') == ''
  assert wording.span(effect) == ('–', '[–, –]')


@pytest.mark.parametrize(('value', 'text'), [
  (0.12345, '0.123'), (1234567, '1.23e+06'), (0, '0'), (None, '–'),
  (float('nan'), '–'), (float('-inf'), '−∞'), (-2.5, '−2.50'), (12.0, '12.0')])
def test_numbers_read_well(value, text):
  assert wording.number(value) == text
