"""The figures that Ridgeline stands for, measured on the committed code: `python -m bench`."""
