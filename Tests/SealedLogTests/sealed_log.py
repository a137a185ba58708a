#!/usr/bin/env python3
"""A second reader and writer of sealed log segments; shares no code with the first.

    sealed_log.py read LOG_KEY_HEX FILE     the entries and the verdict as JSON
    sealed_log.py write LOG_KEY_HEX FILE    a segment with known entries

Written from docs/sealed-log.md alone. The log key is the one at step 0.
"""
import hashlib
import hmac
import json
import os
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = bytes.fromhex("8953474c0d0a1a0a")
ENTRIES, INDEX, FINAL, RECOVERY, GAP = range(1, 6)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def expand(key, information):
    return hmac.new(key, information + b"\x01", hashlib.sha256).digest()


def crc32c(data):
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def message_key(key, salt):
    """The AES key of a message under XAES-256-GCM: CMAC in counter mode over the nonce's head."""
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    mask = int.from_bytes(block.update(bytes(16)), "big") << 1
    if mask >> 128:
        mask = mask & (1 << 128) - 1 ^ 0x87
    blocks = (bytes([0, counter]) + b"X\x00" + salt for counter in (1, 2))
    return b"".join(
        block.update((int.from_bytes(part, "big") ^ mask).to_bytes(16, "big")) for part in blocks
    )


class Segment:
    def __init__(self, log_key, header):
        self.segment_id = header[16:32]
        for _ in range(struct.unpack(">I", header[184:188])[0]):
            log_key = expand(log_key, b"sgl1 step")
        digest = sha256(header[:224])
        extracted = hmac.new(header[128:160], log_key, hashlib.sha256).digest()
        self.key = expand(extracted, b"sgl1 enc\x00" + digest)
        self.commitment = expand(extracted, b"sgl1 commit\x00" + digest)
        self.padded = bool(header[183] & 2)
        self.largest = struct.unpack(">I", header[176:180])[0]
        self.chain = sha256(b"sgl1 chain0\x00", header[:224], self.commitment)

    def cipher(self, head):
        nonce = head[36:48] + bytes(3) + head[8:16] + head[4:5]
        data = b"sgl1 frame\x00" + self.segment_id + head + self.chain
        return AESGCM(message_key(self.key, nonce[:12])), nonce[12:], data

    def advance(self, head, sealed):
        self.chain = sha256(b"sgl1 chain\x00", self.chain, head, sealed)

    def open(self, head, sealed):
        cipher, nonce, data = self.cipher(head)
        plaintext = cipher.decrypt(nonce, sealed, data)
        self.advance(head, sealed)
        if not self.padded:
            return plaintext
        length = struct.unpack(">I", plaintext[:4])[0]
        filled = 1024
        while filled < length + 4:
            filled *= 2
        if len(plaintext) != min(filled, self.largest) or any(plaintext[4 + length :]):
            raise ValueError("padding")
        return plaintext[4 : 4 + length]

    def seal(self, kind, index, sequence, entries, plaintext):
        if self.padded:
            filled = 1024
            while filled < len(plaintext) + 4:
                filled *= 2
            plaintext = struct.pack(">I", len(plaintext)) + plaintext
            plaintext = plaintext.ljust(min(filled, self.largest), b"\x00")
        head = b"SGLF" + bytes([kind, 0, 0, 0]) + struct.pack(
            ">QQIII", index, sequence, entries, len(plaintext), len(plaintext)
        )
        head += os.urandom(12) + bytes(12)
        head += struct.pack(">I", crc32c(head))
        cipher, nonce, data = self.cipher(head)
        sealed = cipher.encrypt(nonce, plaintext, data)
        self.advance(head, sealed)
        return head + sealed + bytes(-len(sealed) % 8)


def decode_entries(data):
    while data:
        length, kind, sequence, time = struct.unpack(">IB3xQQ", data[:24])
        entry, data = data[: 4 + length], data[4 + length :]
        fields, offset = {}, 40
        while offset < len(entry):
            tag, size = struct.unpack(">HI", entry[offset : offset + 6])
            fields[str(tag)] = entry[offset + 6 : offset + 6 + size].hex()
            offset += 6 + size
        yield {"kind": kind, "sequence": sequence, "time": time,
               "request_id": entry[24:40].hex(), "fields": fields}


def read(log_key, data):
    found = {"verdict": None, "entries": [], "frames": 0, "types": []}
    header = data[:256]
    if header[:8] != MAGIC or header[8:16] != bytes.fromhex("0001000100000100"):
        return {**found, "verdict": "header"}
    segment = Segment(log_key, header)
    if segment.commitment != header[224:256]:
        return {**found, "verdict": "commitment"}
    offset, partial, ended = 256, b"", False
    while offset < len(data):
        head = data[offset : offset + 64]
        if ended:
            return {**found, "verdict": "trailing-bytes"}
        if len(head) < 64:
            return {**found, "verdict": "torn"}
        kind, flags, index, count = head[4], head[5], *struct.unpack(">8xQ12xI", head[:32])
        if crc32c(head[:60]) != struct.unpack(">I", head[60:])[0] or index != found["frames"]:
            return {**found, "verdict": "frame-header"}
        sealed = data[offset + 64 : offset + 80 + count]
        if len(sealed) < count + 16:
            return {**found, "verdict": "torn"}
        before = segment.chain
        try:
            payload = segment.open(head, sealed)
        except InvalidTag:
            return {**found, "verdict": "aead"}
        if kind == ENTRIES:
            partial += payload
            if not flags & 2:
                found["entries"] += decode_entries(partial)
                partial = b""
        if kind == FINAL:
            ended = True
            if payload[40:72] != before or struct.unpack(">Q", payload[:8])[0] != index:
                return {**found, "verdict": "final-content"}
        found["types"].append(kind)
        found["frames"] += 1
        offset += (80 + count + 7) // 8 * 8
    return {**found, "verdict": "intact" if ended else "unfinalised"}


def encode_entry(kind, sequence, time, request_id, fields):
    body = bytes([kind, 0, 0, 0]) + struct.pack(">QQ", sequence, time) + request_id
    for tag, value in sorted(fields.items()):
        body += struct.pack(">HI", tag, len(value)) + value
    return struct.pack(">I", len(body)) + body


def write(log_key, path, stream_id, log_key_id, number, padded):
    header = MAGIC + struct.pack(">HHI", 1, 1, 256) + os.urandom(16) + stream_id
    segment_id = header[16:32]
    header += struct.pack(">Q", number) + os.urandom(16) + struct.pack(">Q", 1764000000000)
    header += bytes(48) + os.urandom(32) + log_key_id
    header += struct.pack(">III", 65536, 6 if padded else 4, 2) + bytes(36)
    segment = Segment(log_key, header)
    segment.chain = sha256(b"sgl1 chain0\x00", header, segment.commitment)
    frames, entries, size = [], 0, 0
    for index in range(5):
        payload = b"".join(
            encode_entry(1 + entry % 2, 3 * index + entry, 1764000000000000000 + entry,
                         bytes([entry] * 16), {1: b"iris", 7: bytes([entry]) * 100 * index})
            for entry in range(3)
        )
        frames.append(segment.seal(ENTRIES, index, 3 * index, 3, payload))
        entries, size = entries + 3, size + len(frames[-1]) - 80
        size -= -struct.unpack(">I", frames[-1][28:32])[0] % 8
    final = struct.pack(">QQQQQ", 5, entries, sum(struct.unpack(">I", f[28:32])[0] for f in frames),
                        1764000000000, 1764000000000) + segment.chain + bytes([1]) + bytes(7)
    frames.append(segment.seal(FINAL, 5, entries, 0, final))
    name = f"{number:016x}-{segment_id.hex()}.sgl"
    with open(os.path.join(path, name), "wb") as file:
        file.write(header + segment.commitment + b"".join(frames))
    print(json.dumps({"name": name, "head": segment.chain.hex()}))


def main():
    command, log_key, path = sys.argv[1], bytes.fromhex(sys.argv[2]), sys.argv[3]
    if command == "read":
        with open(path, "rb") as file:
            print(json.dumps(read(log_key, file.read())))
    else:
        write(log_key, path, *map(bytes.fromhex, sys.argv[4:6]), 0, sys.argv[6] == "padded")


main()
