"""Per-item scorers: each gives one number, or the sums that a number is made of, per item."""
