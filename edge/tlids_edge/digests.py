"""SHA-256 and BLAKE2b without `hashlib`, which would load OpenSSL: 3 MB that nothing else here needs.

CPython's own `random` does the same. Where Python was built without them, they are hashlib's.
"""

try:
    from _blake2 import blake2b

    try:
        from _sha2 import sha256
    except ImportError:  # before Python 3.12
        from _sha256 import sha256
except ImportError:
    from hashlib import blake2b, sha256

__all__ = ["blake2b", "sha256"]
