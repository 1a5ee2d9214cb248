"""What leaves Loomwork for people and for other tools."""
