"""What is looked at: charts of numbers and pages that hold charts, pictures, tables.

Numbers and texts in, bytes and text out: this room reads and writes no files and knows no task and no step. Charts are
drawn by matplotlib on a canvas of their own, never by pyplot, whose figures live for ever and belong to one thread.
"""
