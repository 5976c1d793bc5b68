"""Photographs for a page: as large as they need to be, and no more bytes than they are given."""

import numpy as np

_QUALITIES = (82, 74, 64, 52, 40, 28, 16)


def scaled(picture: np.ndarray, scale: float) -> np.ndarray:
    """uint8 [H, W, C] enlarged or shrunk."""
    import cv2

    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    found: np.ndarray = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return found


def encode(picture: np.ndarray, most_bytes: int) -> bytes:
    """uint8 [H, W, 3] BGR as JPEG, of the best quality that keeps within `most_bytes`, shrunk where none does."""
    import cv2

    for quality in _QUALITIES:
        data = bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
        if len(data) <= most_bytes:
            return data
    return encode(scaled(picture, 0.7), most_bytes)
