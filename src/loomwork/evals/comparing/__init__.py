"""Several scores side by side: `table` computes what is compared, as plain data; `page` shows it."""
