"""What stops a source of batches, in words for whoever gave the data."""


class InputError(ValueError):
  """Data that cannot be used; the message names the field or file."""


class MissingPackage(InputError):
  """Data that a package reads which is not here; the message names it."""
