"""What scores and maps are worth, thresholds, and how well a wrapper purified. Pure functions on arrays.

May import nothing of ours.
Start at `image.image_metrics` and `pixel.pixel_metrics`.
"""
