"""The pages of the site that are made of what is there already: texts, notebooks, schemas, helps and docstrings."""
