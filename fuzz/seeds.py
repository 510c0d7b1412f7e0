"""Writes the first inputs of the targets, small files of every kind that they read: python fuzz/seeds.py

Those of `duels` are records of `riposte duel --json`, made shorter.
"""

import gzip
import io
import json
import pathlib
import struct
import tarfile

import numpy

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent


def write(target, name, content):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def packed(content):
    return gzip.compress(content, mtime=0)


def idx():
    images = struct.pack(">4I", 0x803, 2, 3, 4) + bytes(range(24))
    labels = struct.pack(">2I", 0x801, 3) + bytes([7, 2, 1])
    for name, content in [("images", images), ("labels", labels)]:
        write("idx", name, content)
        write("idx", f"{name}.gz", packed(content))
        write("idx", f"{name}-twice.gz", packed(packed(content)))
    # Headers that claim more than there is.
    write("idx", "claims", struct.pack(">4I", 0x803, 0xFFFFFFFF, 0xFFFF, 0xFFFF))


def cifar():
    write("cifar", "binary", bytes([3]) + bytes(range(256)) * 12)
    for path in sorted((ROOT / "tests/fixtures/cifar").glob("*.pickle")):
        # Behind the header of a pickle, most of it is one image.
        write("cifar", path.name, path.read_bytes()[:700])


def archive(name, content, kind):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for index in range(1, 6):
            entry = tarfile.TarInfo(f"{name}/data_batch_{index}.bin")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        entry = tarfile.TarInfo(f"{name}/test_batch.bin")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def arrays(shape, compressed):
    stream = io.BytesIO()
    save = numpy.savez_compressed if compressed else numpy.savez
    images = numpy.arange(numpy.prod(shape), dtype=numpy.uint64).astype(numpy.uint8).reshape(shape)
    labels = numpy.array([3, 7], dtype=numpy.uint8)
    save(stream, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return stream.getvalue()


def archives():
    image = bytes([3]) + bytes(3072)
    for kind, name in [(tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax")]:
        content = archive("cifar-10-batches-bin", image, kind)
        write("archives", f"{name}.tar.gz", b"\0" + packed(content))
    write("archives", "mnist.npz", b"\1" + arrays((2, 28, 28), True))
    write("archives", "cifar10.npz", b"\2" + arrays((2, 32, 32, 3), True))


def npy():
    for dtype in ["u1", "<f4", ">f8", "<i8", "?"]:
        for order in "CF":
            stream = io.BytesIO()
            numpy.save(stream, numpy.asarray(numpy.ones((2, 1, 3)), dtype=dtype, order=order))
            write("npy", f"{dtype.strip('<>?') or 'bool'}-{order}.npy", stream.getvalue())
    for compressed in [False, True]:
        stream = io.BytesIO()
        (numpy.savez_compressed if compressed else numpy.savez)(stream, a=numpy.ones(3), b=numpy.zeros((2, 2), "u1"))
        write("npy", f"{'packed' if compressed else 'stored'}.npz", stream.getvalue())


def photo():
    write("photo", "bar", bytes([20, 20]) + bytes(30 if 8 < at % 21 < 12 else 230 for at in range(441) for _ in range(3)))
    write("photo", "dot", bytes([0, 0, 255, 0, 0]))
    write("photo", "size", bytes([27, 27]) + bytes(range(256)))


def pack():
    parts = {"images": ("U8", [2, 1, 2, 2], bytes(8)), "labels": ("U8", [2], bytes([1, 2])), "numbers": ("U32", [2], bytes(8))}
    header, offset = {}, 0
    for name, (dtype, shape, content) in parts.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
    text = json.dumps(header).encode()
    write("pack", "two", packed(struct.pack("<Q", len(text)) + text + b"".join(content for _, _, content in parts.values())))
    write("pack", "claims", packed(struct.pack("<Q", 2**40) + text))


def cards():
    for path in sorted((ROOT / "static/models").glob("*.json"))[:2]:
        write("cards", path.name, json.dumps(json.loads(path.read_text())))
    for path in sorted((ROOT / "docs/results").rglob("*.jsonl"))[:3]:
        for index, line in enumerate(path.read_text().splitlines()[:2]):
            write("cards", f"{path.stem}-{index}", line)
    for line in (ROOT / "static/cases/digits-robust.jsonl").read_text().splitlines()[:1]:
        write("cards", "case", line[:4000])


def settings():
    write("settings", "attack", "attack=apgd-t&epsilon=8/255&steps=20&targets=4&quantize=8&loss=dlr")
    write("settings", "riposte", "riposte=pgd&post-steps=3&post-lr=0.01&k=20&m=64&augment=crop-flip:2&counter=all&counter-rounds=3")
    write("settings", "old", "eps=0.2&step=0.01&train=fast:0.3:0.375&pool=random&bn=batch&train=fixed-negative")
    write("settings", "architecture", "wrn-34-10")


if __name__ == "__main__":
    for make in [idx, cifar, archives, npy, photo, pack, cards, settings]:
        make()
