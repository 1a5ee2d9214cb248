"""Scoring: what a language model makes of texts, planned so that no token is computed twice.

requests   what can be asked, and what is answered
spans      texts to tokens, cut as lm-evaluation-harness cuts them
plan       shared prefixes found, rows made
head       the output layer, block by block
packed     the forward pass on packed rows, for the families it is proven equal on
plain      transformers' own forward pass, for every other architecture
generate   many texts generated side by side on the packed forward pass
keep       answers on disk, so that an interrupted evaluation goes on where it was
run        the whole: `score(decoder, requests)`
"""
