"""What the site does beyond Sphinx: the tables of fields, the search, the two languages."""
