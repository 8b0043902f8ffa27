"""The sliders of the notebooks, a file for each subject; `base` has what they share."""
