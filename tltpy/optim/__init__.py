"""Optimizers, learning rates, penalties, averaged weights. Takes a module and numbers; opens no file, knows no task."""
