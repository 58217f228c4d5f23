import numpy as np
import pytest
from hypothesis import settings

# Times differ between machines; a slow disk is no failure.
settings.register_profile("whodrives", deadline=None)
settings.load_profile("whodrives")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
