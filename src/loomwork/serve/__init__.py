"""Serving: answers from an index, an OpenAI-compatible API, a search page, and a record of every request."""
