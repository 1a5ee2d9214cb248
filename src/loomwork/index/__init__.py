"""Search indexes: BM25 and vectors, built, stored, searched and fused."""
