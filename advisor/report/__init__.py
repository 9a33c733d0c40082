"""A plan in; words for people and machines out."""
