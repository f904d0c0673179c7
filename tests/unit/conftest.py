"""Examples that are made up are the same in every run, and no clock judges them."""

from hypothesis import settings

settings.register_profile("rig", deadline=None, derandomize=True)
settings.load_profile("rig")
