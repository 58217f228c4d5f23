"""The `mesh` generator: a textured 3-D head under a perspective camera."""

from whodrives.avatars.mesh.renderer import MeshGenerator, render
from whodrives.avatars.mesh.rig import MeshRig, build_rig

__all__ = ["MeshGenerator", "MeshRig", "build_rig", "render"]
