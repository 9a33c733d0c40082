"""Questions about one deployment, as a command line, a row of a table or a call puts them: names in, values out."""
