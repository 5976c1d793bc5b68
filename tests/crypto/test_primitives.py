"""The ciphers against published vectors."""

import subprocess
import sys

import pytest

from tltpy.crypto import key, stream

# McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, test cases 13 to 16: the AES-256 vectors
# that NIST adopted with SP 800-38D; key, nonce, additional data, plain text, cipher text, tag
ZERO_KEY, ZERO_NONCE = "00" * 32, "00" * 12
GCM_KEY, GCM_NONCE = "feffe9928665731c6d6a8f9467308308" * 2, "cafebabefacedbaddecaf888"
GCM_PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
GCM_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)
GCM = {
    "13": (ZERO_KEY, ZERO_NONCE, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    "14": (ZERO_KEY, ZERO_NONCE, "", "00" * 16, "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"),
    "15": (GCM_KEY, GCM_NONCE, "", GCM_PLAIN, GCM_SEALED, "b094dac5d93471bdec1a502270e3cc6c"),
    "16": (
        GCM_KEY, GCM_NONCE, "feedfacedeadbeeffeedfacedeadbeefabaddad2", GCM_PLAIN[:120], GCM_SEALED[:120],
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
}  # fmt: skip

# RFC 7914, section 12: key, salt, N, r, p, result (the case of N = 2^20 takes a GiB and is left out)
SCRYPT = {
    "empty": (
        b"", b"", 16, 1, 1,
        "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
        "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906",
    ),
    "NaCl": (
        b"password", b"NaCl", 1024, 8, 16,
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
        "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
    ),
    "SodiumChloride": (
        b"pleaseletmein", b"SodiumChloride", 16384, 8, 1,
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GCM.values(), ids=list(GCM))
def test_aes_256_gcm(case: tuple[str, ...]) -> None:
    secret, nonce, extra, plain, sealed, tag = (bytes.fromhex(text) for text in case)
    cipher = stream._cipher(secret)
    assert cipher.encrypt(nonce, plain, extra) == sealed + tag
    assert cipher.decrypt(nonce, sealed + tag, extra) == plain


@pytest.mark.parametrize("case", SCRYPT.values(), ids=list(SCRYPT))
def test_scrypt(case: tuple[bytes, bytes, int, int, int, str]) -> None:
    secret, salt, n, r, p, expected = case
    assert key.scrypt(secret, salt, n, r, p, 64).hex() == expected


def test_hkdf_expand() -> None:
    # RFC 5869, appendix A.1
    secret = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert key.expand(secret, bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), 42).hex() == expected


def test_a_derived_key_does_not_show() -> None:
    master = key.derive("secret", b"s" * 16, 10)
    assert repr(master.secret) not in repr(master)
    assert master.secret.hex() not in repr(master)


def test_import_is_light() -> None:
    code = (
        "import sys, tltpy.artifact, tltpy.crypto.stream\n"
        "print([name for name in ('torch', 'numpy', 'cryptography') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
