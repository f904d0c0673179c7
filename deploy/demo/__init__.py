"""`rig demo`: a small project, one issue, and the whole rig on a directory of its own, from filed to merged.

project    the repository, its issue, and the script of the coder
play       putting it together and watching it
show       what a person sees of it
"""
