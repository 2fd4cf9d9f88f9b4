"""Changes to the bytes of a file, of the kinds that its reader may trip over."""

import random
from collections.abc import Sequence

PIECES = [b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"0", b"-1", b"1e999", b"NaN", b"null", b"\x00"]
PIECES += [b"9" * 400, b'"__metadata__"', b'"fastbp"', b'"shape"', b"F64", b"U8", b"\xff", b"[[[[" * 99]


def mutate(data: bytes, generator: random.Random, others: Sequence[bytes]) -> bytes:
    """Change some bytes of a file, or go over to another one in the middle."""
    changed = bytearray(data)
    for _ in range(generator.choice([1, 1, 1, 2, 3, 8])):
        n = int.from_bytes(changed[:8], "little") if len(changed) > 8 else 0
        # Most of what can go wrong is in the header.
        high = min(n + 8, len(changed)) if generator.random() < 0.8 else len(changed)
        at, length = generator.randrange(max(1, high)), generator.choice([1, 1, 2, 4, 8, 64, 1000])
        kind = generator.randrange(8)
        if kind == 0 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << generator.randrange(8)
        elif kind == 1:
            changed[at : at + length] = generator.randbytes(length)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif kind == 4:
            changed[at : at + generator.choice([0, 1, length])] = generator.choice(PIECES)
        elif kind == 5:
            changed[:8] = generator.choice([0, 1, 8, abs(n - 1), n + 1, 2**24, 2**63]).to_bytes(8, "little")
        elif kind == 6:
            other = generator.choice(others)
            changed[at:] = other[generator.randrange(len(other)) :]
        else:
            digits = [i for i in range(high) if chr(changed[i]).isdigit()]
            if digits:
                changed[generator.choice(digits)] = generator.choice(b"0123456789-.e")
    if generator.random() < 0.5:  # a length that is right lets the reader see the header
        end = bytes(changed).rfind(b"}") + 1
        if end > 8:
            changed[:8] = (end - 8).to_bytes(8, "little")
    return bytes(changed)
