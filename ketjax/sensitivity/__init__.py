"""Global sensitivity: which numbers of the model an answer hangs on, for all outputs at once."""
