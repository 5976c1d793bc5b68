"""Small made data sets in the official layouts, so that every command runs with nothing downloaded.

One kind of data set a file (`kitti`), over a little renderer: `scene` decides what stands where, `vehicles`,
`people` and
`street` model it, `backdrop` paints what is behind, `paint` draws and counts who hides whom. Metres are in the frame of
KITTI's reference camera: x right, y down, z ahead.
"""
