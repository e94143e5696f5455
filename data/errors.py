"""What stops a source of batches, in words for whoever gave the data."""


class InputError(ValueError):
  """Data that cannot be used; the message names the field or file."""
