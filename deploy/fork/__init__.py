"""Commands for the owner of a fork: pass settings on, name the project, remove its optional parts."""
