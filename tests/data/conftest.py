import pytest
from corpora import SHARDED, documents, prepare, write_jsonl


@pytest.fixture(scope='session')
def made(tmp_path_factory):
  """A prepared corpus that many tests read, and none may change."""
  folder = tmp_path_factory.mktemp('prepared')
  prepare([write_jsonl(folder / 'in.jsonl', documents(40))], folder / 'out',
          **SHARDED)
  return folder / 'out'
