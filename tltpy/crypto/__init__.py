"""Sealing: a stream of bytes under a key, in a file that says in clear what it is. The only user of `cryptography`.

The format, version 1. Numbers are little endian, texts ASCII, padded with zero bytes.

    offset  size
         0     8  magic: 8a 54 4c 54 50 59 0d 0a ("\\x8aTLTPY\\r\\n")
         8     2  format version: 1
        10     1  log2 of the scrypt cost N; a reader accepts 10 to 17 (at most 128 MiB)
        11     1  scrypt block size r: 8
        12     1  scrypt parallelism p: 1
        13     1  log2 of the chunk size; a reader accepts 8 to 24 (256 bytes to 16 MiB)
        14     2  zero
        16     8  length of the payload
        24    16  kind
        40    32  task
        72    32  stage
       104    16  salt: random
       120    16  seed: random, another one in every file
       136    16  key check = HKDF-Expand-SHA256(master, info "tltpy key check", 16)
       152     8  checksum: the first bytes of SHA-256 of bytes 0 to 151
       160        chunks, each of them the cipher text and a tag of 16 bytes

    master = scrypt(key in UTF-8, salt, N, r, p, 32)
    stream key = HKDF-Expand-SHA256(master, info "tltpy stream key" + bytes 0 to 151 of the file, 32)
    chunk i = AES-256-GCM(stream key, nonce: i in 11 bytes, big endian, then 01 for the last chunk, else 00)

    digest of a file = SHA-256(bytes 0 to 159, then the tags in their order)

Every chunk but the last holds exactly the chunk size; the last holds the rest, and is empty only where the payload is
(STREAM: Hoang, Reyhanitabar, Rogaway, Vizar, "Online authenticated-encryption and its nonce-reuse misuse-resistance",
CRYPTO 2015). The stream key depends on the whole header, so a header that was changed opens no chunk. The checksum
needs no key: it tells damage from a wrong key, and is no protection. Later versions keep the magic, the place of the
version, and the size and the checksum of the header.

The digest names a file in the lineage of another: the tags depend on every byte, so it costs no pass of its own.

What a reader finds, in this order: no magic, ForeignFileError; less than a header, TruncatedFileError; a wrong checksum
or a value beyond the limits above, DamagedFileError; a later version, ModelFileError; too short, TruncatedFileError;
too long, DamagedFileError; another key check, WrongKeyError; and a chunk whose tag is wrong, DamagedFileError.
"""
