"""The `keypoint` generator: sparse key points, thin-plate spline, low-resolution bottleneck."""

from whodrives.avatars.keypoint.renderer import KeypointGenerator, render
from whodrives.avatars.keypoint.rig import KeypointRig, build_rig

__all__ = ["KeypointGenerator", "KeypointRig", "build_rig", "render"]
