"""Which files count as pictures, in any case; a page of its own, as asking for it shall not load what reads them."""

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
WRITABLE = (".png", ".jpg", ".jpeg", ".bmp")
"""Those that are written, too."""
