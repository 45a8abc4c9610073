"""Networks that other programs saved: read without executing anything that is in their files.

`pickle_reader` interprets pickles, `files` knows the containers, `finding` and `recognise` tell which network
it is, `fitting` puts the weights into ours, `draft` is the way from one end to the other.
"""

from .draft import import_checkpoint, inspect_checkpoint

__all__ = ["import_checkpoint", "inspect_checkpoint"]
