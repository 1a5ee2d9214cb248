"""Pure functions on numbers: intervals and paired comparisons whose error rates hold."""
