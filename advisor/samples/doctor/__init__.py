"""What can be read on a machine, what cannot, and how to mend it."""
