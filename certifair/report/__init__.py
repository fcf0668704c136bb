"""What people look at: plots, and the offline page."""
