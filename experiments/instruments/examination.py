"""An examination: what several instruments say of one model, as a table."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from experiments.instruments.instrument import Given, Instrument
from experiments.machine.usage import UsageError
from experiments.runs.subject import Row
from model import ConfigError

# Of every table, in this order; further places in a row follow.
COLUMNS = {'instrument': pl.String, 'metric': pl.String, 'network': pl.String,
           'layer': pl.Int64, 'value': pl.Float64}
NOTHING = ('no number of it could be trusted on so few tokens; give a longer '
           'text')
MODEL = 'model'  # in `network`, where a row names none


@dataclasses.dataclass(frozen=True)
class Examination:
  """What was found out.

  Attributes:
    rows: of each instrument that was taken, by name.
    refused: why others were not, by name.
    failed: those among them that should have been.
    seconds: that each took, by name.
  """

  rows: Mapping[str, Sequence[Row]]
  refused: Mapping[str, str]
  failed: frozenset[str] = frozenset()
  seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)


def examine(given: Given, instruments: Sequence[Instrument],
            begins: Callable[[Instrument], None] = lambda one: None
            ) -> Examination:
  """Takes one instrument after the other; one that fails costs no other.

  Args:
    given: what they look into.
    instruments: which.
    begins: told of each before it is taken.
  """
  rows, refused, failed, seconds = {}, {}, set(), {}
  for one in instruments:
    if reason := one.refusal(given):
      refused[one.name] = reason
      continue
    begins(one)
    started = time.monotonic()
    try:
      if found := given.once(one.measure):
        rows[one.name] = found
      else:
        refused[one.name] = NOTHING
    except (UsageError, ConfigError) as error:
      refused[one.name] = str(error)
    except Exception as error:  # of the device's memory, say
      refused[one.name] = f'{type(error).__name__}: {error}'
      failed.add(one.name)
    seconds[one.name] = time.monotonic() - started
  return Examination(rows, refused, frozenset(failed), seconds)


def table(rows: Mapping[str, Sequence[Row]]) -> pl.DataFrame:
  """One number a row; `network` is 'model' or 'random', the baseline.

  Args:
    rows: of each instrument, by name.
  """
  records = [{'network': MODEL, **row.where, 'instrument': name,
              'metric': row.metric, 'value': float(row.value)}
             for name, own in rows.items() for row in own]
  places = dict.fromkeys(place for record in records for place in record)
  return pl.DataFrame(records, infer_schema_length=None, schema={
    **COLUMNS, **{place: None for place in places if place not in COLUMNS}})
