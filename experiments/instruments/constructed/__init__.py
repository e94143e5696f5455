"""Networks with weights set by hand that need no data source."""
