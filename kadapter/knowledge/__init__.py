"""Sources of knowledge that are no text: facts put into words."""
