"""What can be read: one module or package for each kind of accelerator, and one for serving engines."""
