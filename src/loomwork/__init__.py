"""Loomwork: from raw text and a base model to a smaller, better, proven model behind an API."""
