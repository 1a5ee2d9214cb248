"""Pure functions on text: cleaning, words, shingles and MinHash kernels, an n-gram model."""
