"""Arrays of whatever a caller has. NumPy is imported at the first of them: the command does without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Sequence, Union

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]
    IntArray = npt.NDArray[np.int64]


class SupportsDLPack(Protocol):
    """An array of another library, such as a tensor of PyTorch."""

    def __dlpack__(self) -> Any: ...


class SupportsArray(Protocol):
    """What NumPy makes an array of."""

    def __array__(self) -> Any: ...


ArrayLike = Union[SupportsArray, SupportsDLPack, Sequence[Any]]
"""What images and labels may be."""

_CPU = 1


def numpy_of(given: Any) -> npt.NDArray[Any]:
    """An array, without a copy where its memory can be read from here."""
    import numpy as np

    if isinstance(given, np.ndarray):
        return given
    if hasattr(given, "detach"):
        given = given.detach()
    device = getattr(given, "__dlpack_device__", lambda: (_CPU, 0))()
    if device[0] != _CPU and hasattr(given, "cpu"):
        given = given.cpu()
    if "bfloat16" in str(getattr(given, "dtype", "")) and hasattr(given, "float"):
        # NumPy has no such numbers, and all of them are float32, too.
        given = given.float()
    if hasattr(given, "__array__") or not hasattr(given, "__dlpack__"):
        return np.asarray(given)
    return np.from_dlpack(given)


def images_of(given: ArrayLike, shape: Sequence[int]) -> tuple[bytes, int, bool]:
    """The bytes of images, how many there are, and whether it is one image without a dimension for their number."""
    import numpy as np

    array = numpy_of(given)
    if array.dtype.kind != "f":
        raise TypeError(
            f"images are float32 from 0 to 1, and these are {array.dtype}: divide gray levels by 255, as in "
            "`images.astype('float32') / 255`"
        )
    size = tuple(shape)
    single = array.shape == size
    if not single and array.shape[1:] != size:
        raise ValueError(f"images have the shape {_words(size)}, or one image without the first, and these have {array.shape}{_hint(array.shape, size)}")
    if len(array) == 0:
        raise ValueError(f"there is no image among these: their shape is {array.shape}")
    numbers = np.ascontiguousarray(array, dtype=np.float32)
    return numbers.tobytes(), 1 if single else len(array), single


def _words(size: Sequence[int]) -> str:
    return f"(images, {', '.join(map(str, size))})"


def _hint(found: Sequence[int], size: Sequence[int]) -> str:
    channels, height, width = size
    if tuple(found[-3:]) == (height, width, channels):
        return ": channels come first, as in `images.transpose(0, 3, 1, 2)`"
    if channels == 1 and tuple(found[-2:]) == (height, width):
        return f": give them a channel, as in `images.reshape(-1, 1, {height}, {width})`"
    return ""


def labels_of(given: Any, count: int) -> list[int]:
    """The numbers of classes, one for each image."""
    import numpy as np

    array = np.atleast_1d(numpy_of(given))
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"labels are whole numbers, one for each image, and these are {array.dtype} of shape {array.shape}")
    if len(array) != count:
        raise ValueError(f"{count} images need as many labels, not {len(array)}")
    if count and int(array.min()) < 0:
        raise ValueError("labels are the numbers of classes, from 0 on")
    return [int(label) for label in array]


def floats(data: bytearray, *shape: int) -> FloatArray:
    """An array over memory that nobody else has."""
    import numpy as np

    return np.frombuffer(data, dtype=np.float32).reshape(shape)


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities of logits, along the last axis."""
    import numpy as np

    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: FloatArray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
