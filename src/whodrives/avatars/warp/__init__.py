"""The `warp` generator: one dense 2-D warp of a still."""

from whodrives.avatars.warp.renderer import WarpGenerator, WarpRig, build_rig, render

__all__ = ["WarpGenerator", "WarpRig", "build_rig", "render"]
