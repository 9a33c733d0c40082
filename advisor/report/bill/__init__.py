"""An audit of a bill as a table, Markdown, JSON, SARIF or FOCUS rows."""
