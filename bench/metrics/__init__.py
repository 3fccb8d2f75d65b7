"""What scores are worth: AUROC and others, and how well a wrapper purified. Pure functions on arrays.

May import nothing of ours.
Start at `image.image_metrics`.
"""
