"""The report on a planted table: complete, self-contained, the same twice."""

import dataclasses
import html.parser
import pathlib
import re
import resource
import typing
import xml.etree.ElementTree as ElementTree

import planting
import polars as pl
import pytest

from experiments import report
from experiments.claims.depth import EXPERIMENT
from experiments.judge.record import Verdict
from experiments.judge.seal import Amendment, Sealed
from experiments.report import wording

VOID = {'meta', 'br', 'img', 'hr', 'link', 'input'}
HOSTILE = '"><script>alert(1)</script>|`$x_{'
MANIFEST = {
  'command': 'fathom run depth', 'commit': '0123456789abcdef',
  'packages': {'jax': '0.10.2', 'flax': '0.12.8'},
  'data': {'embedded prose': 'sha256:77aa'},
  'compute': {'devices': ['cpu'], 'worker_seconds': 780}, 'note': None}


@pytest.fixture(scope='module')
def planted(plan, claim, table):
  return report.write(plan, claim, table, MANIFEST)


def elsewhere(plan, folder, *strata):
  """The plan of some strata, with a folder of its own."""
  parts = tuple(p for p in plan.parts if not strata or p.name in strata)
  return dataclasses.replace(plan, folder=folder, parts=parts)


def only(claim, *names, **changes):
  """The claim with the strata of these names, changed."""
  return dataclasses.replace(claim, strata=tuple(
    dataclasses.replace(s, **changes) for s in claim.strata if s.name in names))


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
  """The page without the marks of its terms, and its structure with them."""
  text = page.read_text(encoding='utf-8')
  return re.sub(r'<dfn [^>]*>([^<]*)</dfn>', r'\1', text), _Page(text)


def test_first_screen_tells_verdicts_and_key_effects(planted, claim):
  text, _ = _read(planted)
  answer = text[:text.index('<nav')]
  for words in ('supported', 'Supported on composition, hierarchy and text.',
                'Two links, after 120 billion FLOPs', 'accuracy',
                'layers a level', 'bits per byte'):
    assert words in answer, words
  assert 'no evidence' not in text
  assert 'class="aside"' not in text


def test_an_invalid_stratum_gives_its_reason_instead_of_a_number(
    plan, tmp_path):
  rows = planting.plant(plan, {'selectivity': lambda run: 0.0})
  claim = planting.judged(plan, rows)
  text, _ = _read(report.write(elsewhere(plan, tmp_path), claim, rows, {}))
  answer = text[text.index('<main'):text.index('<nav')]
  assert claim.strata[1].reason in answer.replace('&#34;', '"')
  assert claim.strata[1].effects[0].statement not in answer
  assert '✗ fail' in text


@pytest.mark.parametrize('verdict', typing.get_args(Verdict))
def test_every_verdict_has_its_word_sign_and_colour(verdict, plan, claim,
                                                    tmp_path):
  names = [s.name for s in claim.strata]
  claim = dataclasses.replace(only(claim, *names, verdict=verdict, effects=()),
                              verdict=verdict)
  nothing = planting.blank(plan).head(0)
  page = report.write(elsewhere(plan, tmp_path), claim, nothing, {})
  text, _ = _read(page)
  answer = text[text.index('<main'):text.index('<nav')]
  slug = verdict.replace(' ', '-')
  assert answer.count(wording.SIGNS[verdict]) >= 4
  assert answer.count(f'card {slug}') == 3
  assert re.search(rf'\.{slug}\b.* {{ --tone', text)
  assert verdict in page.with_name('report.md').read_text(encoding='utf-8')


def test_a_part_and_an_amendment_are_told_in_title_badge_and_record(
    plan, claim, table, tmp_path):
  part = elsewhere(plan, tmp_path, 'text')
  amended = Sealed('9f' * 32, (), (
    Amendment('2026-01-02T03:04', 'text', 'a1', 'b2'),))
  judged = planting.judged(part, table, amended)
  page = report.write(part, judged, table.filter(stratum=pl.lit('text')), {})
  text, _ = _read(page)
  title = text[text.index('<title>'):text.index('</title>')]
  words = 'upported on text only, amended after the first run'
  assert words in title
  assert f's{words}' in page.with_name('report.md').read_text(encoding='utf-8')
  assert ('<span class="aside">on text only, amended after the first run</span>'
          in text)
  assert 'composition and hierarchy were not run' in text
  assert 'from <code>a1</code> to <code>b2</code>' in text
  assert 'depth --preset=cpu --strata=text' in text
  assert text.count('not run') > 2


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


def test_captions_count_the_rows_they_show(planted, table):
  text, _ = _read(planted)
  rows = table.filter(metric='decodability').height
  assert f'{rows} rows of results.csv where <code>stratum' in text
  assert f'{table.height:,} rows, one number each' in text


def test_same_input_gives_the_same_bytes(planted, plan, claim, table,
                                         tmp_path):
  again = report.write(elsewhere(plan, tmp_path), claim, table, MANIFEST)
  files = [p for p in planted.parent.rglob('*') if p.is_file()]
  assert len(files) == 11
  for file in files:
    copy = again.parent / file.relative_to(planted.parent)
    assert copy.read_bytes() == file.read_bytes()


def test_incomplete_table_says_what_is_missing(plan, table, tmp_path):
  missing = planting.blank(plan).filter(stratum=pl.lit('text')).with_columns(
    status=pl.lit('missing'))
  rows = pl.concat([table.filter(pl.col('stratum') != 'text',
                                 pl.col('metric') == 'loss'), missing])
  claim = planting.judged(plan, rows, smoke=True)
  page = report.write(elsewhere(plan, tmp_path), claim, rows, MANIFEST)
  text, _ = _read(page)
  absent = missing['run'].n_unique()
  assert f'{absent} of {len(plan.run_ids())} planned runs are missing' in text
  assert 'n = 4 · d = 32: 8 runs, seed/instance 8/0, 9/0' in text
  assert text.count('No data yet') == 8
  answer = text[text.index('<main'):text.index('<nav')]
  assert 'A test of the machinery: no evidence.' in answer
  assert 'class="badge' not in answer
  assert 'of the machinery: no evidence.' in page.with_name(
    'report.md').read_text(encoding='utf-8')


def test_labels_are_text_whatever_they_hold(plan, claim, table, tmp_path):
  rows = table.filter(stratum=pl.lit('text'), metric=pl.lit('bits_per_byte')
                      ).with_columns(pl.col('arm') + HOSTILE)
  claim = dataclasses.replace(only(claim, 'text', reason=HOSTILE),
                              title=HOSTILE)
  page = report.write(elsewhere(plan, tmp_path, 'text'), claim, rows,
                      {'command': HOSTILE})
  _, parsed = _read(page)
  assert 'script' not in parsed.tags
  for file in (page.parent / 'figures').iterdir():
    assert all('script' not in element.tag
               for element in ElementTree.parse(file).iter())
  markdown = page.with_name('report.md').read_text(encoding='utf-8')
  assert '<script' not in markdown
  assert all(re.search(r'(?<!\\)\|`', line) is None
             for line in markdown.splitlines())


def test_diverged_runs_are_counted_and_left_out(plan, claim, table, tmp_path):
  rows = table.filter(stratum=pl.lit('text'), metric=pl.lit('bits_per_byte'))
  rows = rows.with_columns(status=pl.when(pl.col('seed') < 11).then(
    pl.lit('done')).otherwise(pl.lit('diverged')))
  part = elsewhere(plan, tmp_path, 'text')
  text, _ = _read(report.write(part, only(claim, 'text'), rows, {}))
  assert '15 runs diverged and are left out of the figures' in text
  assert '12 rows of results.csv' in text


def test_the_report_knows_no_claim_metric_or_stratum(table):
  """A claim brings its figures: nothing of it is named here.

  `loss` and its learning curve are of any run.
  """
  names = {*table['metric'].drop_nulls(), *table['stratum'], EXPERIMENT.name}
  folder = pathlib.Path(report.__file__).parent
  files = [f for f in folder.iterdir() if f.suffix in ('.py', '.jinja')]
  assert len(files) > 10
  for file in files:
    words = set(re.findall(r"['\"](\w+)['\"]", file.read_text()))
    assert not words & (names - {'loss', 'text'}), file


def test_two_kinds_of_evidence_are_said_beside_the_verdict(
    plan, claim, table, tmp_path):
  strong = dataclasses.replace(claim, strong=True)
  page = report.write(elsewhere(plan, tmp_path), strong, table, MANIFEST)
  text, _ = _read(page)
  assert '(strong)' in text[text.index('<main'):text.index('<nav')]


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path):
  page = report.save(tmp_path / 'report.html', 'whole')
  _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (8, most))
  try:
    with pytest.raises(OSError, match=r'report\.html'):
      report.save(page, 'a longer page')
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert page.read_text() == 'whole'
