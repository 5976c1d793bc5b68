"""Networks in integers: modules in, modules out.

`prepare` captures a network as a graph and inserts quantizers, `Quantized` observes and trains with them, `FixedPoint`
computes with integers alone, exactly as the exported graph does. docs/quantization.md has the numbers.
"""
