"""Who may do what: keys and what they open, and how often something may be done."""
