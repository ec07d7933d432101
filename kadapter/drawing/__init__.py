"""Pictures that stay readable without a kernel."""
