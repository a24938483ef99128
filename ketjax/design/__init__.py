"""Design of regimens: the gradients of the march choose amounts and days of infusions."""
