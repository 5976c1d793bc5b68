"""The language of the specs: protobuf text in, a checked message out, every problem with its file:line:column.

load: file -> message, by way of lex, parse and tree (text -> syntax tree), schema, values and bind (tree -> message),
kinds (files of another kind). limits: what a value may be. where: path -> position. fill: message -> text, with all
defaults. The classes in *_pb2.py are generated from proto/ by bin/generate-proto.
"""
