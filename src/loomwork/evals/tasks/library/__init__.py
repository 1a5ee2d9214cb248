"""Tasks of our own: one short file each, with the name of the task and a constant TASK."""
