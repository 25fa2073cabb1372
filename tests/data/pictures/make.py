#!/usr/bin/env python3
"""make.py: writes the pictures of this folder and, beside each, what Pillow reads from it: NAME.rgb, and of some
NAME.grey; width and height as 16-bit numbers, then the bytes of the pixels. Written with Pillow 13.0."""
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 13, 9
WITH_GREY = ("rgb.png", "grey16.png", "palette.png", "cmyk.jpg", "rgb.bmp", "rgb.tif", "lossy.webp", "bits.pbm")
random = np.random.default_rng(4)
across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
colours = np.stack([across * 19, down * 28, (across * down * 7) % 256, 255 - across * 13], axis=2).astype(np.uint8)
RGBA = Image.fromarray(colours, "RGBA")
RGB = RGBA.convert("RGB")
GREY = RGB.convert("L")


def keep(name, data, rgb=None):
    """Of 16-bit grey Pillow makes white: there `rgb` says what is right."""
    (FOLDER / name).write_bytes(data)
    picture = rgb or Image.open(io.BytesIO(data))
    picture.load()  # turns what is to be turned
    size = struct.pack("<HH", *picture.size)
    (FOLDER / f"{name}.rgb").write_bytes(size + picture.convert("RGB").tobytes())
    if name in WITH_GREY:
        (FOLDER / f"{name}.grey").write_bytes(size + picture.convert("L").tobytes())


def save(name, picture, form, rgb=None, **options):
    data = io.BytesIO()
    picture.save(data, form, **options)
    keep(name, data.getvalue(), rgb)


# ---- PNG


def png(kind, depth, pixels, interlaced=False):
    """Pillow writes neither interlaced pictures nor colours of 16 bits. Pixels: bytes [height, width, bytes]."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for y, x, step_y, step_x in passes if interlaced else [(0, 0, 1, 1)]:
        part = pixels[y::step_y, x::step_x]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


wide = np.stack([colours, colours[::-1]], axis=3).reshape(HEIGHT, WIDTH, 8)
save("rgb.png", RGB, "PNG")
save("rgba.png", RGBA, "PNG")
save("grey.png", GREY, "PNG")
save("grey-alpha.png", RGBA.convert("LA"), "PNG")
save("bits.png", GREY.convert("1"), "PNG")
save("palette.png", RGB.quantize(11), "PNG")
save("palette-transparent.png", RGB.quantize(11), "PNG", transparency=3)
save("grey16.png", Image.fromarray(np.asarray(GREY).astype(np.uint16) * 256 + 201), "PNG", rgb=GREY)
keep("interlaced.png", png(2, 8, np.asarray(RGB), True))
keep("rgba16.png", png(6, 16, wide))
keep("interlaced-rgba16.png", png(6, 16, wide, True))

# ---- JPEG

save("rgb.jpg", RGB, "JPEG", quality=90)
save("rgb-444-progressive.jpg", RGB, "JPEG", quality=90, subsampling=0, progressive=True)
save("rgb-422.jpg", RGB, "JPEG", quality=70, subsampling=1)
save("grey.jpg", GREY, "JPEG", quality=90)
save("cmyk.jpg", RGB.convert("CMYK"), "JPEG", quality=95)
exif = Image.Exif()
exif[0x0112] = 6
save("turned.jpg", RGB, "JPEG", quality=90, exif=exif)

# ---- JPEG 2000

save("rgb.jp2", RGB, "JPEG2000")
save("rgba.j2k", RGBA, "JPEG2000", no_jp2=True)
save("cmyk.jp2", RGB.convert("CMYK"), "JPEG2000")
save("grey-lossy.jp2", GREY, "JPEG2000", irreversible=True, quality_layers=[4])

# ---- WebP

save("lossless.webp", RGB, "WEBP", lossless=True)
save("alpha.webp", RGBA, "WEBP", lossless=True, exact=True)
save("lossy.webp", RGB, "WEBP", quality=60)

# ---- TIFF

save("rgb.tif", RGB, "TIFF")
save("rgba-lzw.tif", RGBA, "TIFF", compression="tiff_lzw")
save("grey-deflate.tif", GREY, "TIFF", compression="tiff_adobe_deflate")
save("bits-g4.tif", GREY.convert("1"), "TIFF", compression="group4")
save("palette.tif", RGB.quantize(11), "TIFF")
save("cmyk.tif", RGB.convert("CMYK"), "TIFF")
save("ycbcr-jpeg.tif", RGB.convert("YCbCr"), "TIFF", compression="jpeg")
for orientation in range(2, 9):
    save(f"orientation-{orientation}.tif", RGB, "TIFF", tiffinfo={274: orientation})
wide = np.stack([colours[:, :, :3], colours[::-1, :, :3]], axis=3).tobytes()
tags = [(256, 3, 1, WIDTH), (257, 3, 1, HEIGHT), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14),
        (277, 3, 1, 3), (278, 3, 1, HEIGHT), (279, 4, 1, len(wide))]
keep("rgb16.tif", struct.pack("<2sHIHHH", b"II", 42, 14 + len(wide), 16, 16, 16) + wide +
     struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4))

# ---- BMP


def bmp(bits, compression, colours, data, masks=b"", height=HEIGHT):
    palette = b"".join(bytes([(i * 40) % 256, (i * 70) % 256, 255 - i, 0]) for i in range(colours))
    offset = 54 + len(masks) + len(palette)
    return (b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) +
            struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, compression, len(data), 0, 0, colours, 0) + masks +
            palette + data)


def padded(rows):
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


save("rgb.bmp", RGB, "BMP")
save("rgba.bmp", RGBA, "BMP")
save("palette.bmp", RGB.quantize(11), "BMP")
save("bits.bmp", GREY.convert("1"), "BMP")
keep("rows-down.bmp", bmp(24, 0, 0, padded([row.tobytes() for row in np.asarray(RGB)]), height=-HEIGHT))
keep("four-bits.bmp", bmp(4, 0, 16, padded([random.bytes((WIDTH + 1) // 2) for _ in range(HEIGHT)])))
keep("555.bmp", bmp(16, 0, 0, padded([random.bytes(WIDTH * 2) for _ in range(HEIGHT)])))
keep("565.bmp", bmp(16, 3, 0, padded([random.bytes(WIDTH * 2) for _ in range(HEIGHT)]),
                    struct.pack("<III", 0xF800, 0x7E0, 0x1F)))
# Runs, copies, a row that ends early.
runs = bytes([5, 1, 8, 2, 0, 0, 0, 4, 7, 8, 9, 10, 9, 11, 0, 0, 5, 12, 0, 0])
keep("runs8.bmp", bmp(8, 1, 16, runs * 3 + bytes([0, 1])))
runs = bytes([5, 0x12, 8, 0x3A, 0, 0, 0, 4, 0x78, 0x9A, 9, 0xB0, 0, 0, 13, 0x45, 0, 0])
keep("runs4.bmp", bmp(4, 2, 16, runs * 3 + bytes([0, 1])))

# ---- PNM

save("rgb.ppm", RGB, "PPM")
save("grey.pgm", GREY, "PPM")
save("bits.pbm", GREY.convert("1"), "PPM")
numbers = " ".join(str(value) for value in np.asarray(RGB).reshape(-1))
keep("text.ppm", f"P3 # a comment\n{WIDTH} {HEIGHT}\n# another 9\n255\n{numbers}\n".encode())
keep("text-of-31.pgm", (f"P2\n{WIDTH} {HEIGHT}\n31\n" + " ".join(str(v % 32) for v in range(WIDTH * HEIGHT))).encode())
keep("text.pbm", f"P1\n{WIDTH} {HEIGHT}\n{''.join(str(v % 3 % 2) for v in range(WIDTH * HEIGHT))}".encode())
keep("of-1023.ppm", f"P6\n{WIDTH} {HEIGHT}\n1023\n".encode() +
     (np.asarray(RGB).astype(np.uint16) * 4 + 1).astype(">u2").tobytes())
