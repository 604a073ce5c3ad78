"""What the site does beyond Sphinx: tables of fields, search, the two languages, and how pages look."""
