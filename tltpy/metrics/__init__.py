"""What a prediction is worth: every metric has update(...), result(), state() and merge(states)."""
