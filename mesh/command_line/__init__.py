"""What the commands do with their arguments: one module for each kind of work, imported when it is asked for."""
