"""What napari sees: reader, writers, sample data and docks."""
