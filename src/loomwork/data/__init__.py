"""Steps that read, clean, deduplicate, pair, split and index datasets: one file each."""
