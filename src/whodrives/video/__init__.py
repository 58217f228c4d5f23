"""Video files in, clips out: decoding, frame rate, grey and crop contract, scene cuts, windows, motion gate."""

from whodrives.video.contract import PreprocessingContract
from whodrives.video.errors import (
    ContractMismatchError,
    CorruptVideoError,
    CropError,
    EmptyFileError,
    NotAVideoError,
    NoVideoStreamError,
    TooShortError,
    UnreadableFileError,
    VideoError,
    ZeroDimensionError,
)
from whodrives.video.frames import Frame, FrameStream, VideoFrames, VideoReport, iter_frames, load_frames
from whodrives.video.gate import MotionGate, motion_energy
from whodrives.video.windows import Window, WindowStream, cut_windows, gather, iter_windows

__all__ = [
    "ContractMismatchError",
    "CorruptVideoError",
    "CropError",
    "EmptyFileError",
    "Frame",
    "FrameStream",
    "MotionGate",
    "NoVideoStreamError",
    "NotAVideoError",
    "PreprocessingContract",
    "TooShortError",
    "UnreadableFileError",
    "VideoError",
    "VideoFrames",
    "VideoReport",
    "Window",
    "WindowStream",
    "ZeroDimensionError",
    "cut_windows",
    "gather",
    "iter_frames",
    "iter_windows",
    "load_frames",
    "motion_energy",
]
