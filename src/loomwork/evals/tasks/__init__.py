"""Tasks: documents, a prompt and scorers, from a task file (`task_file`) or from Python (`task.Task`)."""
