"""A network together with its card: building, storing, finding and running models."""
