"""Self-contained HTML pages, plots and lineage graphs, made from plain data. This room knows no step and no ledger."""
