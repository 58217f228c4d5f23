"""Named architectures. `paper` follows the text, `release` what the authors' code does, `plus` is ours."""

from whodrives.models.config import ModelConfig

PRESETS: dict[str, ModelConfig] = {
    "paper": ModelConfig(),
    "release": ModelConfig(fusion="none", halved_axis="W", batchnorm="per_frame_step"),
    "plus": ModelConfig(representation="flow", backbone="none", head="conv1d", normalisation="frame"),
}
