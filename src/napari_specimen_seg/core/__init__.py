"""Arrays and tables: everything that needs neither torch, napari nor Qt."""
