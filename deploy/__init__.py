"""Everything that runs the application: one folder for each place where the code runs."""
